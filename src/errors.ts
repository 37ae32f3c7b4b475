// What a person is told when something fails: a code of the registry, what happened, where, and what to do.

import { statSync } from 'node:fs';
import { inspect } from 'node:util';
import { errorEntries, isErrorCode, type ErrorCode } from './error-entries.js';

export { isErrorCode, type ErrorCode } from './error-entries.js';

/** Where an error is: a file, a place in it, a key of the configuration. */
export interface Where {
  readonly file?: string | undefined;
  /** From 1. */
  readonly line?: number | undefined;
  /** From 1. */
  readonly column?: number | undefined;
  /** A key path of the configuration, such as `mounts[1].files`, or an option or environment variable. */
  readonly key?: string | undefined;
  /** The line and its neighbours with a mark under the place, printed as they are. */
  readonly frame?: string | undefined;
}

/** One of several faults that are reported together. */
export interface Problem {
  readonly message: string;
  readonly where?: Where | undefined;
}

export interface GwanmunErrorOptions {
  readonly where?: Where | undefined;
  /** Instead of the registry's remedy, where more is known. Several lines are alternatives. */
  readonly remedy?: string | undefined;
  readonly problems?: readonly Problem[] | undefined;
  /** The stack of an error in the user's code; printed as it is. */
  readonly userStack?: string | undefined;
  /** What asked for the thing that failed, such as the key of the mount whose module it is. */
  readonly origin?: Where | undefined;
  /**
   * The part of the core's configuration that it is about, `listen[0]` or `mounts[1].files`, or `applications[0]`: for an error
   * of the core or of a worker, which do not know the user's file. placeError of src/config makes it a place.
   */
  readonly part?: string | undefined;
  readonly cause?: unknown;
}

/** An error for people: a code of the registry, what happened, where, and what to do. */
export class GwanmunError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  // Only what is known is a property: an uncaught error is printed with all that it has.
  declare readonly where: Where | undefined;
  declare readonly problems: readonly Problem[] | undefined;
  declare readonly userStack: string | undefined;
  declare readonly origin: Where | undefined;
  declare readonly part: string | undefined;

  constructor(code: ErrorCode, message?: string, options: GwanmunErrorOptions = {}) {
    const { cause, remedy = errorEntries[code].remedy } = options;
    super(message ?? errorEntries[code].title, cause === undefined ? undefined : { cause });
    this.code = code;
    this.remedy = remedy;
    for (const key of ['where', 'problems', 'userStack', 'origin', 'part'] as const) {
      if (options[key] !== undefined) Object.assign(this, { [key]: options[key] });
    }
    // As Node's own errors have it: every stack and log then shows the code.
    Object.defineProperty(this, 'name', { value: `GwanmunError [${code}]` });
  }

  /** What console.log, a log and an uncaught error show: the code, as Node's own errors do, and the remedy after the stack. */
  [inspect.custom](): string {
    const stack = this.stack ?? String(this);
    const where = this.where === undefined ? '' : `\n  where: ${formatWhere(this.where)}`;
    return `${stack}${where}\n  try: ${this.remedy.replaceAll('\n', '\n       ')}`;
  }

  /** The exit code of a command that ends with this error. */
  get exitCode(): number {
    return errorEntries[this.code].exit;
  }

  /** The same error, now that more is known. */
  with({ message = this.message, ...options }: GwanmunErrorOptions & { readonly message?: string }): GwanmunError {
    return new GwanmunError(this.code, message, { ...this.toJSON(), cause: this.cause, ...options });
  }

  /** What crosses a process boundary; {@link GwanmunError.fromJSON} makes it an error again. */
  toJSON(): SerializedError {
    const { code, message, where, remedy, problems, userStack, origin, part } = this;
    return { code, message, where, remedy, problems, userStack, origin, part };
  }

  static fromJSON(error: SerializedError): GwanmunError {
    return new GwanmunError(error.code, error.message, error);
  }
}

/** A {@link GwanmunError} as plain data. */
export interface SerializedError extends Omit<GwanmunErrorOptions, 'cause'> {
  readonly code: ErrorCode;
  readonly message: string;
}

/**
 * What the system refuses to any program when a limit is reached or something of it is missing, whatever it was for: of an error of Node's.
 * Undefined for other errors.
 */
export function systemFault(error: unknown): GwanmunError | undefined {
  if (!isRecord(error) || !(error instanceof Error)) return undefined;
  const { code, syscall = '', message } = error as NodeJS.ErrnoException;
  const named = (own: ErrorCode, text = message): GwanmunError => new GwanmunError(own, text, { cause: error });
  // A thread of Node's that cannot be started names the reason in its message alone.
  const reason = code === 'ERR_WORKER_INIT_FAILED' ? (/\bE[A-Z]+$/.exec(message)?.[0] ?? 'EAGAIN') : code;
  const isStart = syscall.startsWith('spawn') || code === 'ERR_WORKER_INIT_FAILED';
  if (syscall === 'watch' && (reason === 'ENOSPC' || reason === 'EMFILE')) return named('GWM_WATCH_LIMIT');
  if (reason === 'EMFILE' || reason === 'ENFILE') return named('GWM_FD_LIMIT');
  if (isStart && (reason === 'EAGAIN' || reason === 'ENOMEM')) return named('GWM_PROCESS_LIMIT');
  // What is given no input is given that.
  if (isStart && (reason === 'ENOENT' || reason === 'EACCES') && !hasNullDevice()) {
    return named('GWM_NULL_DEVICE', 'there is no /dev/null');
  }
  return undefined;
}

function hasNullDevice(): boolean {
  return statSync('/dev/null', { throwIfNoEntry: false })?.isCharacterDevice() === true;
}

/** Makes what the core threw a {@link GwanmunError}: its `code` and message are kept, the remedy is the registry's. */
export function fromCore(error: unknown): GwanmunError {
  if (error instanceof GwanmunError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const fault = systemFault(error);
  if (fault !== undefined) return fault;
  if (!isRecord(error) || !isErrorCode(error['code'])) return new GwanmunError('GWM_CORE', text, { cause: error });
  // As everything that crosses from the core, its own errors are JSON.
  const { message = text, part } = text.startsWith('{')
    ? (JSON.parse(text) as { message?: string; part?: string | null })
    : {};
  return new GwanmunError(error['code'], message, { part: part ?? undefined, cause: error });
}

/** `file:line:column  key`, as much as is known. */
export function formatWhere(where: Where): string {
  const place = [where.file, where.line, where.column].filter((part) => part !== undefined).join(':');
  return [place, where.key].filter((part) => part !== undefined && part !== '').join('  ');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
