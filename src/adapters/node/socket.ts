import { EventEmitter } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a socket needs of its exchange. */
export interface SocketOwner {
  /** What the connection is like. */
  readonly peer: Peer;
  /** The `http.Server` that the application made, if it did. */
  readonly server: Server | null;
  /** The application has written. False: it should wait for `drain`. */
  write(data: string | Uint8Array, encoding: BufferEncoding | null): boolean;
  /** Once this tick's writes are done, `callback` is called as soon as they are on their way. */
  settle(callback: ((error?: Error | null) => void) | undefined): void;
  /** Characters and bytes that wait. */
  readonly waiting: number;
  /** The application takes more of the request's body. */
  pull(): void;
  /** The application hangs up. */
  hangUp(error: Error | undefined): void;
  /** Nothing was written or read for as long as `setTimeout` said. */
  onTimeout(): void;
}

/** The addresses of a client's connection. */
export interface Peer {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** A write gives false from here on; of a request body that nobody reads yet, so much is received. */
export const HIGH_WATER_MARK = 65_536;

/**
 * What stands in for the `net.Socket` of a request: `IncomingMessage` and `ServerResponse` are Node's own, and this is all
 * that they see of the world. What they write goes to the core.
 *
 * One belongs to one request, because the connection is the core's: its requests may go to several workers.
 */
export class RequestSocket extends EventEmitter {
  /** Node's, by `assignSocket`. */
  _httpMessage: ServerResponse | null = null;
  /** `ServerResponse.end` sets `corked`. */
  readonly _writableState = { corked: 0, needDrain: false };
  _paused = false;
  readable = true;
  writable = true;
  destroyed = false;
  /** Milliseconds, 0 for none. */
  timeout = 0;
  bytesRead = 0;
  bytesWritten = 0;
  /** @internal With Node, what is written now would not have left the process. */
  isCorked = false;
  /** @internal */
  readonly owner: SocketOwner;
  private timer: NodeJS.Timeout | undefined;

  constructor(owner: SocketOwner) {
    super();
    this.owner = owner;
  }

  get server(): Server | null {
    return this.owner.server;
  }

  get remoteAddress(): string | undefined {
    return this.owner.peer.remoteAddress;
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.remoteAddress);
  }

  get remotePort(): number | undefined {
    return this.owner.peer.remotePort;
  }

  get localAddress(): string | undefined {
    return this.owner.peer.localAddress;
  }

  get localFamily(): string | undefined {
    return familyOf(this.localAddress);
  }

  get localPort(): number | undefined {
    return this.owner.peer.localPort;
  }

  get connecting(): boolean {
    return false;
  }

  get pending(): boolean {
    return false;
  }

  get closed(): boolean {
    return this.destroyed;
  }

  get readyState(): string {
    if (this.destroyed) return 'closed';
    return this.writable ? 'open' : 'readOnly';
  }

  get readableHighWaterMark(): number {
    return HIGH_WATER_MARK;
  }

  get writableHighWaterMark(): number {
    return HIGH_WATER_MARK;
  }

  get writableLength(): number {
    return this.owner.waiting;
  }

  get bufferSize(): number {
    return this.owner.waiting;
  }

  /** Writes are collected anyway until the end of the tick. */
  get writableCorked(): number {
    return 0;
  }

  get writableEnded(): boolean {
    return !this.writable;
  }

  get writableNeedDrain(): boolean {
    return this._writableState.needDrain;
  }

  address(): AddressInfo | Record<string, never> {
    const { localAddress: address, localPort: port, localFamily: family } = this;
    return address === undefined || port === undefined || family === undefined ? {} : { address, family, port };
  }

  write(
    data: string | Uint8Array,
    encoding?: BufferEncoding | null | ((error?: Error | null) => void),
    callback?: (error?: Error | null) => void,
  ): boolean {
    if (typeof encoding === 'function') return this.write(data, null, encoding);
    if (!this.writable) {
      const error = Object.assign(new Error('write after end'), {
        code: this.destroyed ? 'ERR_STREAM_DESTROYED' : 'EPIPE',
      });
      if (typeof callback === 'function') process.nextTick(callback, error);
      return false;
    }
    if (this.timer !== undefined) this.timer.refresh();
    const goOn = data.length === 0 || this.owner.write(data, encoding ?? null);
    this.owner.settle(typeof callback === 'function' ? callback : undefined);
    if (!goOn) this._writableState.needDrain = true;
    return goOn;
  }

  end(data?: unknown, encoding?: unknown, callback?: unknown): this {
    const done = [data, encoding, callback].find((value) => typeof value === 'function') as (() => void) | undefined;
    if (typeof data === 'string' || data instanceof Uint8Array) {
      this.write(data, typeof encoding === 'string' ? (encoding as BufferEncoding) : null);
    }
    if (done !== undefined) this.once('finish', done);
    this.destroySoon();
    return this;
  }

  /** `ServerResponse.write` calls it for the rest of the tick. */
  cork(): void {
    this.isCorked = true;
  }

  /** `ServerResponse.end` calls it last. */
  uncork(): void {
    this.isCorked = false;
    if (this.writable) this.owner.settle(undefined);
  }

  /** `IncomingMessage` wants more of the body. */
  resume(): this {
    if (this.readable) this.owner.pull();
    return this;
  }

  pause(): this {
    return this;
  }

  destroy(error?: Error): this {
    if (!this.destroyed) this.owner.hangUp(error);
    return this;
  }

  /** Hangs up once everything is written. */
  destroySoon(): void {
    if (this.writable) this.owner.settle(() => this.destroy());
    this.writable = false;
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  setTimeout(milliseconds: number, callback?: () => void): this {
    this.stopTimer();
    this.timeout = milliseconds;
    if (milliseconds > 0) this.timer = setTimeout(() => this.owner.onTimeout(), milliseconds).unref();
    if (callback !== undefined) {
      if (milliseconds > 0) this.once('timeout', callback);
      else this.removeListener('timeout', callback);
    }
    return this;
  }

  /** The core has set it for every connection. */
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setEncoding(): this {
    return this;
  }

  /** The core's connections do not keep this process alive by themselves. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** @internal Nothing goes in or out any more; `close` is told to the listeners. */
  shut(error: Error | undefined): void {
    this.quiet();
    this.destroyed = true;
    // Node's server listens itself, so that an error is nothing that nobody handles.
    if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error);
    this.emit('close', error !== undefined);
  }

  /** @internal The request is over, and with it what this socket can do. */
  quiet(): void {
    this.readable = false;
    this.writable = false;
    this.stopTimer();
  }

  /** @internal */
  stopTimer(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

function familyOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
