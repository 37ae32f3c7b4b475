import type { GwanmunError } from '../errors.js';

/** Something that an operator should know; docs/logs.md lists the events. */
export interface ServerEvent {
  readonly level: 'error' | 'warn' | 'info';
  readonly event: string;
  readonly message: string;
  readonly worker?: number | undefined;
  readonly pid?: number | undefined;
  readonly error?: GwanmunError | undefined;
  /** Where the code is that it is about. */
  readonly stack?: string | undefined;
}
