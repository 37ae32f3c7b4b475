// The thread of load-afresh.ts: reads the one configuration file that it is told, and tells what came of it.

import { parentPort, workerData } from 'node:worker_threads';
import { GwanmunError, type SerializedError } from '../errors.js';
import { loadConfig, type LoadedConfig } from './load.js';

/** What the thread is to do. */
export interface Order {
  readonly file: string;
  readonly isFollowed: boolean;
}

export type Answer = ({ readonly loaded: LoadedConfig } | { readonly failure: SerializedError }) & {
  readonly imports?: readonly string[] | undefined;
};

const { file, isFollowed } = workerData as Order;
const imports = isFollowed ? (await import('./follow-imports.js')).followImports() : undefined;
const answer = await loadConfig(file).then(
  // Functions can't leave their thread: those of the start are kept.
  ({ config: { hooks: _hooks, ...config }, ...loaded }): Answer => ({ loaded: { ...loaded, config } }),
  (error: unknown): Answer => {
    if (error instanceof GwanmunError) return { failure: error.toJSON() };
    throw error;
  },
);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
parentPort?.postMessage({ ...answer, imports: imports?.take() });
