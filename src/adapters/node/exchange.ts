/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

import { AsyncResource } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ExchangeLink, LinkedExchange } from '../../gateway/adapter.js';
import { connectionTail, cut, type EnvironFactories } from '../../gateway/environ.js';
import {
  HEAD_FLAG_HTTP10,
  HEAD_FLAG_TLS,
  HEAD_FLAGS,
  HEAD_PORTS,
  HEAD_REMOTE_ADDR,
  HEAD_TARGET,
  KIND_INFO,
  RESET_APPLICATION_ERROR,
  RESET_BODY,
  RESET_CLIENT_GONE,
} from '../../gateway/frame.js';
import type { Input } from '../../gateway/input.js';
import { logFailure, sendErrorPage } from './failure.js';
import { Feed, type FeedOwner } from './feed.js';
import { fillRequest } from './request.js';
import { SecureRequestSocket } from './secure-socket.js';
import { type Peer, RequestSocket, type SocketOwner } from './socket.js';
import { isThenable } from '../thenable.js';
import { Unframed } from './unframed.js';

/** What answers the requests: a handler, or the `http.Server` that an application made. */
export interface Host {
  readonly server: Server | null;
  readonly IncomingMessage: typeof IncomingMessage;
  readonly ServerResponse: typeof ServerResponse;
  readonly joinDuplicateHeaders: boolean;
  /** Tells the application of a request. What it returns or throws is its outcome. */
  request(request: IncomingMessage, response: ServerResponse): unknown;
  /** The application threw, or its promise rejected. Undefined: that is a 500. */
  readonly onError?: (error: unknown) => void;
  /** Told to `request.socket`. */
  readonly localAddress?: string | undefined;
  readonly timeout?: number;
}

type Callback = (error?: Error | null) => void;

const RESOURCE = Object.freeze({ requireManualDestroy: true });
const startChannel = channel('http.server.request.start');
const finishChannel = channel('http.server.response.finish');
const KEEP_ALIVE = /(?:^|\W)keep-alive(?:$|\W)/i;

/** A request and its response as Node's own objects, over a socket of which the core is the other end. */
export class NodeExchange extends AsyncResource implements LinkedExchange, SocketOwner, FeedOwner {
  readonly response: Unframed;
  readonly sequence: number;
  input: Input | null = null;
  running = false;
  body: Buffer | null = null;
  received = 0;
  /** The response is over, and the stream. */
  finished = false;
  private readonly link: ExchangeLink;
  private readonly host: Host;
  private socket!: RequestSocket;
  private req!: IncomingMessage;
  private feed!: Feed;
  private res: ServerResponse | null = null;
  private text = '';
  private remote = 0;
  private target = 0;
  private ports = 0;
  private flags = 0;
  /** Called when what was written is on its way. */
  private callbacks: Callback[] | null = null;
  /** The handler is on the stack: what it writes is sent when it has returned. */
  private calling = false;
  private scheduled = false;
  /** The core has refused the body, and told the client. */
  private refused = false;
  /** All of the response has been written, and there is credit for it. */
  private written = false;

  constructor(link: ExchangeLink, stream: number, window: number, sequence: number, host: Host) {
    super('GWANMUN_REQUEST', RESOURCE);
    this.link = link;
    this.sequence = sequence;
    this.host = host;
    this.response = new Unframed(link.writer, stream, window);
  }

  prepare(_environs: EnvironFactories, words: Int32Array, at: number, text: string, input: Input): void {
    this.input = input;
    this.text = text;
    this.remote = words[at + HEAD_REMOTE_ADDR]!;
    this.target = words[at + HEAD_TARGET]!;
    this.ports = words[at + HEAD_PORTS]!;
    this.flags = words[at + HEAD_FLAGS]!;
    this.socket =
      this.flags & HEAD_FLAG_TLS
        ? new SecureRequestSocket(this, connectionTail(words, at, text))
        : new RequestSocket(this);
    this.req = new this.host.IncomingMessage(this.socket as never);
    fillRequest(this.req, words, at, text);
    if (this.host.joinDuplicateHeaders) (this.req as { joinDuplicateHeaders?: boolean }).joinDuplicateHeaders = true;
    this.feed = new Feed(this, this.req, input, this.socket);
  }

  start(): void {
    this.running = true;
    this.runInAsyncScope(call, undefined, this);
  }

  /** There is credit. */
  resume(): void {
    this.runInAsyncScope(flush, undefined, this);
  }

  abandon(reason = RESET_CLIENT_GONE): void {
    if (reason === RESET_BODY) this.refused = true;
    this.response.gone = true;
    this.response.clear();
    if (this.finished) return;
    if (this.running) this.runInAsyncScope(disconnect, undefined, this);
    else this.finish();
  }

