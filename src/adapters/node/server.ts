// `http.Server` on the core.

import {
  IncomingMessage,
  maxHeaderSize,
  type RequestListener,
  Server,
  ServerResponse,
  type ServerOptions,
} from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import { resolveConfig } from '../../config/resolve.js';
import { toCoreConfig } from '../../config/to-core.js';
import type { CoreConfig, CoreListener, CoreTls } from '../../config/core.js';
import type { AccessLogFormat } from '../../config/define.js';
import { MAX_HEAD_BYTES } from '../../config/schema.js';
import { GwanmunError } from '../../errors.js';
import { InProcessServer, MOST_MS } from '../../in-process.js';
import { loadNative } from '../../native.js';
import type { Host } from './exchange.js';
import { nodeHost } from './handler.js';
import { parseListen } from './listen.js';

/** What a server that listens has, by the server: methods of ours are lent to Node's own servers too. */
const states = new WeakMap<Server, State>();
let listened = false;
/** Node's own: `https.Server` takes over what it finds in `http.Server`; until the two are taken over, its connections are not the core's. */
const nodes = {
  closeAllConnections: Server.prototype.closeAllConnections,
  closeIdleConnections: Server.prototype.closeIdleConnections,
};

/** Whether a server of this process has ever been told to listen. */
export function hasListened(): boolean {
  return listened;
}

/** What `gwanmun run` wishes of the servers of its program. */
export interface Wishes {
  readonly accessLog: AccessLogFormat | false;
  /** One listens. */
  readonly onListen: (server: Server, core: InProcessServer) => void;
}

let wishes: Wishes | undefined;

export function wish(wished: Wishes): void {
  wishes = wished;
}

/** What makes a server one of HTTPS. */
export interface Secured {
  readonly tls: CoreTls;
  readonly minTls: '1.2' | '1.3';
}

/** Of an `https.Server`; throws a GwanmunError for options that the core cannot honour. */
let securedOf: (server: Server) => Secured | undefined = () => undefined;

export function secureWith(secured: typeof securedOf): void {
  securedOf = secured;
}

/** A server that listens gets other certificates. */
export function useCertificates(server: Server, certificates: () => CoreTls): void {
  const state = states.get(server);
  if (state !== undefined) state.core.useCertificates(certificates());
}

interface State {
  readonly core: InProcessServer;
  readonly address: AddressInfo | string;
}

/**
 * An `http.Server` whose connections are the core's. `listen` binds before it returns; all else is as Node has it, as far as
 * it does not concern single connections.
 */
