// What an application prints and the errors that nobody catches, on their way to the server's log: each as one event, with
// the request whose code it was. What native code and child processes write comes through the worker's pipes instead.

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Dispatcher } from '../gateway/dispatcher.js';
import { show } from '../gateway/show.js';
import {
  LOG_DEBUG,
  LOG_ERROR,
  LOG_FROM_STDERR,
  LOG_FROM_STDOUT,
  LOG_FROM_UNCAUGHT,
  LOG_INFORMATION,
  LOG_WARNING,
} from '../gateway/frame.js';
import type { RunningRequest } from '../gateway/link.js';

/** The request whose code is running. */
export const requestContext = new AsyncLocalStorage<RunningRequest>();

type Log = Dispatcher['log'];

/** The level of a console method that says one; a stream alone says none. */
const LEVELS = { debug: LOG_DEBUG, warn: LOG_WARNING, error: LOG_ERROR } as const;
let level: number = LOG_INFORMATION;

/** Sends to `log` what goes to standard output, standard error and nobody. */
export function capture(log: Log): void {
  divert(process.stdout, LOG_FROM_STDOUT, log);
  divert(process.stderr, LOG_FROM_STDERR, log);
  for (const [name, own] of Object.entries(LEVELS)) levelled(name as keyof typeof LEVELS, own);
  process.on('uncaughtExceptionMonitor', (error) => {
    const isTold = log(LOG_ERROR, LOG_FROM_UNCAUGHT, show(error)) === 'sent';
    // It is the end, as it is for any Node process. Only that it would be told a second time, by Node and in other words.
    const isCaught = process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
    if (isTold && !isCaught) process.exit(1);
  });
}

function divert(stream: NodeJS.WriteStream, origin: number, log: Log): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    const text = textOf(chunk, rest[0]);
    if (text === undefined || log(level, origin, text) === 'nowhere') return write(chunk, ...rest);
    const callback = rest.find((argument) => typeof argument === 'function');
    if (callback !== undefined) process.nextTick(callback as () => void);
    return true;
  };
}

/** Text without its line's end; undefined for what the stream itself has to look at. */
function textOf(chunk: unknown, encoding: unknown): string | undefined {
  const isText = typeof encoding !== 'string' || /^utf-?8$/i.test(encoding);
  if (typeof chunk === 'string' && isText) return chunk.replace(/\n$/, '');
  if (chunk instanceof Uint8Array) {
    return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString().replace(/\n$/, '');
  }
  return undefined;
}

/** Has what a console method writes carry its level. */
function levelled(name: keyof typeof LEVELS, own: number): void {
  const print = console[name].bind(console);
  console[name] = (...args: unknown[]): void => {
    level = own;
    try {
      print(...args);
    } finally {
      level = LOG_INFORMATION;
    }
  };
}
