// The arguments of `net.Server.listen`, of which it takes many.

import type { ListenOptions } from 'node:net';
import type { CoreListener } from '../../config/core.js';

/** What `listen` was asked for. */
export interface ListenRequest {
  readonly address: CoreListener;
  /** No host was named: every address of the machine, and if there is no IPv6, those of IPv4. */
  readonly anyHost: boolean;
  readonly signal: AbortSignal | undefined;
  readonly callback: (() => void) | undefined;
}

/** @throws as Node does for what it does not take, and for what the core cannot do */
export function parseListen(args: readonly unknown[]): ListenRequest {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  const [first, second, third] = args.filter((arg) => typeof arg !== 'function');
  const options: ListenOptions & { fd?: unknown; reusePort?: boolean } = isObject(first)
    ? first
    : isPath(first)
      ? { path: first, backlog: number(second) }
      : {
          port: first as number,
          host: typeof second === 'string' ? second : undefined,
          backlog: number(typeof second === 'string' ? third : second),
        };
  if ('fd' in options || '_handle' in options || 'handle' in options) {
    throw Object.assign(
      new TypeError('gwanmun cannot listen on a handle or descriptor; give a port or the path of a Unix socket'),
      {
        code: 'ERR_INVALID_ARG_VALUE',
      },
    );
  }
  const { signal } = options;
  if (options.path !== undefined) {
    const mode = options.readableAll || options.writableAll ? 0o666 : undefined;
    return {
      address: { kind: 'unix', path: String(options.path), ...(mode === undefined ? {} : { mode }) },
      anyHost: false,
      signal,
      callback,
    };
  }
  const anyHost = options.host === undefined || options.host === '';
  const address: CoreListener = {
    kind: 'tcp',
    host: anyHost ? '::' : String(options.host),
    port: port(options.port),
    single: true,
    ...(options.backlog === undefined ? {} : { backlog: options.backlog }),
  };
  return { address, anyHost, signal, callback };
}

/** `undefined` and `null` are 0: any free port. */
function port(value: unknown): number {
  const chosen =
    value === undefined || value === null
      ? 0
      : typeof value === 'string' && value.trim() !== ''
        ? Number(value)
        : value;
  if (typeof chosen === 'number' && Number.isInteger(chosen) && chosen >= 0 && chosen < 65_536) return chosen;
  throw Object.assign(new RangeError(`options.port should be >= 0 and < 65536. Received ${String(value)}.`), {
    code: 'ERR_SOCKET_BAD_PORT',
  });
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** A string that is no number is the path of a Unix socket. */
function isPath(value: unknown): value is string {
  return typeof value === 'string' && !(Number(value) >= 0);
}

function isObject(value: unknown): value is ListenOptions {
  return typeof value === 'object' && value !== null;
}