export class GatewayServer extends Server {
  override listen(...args: unknown[]): this {
    listened = true;
    if (states.has(this)) {
      throw Object.assign(new Error('Listen method has been called more than once without closing.'), {
        code: 'ERR_SERVER_ALREADY_LISTEN',
      });
    }
    const { address, anyHost, signal, callback } = parseListen(args);
    if (signal?.aborted === true) {
      process.nextTick(() => this.close());
      return this;
    }
    if (callback !== undefined) this.once('listening', callback);
    try {
      const state = start(this, address, anyHost);
      states.set(this, state);
      // Whether it is there is what `listening` and many libraries look at.
      handleOf(this)._handle = state;
      if (handleOf(this)._unref === true) state.core.keepAlive(false);
      wishes?.onListen(this, state.core);
    } catch (error) {
      process.nextTick(() => this.emit('error', asNode(error, address)));
      return this;
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
    // Node's own watch over connections, of which this server has none.
    for (const own of this.listeners('listening')) {
      if (own.name === 'setupConnectionsTracking') this.removeListener('listening', own as () => void);
    }
    if (this.listenerCount('upgrade') > 0) {
      process.emitWarning(
        "gwanmun does not do upgrades yet: 'upgrade' is not emitted, and such requests are answered with 501",
        {
          code: 'GWM_UPGRADE',
        },
      );
    }
    process.nextTick(() => {
      if (states.has(this)) this.emit('listening');
    });
    return this;
  }

  override address(): AddressInfo | string | null {
    return states.get(this)?.address ?? null;
  }

  override close(callback?: (error?: Error) => void): this {
    const state = states.get(this);
    if (state === undefined) {
      const error = Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' });
      if (callback !== undefined) process.nextTick(callback, error);
      return this;
    }
    if (callback !== undefined) this.once('close', callback);
    // Libraries look for this call.
    this.closeIdleConnections();
    states.delete(this);
    handleOf(this)._handle = null;
    closing.set(this, state);
    void state.core.close({ graceMs: MOST_MS }).then(() => {
      closing.delete(this);
      this.emit('close');
    });
    return this;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.close((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  override closeAllConnections(): void {
    const state = states.get(this) ?? closing.get(this);
    if (state === undefined) nodes.closeAllConnections.call(this);
    else state.core.closeConnections(false);
  }

  override closeIdleConnections(): void {
    const state = states.get(this) ?? closing.get(this);
    if (state === undefined) nodes.closeIdleConnections.call(this);
    else state.core.closeConnections(true);
  }

  override ref(): this {
    handleOf(this)._unref = false;
    states.get(this)?.core.keepAlive(true);
    return this;
  }

  override unref(): this {
    // Node's own name: it counts before `listen` too.
    handleOf(this)._unref = true;
    states.get(this)?.core.keepAlive(false);
    return this;
  }
}

function handleOf(server: Server): { _handle: object | null; _unref?: boolean } {
  return server as unknown as { _handle: object | null };
}

/** Servers whose last connections have not ended. */
const closing = new WeakMap<Server, State>();

/** As `http.createServer`, on the core: `createServer(app).listen(3000)`. */
export function createServer(options?: ServerOptions | RequestListener, listener?: RequestListener): GatewayServer {
  return typeof options === 'function' ? new GatewayServer(options) : new GatewayServer(options ?? {}, listener);
}

/** Makes every `http.Server` of this process listen on the core. */
export function takeOver(): void {
  const { constructor: _constructor, ...methods } = Object.getOwnPropertyDescriptors(GatewayServer.prototype);
  Object.defineProperties(Server.prototype, methods as PropertyDescriptorMap);
}

function start(server: Server, address: CoreListener, anyHost: boolean): State {
  const native = loadNative();
  const secured = securedOf(server);
  const begin = (listener: CoreListener): State => {
    const core = new InProcessServer(
      native,
      configFor(server, listener, secured),
      MOST_MS,
      (status, reason) => tellClientError(server, status, reason),
      secured?.tls,
    );
    const bound = core.addresses[0];
    const info: AddressInfo | string =
      bound === undefined || bound.kind === 'unix'
        ? (bound?.path ?? '')
        : { address: bound.host, family: bound.host.includes(':') ? 'IPv6' : 'IPv4', port: bound.port };
    core.attach([nodeHost(hostFor(server, typeof info === 'string' ? undefined : info.address))], CONCURRENCY);
    return { core, address: info };
  };
  try {
    return begin(address);
  } catch (error) {
    const isUnavailable = error instanceof GwanmunError && error.code === 'GWM_ADDRESS_UNAVAILABLE';
    if (!anyHost || !isUnavailable || address.kind !== 'tcp') throw error;
    return begin({ ...address, host: '0.0.0.0' });
  }
}

/** Node's codes for what is wrong with a request; for the rest, that of its parser for what is not allowed. */
const CLIENT_ERRORS: Readonly<Record<number, string>> = {
  408: 'ERR_HTTP_REQUEST_TIMEOUT',
  414: 'HPE_HEADER_OVERFLOW',
  431: 'HPE_HEADER_OVERFLOW',
};

/** The core has answered, and has closed the connection or will: the socket is one that cannot be written to. */
function tellClientError(server: Server, status: number, reason: string): void {
  if (server.listenerCount('clientError') === 0) return;
  const error = Object.assign(new Error(`Parse Error: ${reason}`), {
    code: CLIENT_ERRORS[status] ?? 'HPE_STRICT',
    statusCode: status,
  });
  server.emit('clientError', error, new Socket().destroy());
}

/** What a server was made with, as Node's own constructor keeps it: the classes are under symbols of these names. */
function optionsOf(server: Server): ServerOptions {
  const values = server as unknown as ServerOptions & Record<symbol, never>;
  const named = (name: string) => {
    const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === name);
    return key && values[key];
  };
  return {
    maxHeaderSize: values.maxHeaderSize,
    joinDuplicateHeaders: values.joinDuplicateHeaders,
    IncomingMessage: named('IncomingMessage'),
    ServerResponse: named('ServerResponse'),
  };
}

/** What the program has asked for, by its options or `--max-http-header-size`, as far as a frame holds it. */
function headerBytesOf(server: Server): number {
  const wished = optionsOf(server).maxHeaderSize || maxHeaderSize;
  if (wished > MAX_HEAD_BYTES) {
    process.emitWarning(`gwanmun takes request heads of up to ${MAX_HEAD_BYTES} bytes, not of ${wished}`, {
      code: 'GWM_MAX_HEADER_SIZE',
    });
  }
  return Math.min(Math.max(wished, 256), MAX_HEAD_BYTES);
}

/** Node's servers have no limit. */
const CONCURRENCY = 65_535;

function configFor(server: Server, listener: CoreListener, secured: Secured | undefined): CoreConfig {
  const most = (ms: number): number => (ms > 0 ? Math.min(ms, MOST_MS) : MOST_MS);
  const headerBytes = headerBytesOf(server);
  const requestTimeout = most(server.requestTimeout);
  const resolved = resolveConfig({
    config: {
      mounts: [{ path: '/' }],
      limits: {
        requestLine: headerBytes,
        headerBytes,
        headerCount: Math.min(server.maxHeadersCount || 1000, 1000),
        body: Number.MAX_SAFE_INTEGER,
      },
      timeouts: {
        header: Math.min(most(server.headersTimeout), requestTimeout),
        body: requestTimeout,
        keepAlive: most(server.keepAliveTimeout),
      },
      // One event loop keeps one I/O thread busy at most.
      threads: 1,
      server: false,
      accessLog: wishes?.accessLog ?? false,
    },
    directory: process.cwd(),
    source: { name: 'http.Server' },
  });
  const core = toCoreConfig(resolved);
  core.listen = [secured === undefined ? listener : { ...listener, tls: true }];
  if (secured !== undefined) core.minTls = secured.minTls;
  core.tellRefusals = true;
  // As from Node's own server: whom to believe is what the program decides.
  delete core.trustedProxies;
  for (const mount of core.mounts) Object.assign(mount, { application: 0, pool: 0 });
  // A handler may take as long as it likes, as under Node's own server.
  core.pools = [{ queue: resolved.queue.length, queueTimeoutMs: resolved.queue.timeout, requestTimeoutMs: 0 }];
  return core;
}

function hostFor(server: Server, localAddress: string | undefined): Host {
  const options = optionsOf(server);
  return {
    server,
    IncomingMessage: options.IncomingMessage ?? IncomingMessage,
    ServerResponse: options.ServerResponse ?? ServerResponse,
    joinDuplicateHeaders: options.joinDuplicateHeaders === true,
    localAddress,
    get timeout() {
      return server.timeout;
    },
    request: (req, res) => dispatch(server, req, res),
    // As from any other listener.
    onError: (error) =>
      process.nextTick(() => {
        throw error;
      }),
  };
}

const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

/** Tells the listeners of a request, as Node's server does. */
function dispatch(server: Server, req: IncomingMessage, res: ServerResponse): void {
  // Node's own is the first; it would read from the socket.
  const connection = (req.socket as { encrypted?: boolean }).encrypted === true ? 'secureConnection' : 'connection';
  if (server.listenerCount(connection) > 1) {
    for (const listener of server.listeners(connection)) {
      if (listener.name !== 'connectionListener') listener.call(server, req.socket);
    }
  }
  if (server.listenerCount('upgrade') > 0 && req.headers.upgrade !== undefined) {
    res.writeHead(501, { 'Content-Type': 'text/plain', Connection: 'close' });
    res.end('This server does not do upgrades yet.\n');
    return;
  }
  if (server.listenerCount('checkContinue') > 0 && CONTINUE.test(req.headers.expect ?? '')) {
    server.emit('checkContinue', req, res);
    return;
  }
  server.emit('request', req, res);
}

/** What the core says of an address, as Node says it. */
function asNode(error: unknown, address: CoreListener): unknown {
  if (!(error instanceof GwanmunError)) return error;
  const known = CODES[error.code];
  if (known === undefined) return error;
  const [code, errno, text] = known;
  const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
  return Object.assign(new Error(`listen ${code}: ${text} ${where}`, { cause: error }), {
    code,
    errno,
    syscall: 'listen',
    ...(address.kind === 'unix' ? { address: address.path, port: -1 } : { address: address.host, port: address.port }),
  });
}

const CODES: Partial<Record<string, readonly [code: string, errno: number, text: string]>> = {
  GWM_PORT_IN_USE: ['EADDRINUSE', -98, 'address already in use'],
  GWM_PORT_FORBIDDEN: ['EACCES', -13, 'permission denied'],
  GWM_ADDRESS_UNAVAILABLE: ['EADDRNOTAVAIL', -99, 'address not available'],
};