  /**
   * As Node's server, which ends the connection then: what waits for an event or polls is to learn of it. What the handler has
   * ready in this turn still goes out.
   */
  disconnected(): void {
    setImmediate(abandon, this);
  }

  get blocked(): boolean {
    return this.response.headSent && this.response.length > 0;
  }

  /** @internal */
  call(): void {
    const { host, req, socket } = this;
    const res = new host.ServerResponse(req);
    this.res = res;
    if (this.flags & HEAD_FLAG_HTTP10) res.shouldKeepAlive = KEEP_ALIVE.test(req.headers.connection ?? '');
    res.assignSocket(socket as never);
    if (host.timeout) socket.setTimeout(host.timeout);
    if (startChannel.hasSubscribers) startChannel.publish({ request: req, response: res, socket, server: host.server });
    this.calling = true;
    try {
      const result = host.request(req, res);
      if (isThenable(result)) result.then(undefined, (error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
    this.calling = false;
    this.feed.begin();
    if (this.scheduled) this.flushOrFail();
  }

  // What the socket needs.

  get server(): Server | null {
    return this.host.server;
  }

  get peer(): Peer {
    const { ports, host } = this;
    const address = cut(this.text, this.remote);
    const local = ports >>> 16;
    // A server on `::` has told v4 addresses so, as long as there is Node.
    const mapped = host.localAddress === '::' && address !== '' && !address.includes(':') ? '::ffff:' : '';
    return {
      remoteAddress: address === '' ? undefined : mapped + address,
      remotePort: (ports & 0xffff) === 0 ? undefined : ports & 0xffff,
      localAddress: local === 0 ? undefined : (host.localAddress ?? undefined),
      localPort: local === 0 ? undefined : local,
    };
  }

  get waiting(): number {
    return this.written ? 0 : this.response.length;
  }

  write(data: string | Uint8Array, encoding: BufferEncoding | null): boolean {
    const { response, res } = this;
    if (response.gone || response.ended || res === null) return true;
    const interim = response.write(res, data, encoding);
    if (interim !== null) this.inform(interim);
    return response.length < this.socket.writableHighWaterMark;
  }

  /** 1xx, before the response. */
  private inform(text: string): void {
    const status = Number(text.slice(9, 12));
    // The core sends 100 as soon as somebody wants the body.
    if (status === 100) this.pull();
    if (status < 102 || status > 199 || this.response.gone) return;
    const lines = text.slice(text.indexOf('\r\n') + 2, -2);
    this.link.writer.lines(KIND_INFO, this.response.stream, status, lines);
  }

  settle(callback: Callback | undefined): void {
    if (callback !== undefined) (this.callbacks ??= []).push(callback);
    if (this.scheduled) return;
    this.scheduled = true;
    if (!this.calling) process.nextTick(flush, this);
  }

  pull(): void {
    if (this.running) this.feed.pull();
  }

  announce(): void {
    const { feed } = this;
    feed.announce();
    if (feed.isWanting) this.runInAsyncScope(pull, undefined, this);
  }

  /** With Node, the kernel has by now what was written: that still goes out, as far as there is credit. */
  hangUp(error: Error | undefined): void {
    const { response, socket, res } = this;
    // What was written by hand has no other end.
    const ends = this.ends || (response.begun && res?.headersSent === false);
    socket.quiet();
    socket.destroyed = true;
    try {
      if (ends || !socket.isCorked) this.send(ends);
    } catch {
      // A head that is too large: nobody gets it.
    }
    response.clear();
    response.reset(RESET_CLIENT_GONE);
    response.gone = true;
    process.nextTick(hungUp, this, error);
  }

  onTimeout(): void {
    this.runInAsyncScope(timedOut, undefined, this);
  }

  /** @internal {@link flush}, of which listeners of the application may throw. */
  flushOrFail(): void {
    try {
      this.flush();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Sends what was written, and calls back. */
  private flush(): void {
    const { response, res, socket } = this;
    this.scheduled = false;
    if (res === null || this.finished) {
      this.callBack();
      return;
    }
    if (res.writableEnded && this.feed.mustHold()) return;
    try {
      if (this.ends && !response.fits) response.flush(false);
      if (this.ends && response.begun && response.fits) this.conclude(res);
      else this.send(this.ends);
    } catch (error) {
      this.fail(error);
    }
    if (response.length > 0) return;
    if (response.ended) this.close();
    else if (response.gone) this.finish();
    this.callBack();
    if (!socket._writableState.needDrain) return;
    socket._writableState.needDrain = false;
    socket.emit('drain');
    if (!res.writableNeedDrain) return;
    // The way to Node's own bookkeeping of `drain`: it flushes what it queued itself.
    const internals = res as unknown as { outputData: unknown[]; outputSize: number; _flush(): void };
    internals.outputData.push({ data: '', encoding: 'latin1', callback: null });
    internals._flush();
  }

  /** Whether the application has written all that it will. */
  private get ends(): boolean {
    return this.res?.writableEnded === true || !this.socket.writable;
  }

  /** Sends what was written; with its end, that the application has closed the connection. */
  private send(ends: boolean): void {
    const { response, res, socket } = this;
    // Node would write them behind the last chunk, which is the core's.
    if (res?.writableEnded) response.trailers = (res as unknown as { _trailer?: string })._trailer ?? '';
    if (ends && !socket.writable && response.fits) response.close();
    response.flush(ends);
  }

  private callBack(): void {
    const { callbacks } = this;
    if (callbacks === null) return;
    this.callbacks = null;
    for (const callback of callbacks) callback();
  }

  /** Sends the end of a response. Who is told that all is written may hang up, of which the core learns with the end. */
  private conclude(res: ServerResponse): void {
    this.written = true;
    this.detach(res);
    try {
      this.callBack();
    } finally {
      this.send(true);
      if (this.response.ended) this.close();
    }
  }

  /** The response has been written: what Node's server does then, before `finish` is emitted. */
  private detach(res: ServerResponse): void {
    const { req, socket } = this;
    if (socket._httpMessage !== res) return;
    if (finishChannel.hasSubscribers) {
      finishChannel.publish({ request: req, response: res, socket, server: this.host.server });
    }
    res.detachSocket(socket as never);
    // Nobody has read the body: it ends for those who listen. For nobody it need not.
    const internals = req as unknown as { _consuming: boolean; _dump(): void };
    if (!internals._consuming && (req.listenerCount('end') > 0 || req.listenerCount('close') > 0)) internals._dump();
    // A tick later, for those who listen.
    if (res.listenerCount('close') > 0 || res.listenerCount('finish') > 0) process.nextTick(closeResponse, res);
    else closeResponse(res);
  }

  /** The request is over, and with it its socket: the connection is the core's. */
  private close(): void {
    const { socket } = this;
    this.finish();
    if (socket.destroyed) return;
    socket.quiet();
    socket.destroyed = true;
    if (socket.listenerCount('close') > 0) process.nextTick(closeSocket, socket);
  }

  /** @internal The client has gone: as when Node's socket closes. */
  disconnect(error?: Error): void {
    const { socket } = this;
    socket.quiet();
    socket.destroyed = true;
    this.feed.breakOff(this.refused);
    socket.shut(error);
    this.finish();
    this.callbacks = null;
  }

  /** @internal */
  timeOut(): void {
    const { socket, req, res, host } = this;
    // Every one of them is told. The socket's own listeners do not count, as with Node.
    socket.emit('timeout');
    const heard = [
      !req.complete && req.emit('timeout', socket),
      res !== null && socket._httpMessage === res && res.emit('timeout', socket),
      host.server?.emit('timeout', socket) ?? false,
    ];
    if (!heard.includes(true)) socket.destroy();
  }

  /** The application threw. */
  private fail(error: unknown): void {
    if (this.host.onError !== undefined) {
      this.host.onError(error);
      return;
    }
    const { link, response, req } = this;
    logFailure(link, response, req, cut(this.text, this.target), error);
    if (this.finished) return;
    sendErrorPage(link, response, req, error);
    response.reset(RESET_APPLICATION_ERROR);
    response.gone = true;
    this.disconnect();
  }

  /** The stream is over. */
  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.response.reset(RESET_CLIENT_GONE);
    this.link.release(this);
    this.input?.release();
    this.socket.stopTimer();
    this.emitDestroy();
  }
}

function pull(exchange: NodeExchange): void {
  exchange.pull();
}

function call(exchange: NodeExchange): void {
  exchange.call();
}

function flush(exchange: NodeExchange): void {
  exchange.flushOrFail();
}

function disconnect(exchange: NodeExchange): void {
  exchange.disconnect();
}

function hungUp(exchange: NodeExchange, error: Error | undefined): void {
  exchange.disconnect(error);
}

function abandon(exchange: NodeExchange): void {
  exchange.abandon();
}

function timedOut(exchange: NodeExchange): void {
  exchange.timeOut();
}

/** As Node: a response is closed a tick after it has finished. */
function closeResponse(res: ServerResponse): void {
  const internals = res as unknown as { _closed: boolean };
  if (internals._closed) return;
  res.destroyed = true;
  internals._closed = true;
  res.emit('close');
}

function closeSocket(socket: RequestSocket): void {
  socket.shut(undefined);
}
