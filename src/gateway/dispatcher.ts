import type { Application } from './types.js';
export interface DispatcherOptions { applications: readonly Application[]; name: string; concurrency: number; onDrained: () => void }
export class Dispatcher { constructor(_options: DispatcherOptions) {} addLink(_fd: number, _marks: Int32Array, _slot: number): void {} ready(): void {} close(): void {} }
