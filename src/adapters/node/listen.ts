// The arguments of `net.Server.listen`, of which it takes many.

import { inspect } from 'node:util';
import type { CoreListener } from '../../config/core.js';

/** What `listen` was asked for. */
export interface ListenRequest {
  readonly address: CoreListener;
  /** No host was named: every address of the machine, and if there is no IPv6, those of IPv4. */
  readonly anyHost: boolean;
  readonly signal: AbortSignal | undefined;
  readonly callback: (() => void) | undefined;
}

interface Options {
  readonly port?: unknown;
  readonly host?: unknown;
  readonly path?: unknown;
  readonly backlog?: unknown;
  readonly fd?: unknown;
  readonly handle?: unknown;
  readonly _handle?: unknown;
  readonly ipv6Only?: unknown;
  readonly reusePort?: unknown;
  readonly readableAll?: unknown;
  readonly writableAll?: unknown;
  readonly signal?: unknown;
}

/**
 * In the order of `net.Server.listen`: a port counts before a path, and what it ignores is ignored.
 *
 * @throws as Node does for what it does not take, and for what the core cannot do
 */
export function parseListen(args: readonly unknown[]): ListenRequest {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  const [first, second, third] = args;
  const options = optionsOf(args);
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid('ERR_INVALID_ARG_TYPE', 'The "options.signal" property must be an instance of AbortSignal.');
  }
  if (options._handle || options.handle || (typeof options.fd === 'number' && options.fd >= 0)) {
    const message = 'gwanmun cannot listen on a handle or descriptor; give a port or the path of a Unix socket';
    throw invalid('ERR_INVALID_ARG_VALUE', message);
  }
  const anyPort =
    args.length === 0 ||
    typeof first === 'function' ||
    ('port' in options && options.port === undefined) ||
    options.port === null;
  if (anyPort || typeof options.port === 'number' || typeof options.port === 'string') {
    // `backlog` of the options, then the second argument, then the third.
    const backlog = [options.backlog, second, third].map(count).find((value) => value !== undefined);
    const anyHost = !options.host;
    const address: CoreListener = {
      kind: 'tcp',
      host: anyHost ? '::' : host(options.host),
      port: anyPort ? 0 : port(options.port),
      single: true,
      ...(backlog === undefined ? {} : { backlog }),
      ...(options.ipv6Only === true ? { ipv6Only: true } : {}),
      ...(options.reusePort === true ? { shared: true } : {}),
    };
    return { address, anyHost, signal, callback };
  }
  if (isPath(options.path)) {
    const mode = modeOf(options);
    const address: CoreListener = { kind: 'unix', path: options.path, ...(mode === undefined ? {} : { mode }) };
    return { address, anyHost: false, signal, callback };
  }
  const missing = 'port' in options || 'path' in options ? '' : ', it must have the property "port" or "path"';
  throw invalid('ERR_INVALID_ARG_VALUE', `The argument 'options' is invalid${missing}. Received ${inspect(first)}`);
}

/** The arguments as one object. */
function optionsOf(args: readonly unknown[]): Options {
  const [first, second] = args;
  if (typeof first === 'object' && first !== null) return first;
  if (args.length === 0 || typeof first === 'function') return {};
  if (isPath(first)) return { path: first };
  return { port: first, host: typeof second === 'string' ? second : undefined };
}

function port(value: unknown): number {
  const chosen = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof chosen === 'number' && Number.isInteger(chosen) && chosen >= 0 && chosen < 65_536) return chosen;
  throw Object.assign(new RangeError(`options.port should be >= 0 and < 65536. Received ${String(value)}.`), {
    code: 'ERR_SOCKET_BAD_PORT',
  });
}

function host(value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalid(
    'ERR_INVALID_ARG_TYPE',
    `The "options.host" property must be of type string. Received ${inspect(value)}`,
  );
}

/** The kernel takes what is more than it allows for what it allows. */
function count(value: unknown): number | undefined {
  const number = typeof value === 'number' || typeof value === 'string' ? Math.trunc(Number(value)) : 0;
  return number > 0 ? Math.min(number, 2_147_483_647) : undefined;
}

/** Who may connect to a Unix socket: whoever may write. Without a wish the umask says. */
function modeOf({ readableAll, writableAll }: Options): number | undefined {
  const wished = (readableAll === true ? 0o444 : 0) | (writableAll === true ? 0o222 : 0);
  return wished === 0 ? undefined : (0o777 & ~process.umask()) | wished;
}

/** A string that is no number is the path of a Unix socket. */
function isPath(value: unknown): value is string {
  return typeof value === 'string' && !(Number(value) >= 0);
}

function invalid(code: string, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}
