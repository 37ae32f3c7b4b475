// The real core and a worker that is written by hand from docs/gateway-protocol.md: it can break every rule.

import { closeSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoreAddress, CoreConfig, CoreEvent } from '../../src/config/core.js';
import * as f from '../../src/gateway/frame.js';
import { loadNative, type CoreStatus, type CoreUsage, type NativeCore, type NativeLink } from '../../src/native.js';

const native = loadNative();

/** One frame from the core. */
export interface Frame {
  kind: number;
  flags: number;
  stream: number;
  extra: number;
  payload: Buffer;
  /** The descriptor that came with it; the test closes it. */
  fd: number | undefined;
}

/** Writes one frame. */
export function frame(kind: number, stream: number, extra = 0, payload: Uint8Array | string = '', flags = 0): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1');
  const size = f.FRAME_HEADER + bytes.length;
  const whole = Buffer.alloc((size + 7) & ~7);
  whole.writeUInt32LE(size, 0);
  whole[4] = kind;
  whole[5] = flags;
  whole.writeUInt32LE(stream, 8);
  whole.writeUInt32LE(extra >>> 0, 12);
  whole.set(bytes, f.FRAME_HEADER);
  return whole;
}

/** A response HEAD: header lines and the start of the body. */
export function head(stream: number, extra: number, lines = '', body = '', flags = 0, form = 0): Buffer {
  const fixed = Buffer.alloc(f.RESPONSE_HEAD);
  fixed.writeUInt32LE(lines.length, 0);
  fixed.writeUInt32LE(form, 4);
  return frame(f.KIND_HEAD, stream, extra, Buffer.concat([fixed, Buffer.from(lines + body, 'latin1')]), flags);
}

/** A whole response in one frame. */
export function response(stream: number, body: string): Buffer {
  return head(stream, 200, 'Content-Type: text/plain\r\n', body, f.FLAG_END);
}

export function hello({
  version = f.PROTOCOL_VERSION,
  encoding = f.ENCODING_OFFSETS,
  concurrency = 16,
  capabilities = 0,
  name = 'fake',
} = {}): Buffer {
  const fixed = Buffer.alloc(16);
  for (const [index, value] of [version, encoding, concurrency, capabilities].entries())
    fixed.writeUInt32LE(value, index * 4);
  return frame(f.KIND_HELLO, 0, 0, Buffer.concat([fixed, Buffer.from(name)]));
}

/** A piece of a request's text. */
export function piece(payload: Buffer, word: number): string {
  const text = payload.subarray(payload.readUInt32LE(f.HEAD_TEXT_START * 4));
  const pair = payload.readUInt32LE(word * 4);
  return text.toString('latin1', pair >>> 16, pair & 0xffff);
}

/** A core of its own for one test. */
export class TestCore {
  readonly core: NativeCore;
  readonly port: number;
  readonly events: CoreEvent[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-core-'));
  private readonly workers: FakeWorker[] = [];
  private wake: (() => void)[] = [];

  constructor({
    limits,
    ...config
  }: Partial<Omit<CoreConfig, 'limits'>> & { limits?: Partial<CoreConfig['limits']> } = {}) {
    const whole: CoreConfig = {
      threads: 1,
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
      mounts: [{ path: '/app', application: 0, pool: 0 }],
      pools: [{ queue: 64, queueTimeoutMs: 15_000, requestTimeoutMs: 0 }],
      limits: {
        requestLine: 8192,
        headerBytes: 16_384,
        headerCount: 100,
        body: 10_000_000,
        bodyInMemory: 65_536,
        spool: 1e9,
        minRate: 240,
        ...limits,
      },
      timeouts: { headerMs: 15_000, bodyMs: 15_000, keepAliveMs: 15_000, writeMs: 15_000 },
      serverHeader: null,
      accessLog: { format: 'off', color: false },
      errorLog: { format: 'text', level: 'info', file: join(this.folder, 'error.log'), timed: true },
      requestIds: 'off',
      tempDir: this.folder,
      reservedDescriptors: 0,
      environ: {},
      multiprocess: true,
      ...config,
    };
    this.core = new native.Core(JSON.stringify(whole), null, (event) => {
      this.events.push(JSON.parse(event) as CoreEvent);
      for (const wake of this.wake.splice(0)) wake();
    });
    const [address] = JSON.parse(this.core.addresses()) as CoreAddress[];
    this.port = address?.kind === 'tcp' ? address.port : 0;
  }

  /** A worker that has said nothing yet. */
  connect(): FakeWorker {
    const worker = new FakeWorker(this.core.addWorker(0));
    this.workers.push(worker);
    return worker;
  }

  /** A worker that takes requests. */
  async worker(concurrency = 16, capabilities = 0): Promise<FakeWorker> {
    const worker = this.connect();
    worker.send(hello({ concurrency, capabilities }), frame(f.KIND_READY, 0));
    await this.event('worker-ready', worker.id);
    await worker.next(f.KIND_HELLO);
    return worker;
  }

  /** Waits for an event about a worker. */
  async event<T extends CoreEvent['type']>(type: T, worker?: number): Promise<Extract<CoreEvent, { type: T }>> {
    for (;;) {
      for (const event of this.events) {
        if (event.type === type && (!('worker' in event) || event.worker === worker)) {
          return event as Extract<CoreEvent, { type: T }>;
        }
      }
      await new Promise<void>((resolve) => this.wake.push(resolve));
    }
  }

  /** Waits until what the core counts is as a test wants it. */
  async held(isSo: (held: CoreUsage) => boolean): Promise<CoreUsage> {
    for (;;) {
      const { held } = JSON.parse(this.core.status()) as CoreStatus;
      if (isSo(held)) return held;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** What the core has logged; complete after the core has ended. */
  log(): string {
    return readFileSync(join(this.folder, 'error.log'), 'utf8');
  }

  async end(): Promise<void> {
    this.core.close(0);
    await this.event('closed');
    this.core.dispose();
    for (const worker of this.workers) worker.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.events.some(({ type }) => type === 'closed')) await this.end();
    rmSync(this.folder, { recursive: true });
  }
}

/** A worker that does what a test tells it. Without another word its link is the one to the first I/O thread. */
export class FakeWorker {
  readonly id: number;
  readonly links: FakeLink[];
  private readonly memory: ArrayBuffer;
  private readonly page: Int32Array;

  constructor({ id, memory, links }: ReturnType<NativeCore['addWorker']>) {
    this.id = id;
    this.memory = native.mapMemory(memory);
    this.page = new Int32Array(this.memory, 0, f.MARK_PAGE / 4);
    this.links = links.map((fd) => new FakeLink(fd));
  }

  get link(): FakeLink {
    return this.links[0] as FakeLink;
  }

  send(...bytes: Uint8Array[]): void {
    this.link.send(...bytes);
  }

  next(kind: number): Promise<Frame> {
    return this.link.next(kind);
  }

  /** Marks a request as begun. */
  mark(sequence: number, slot = 0): void {
    this.page[slot * 16] = sequence;
  }

  /** The bytes that a DATA frame has in a shared buffer of the first link. */
  shared({ extra }: Frame): Buffer {
    return Buffer.from(this.memory, sharedBuffer(extra >>> 16) + f.SHARED_BYTES, extra & 0xffff);
  }

  /** Says of a shared buffer of the first link whose it is; 0 is the core's. */
  setShared(buffer: number, state: number): void {
    new Int32Array(this.memory, sharedBuffer(buffer), 1)[0] = state;
  }

  /** Waits for a request and begins it. */
  async begin(): Promise<Frame> {
    const request = await this.next(f.KIND_HEAD);
    this.mark(request.extra);
    return request;
  }

  close(): void {
    for (const link of this.links) link.close();
  }
}

function sharedBuffer(buffer: number): number {
  return f.MARK_PAGE + buffer * f.SHARED_BUFFER;
}

export class FakeLink {
  /** Frames that the test has not taken yet. */
  readonly frames: Frame[] = [];
  /** The core has ended the link. */
  ended = false;
  /** Bytes that the kernel has not taken. */
  queued = 0;
  private readonly link: NativeLink;
  private readonly outgoing = Buffer.from(new ArrayBuffer(1024 * 1024));
  private isClosed = false;
  private wake: (() => void)[] = [];

  constructor(fd: number) {
    const received = new ArrayBuffer(262_144);
    this.link = new native.Link(
      fd,
      received,
      this.outgoing.buffer,
      (end) => this.receive(Buffer.from(received, 0, end)),
      () => {
        this.ended = true;
        this.changed();
      },
    );
  }

  /** Sends bytes as they are, in one write as far as they fit. */
  send(...bytes: Uint8Array[]): void {
    const all = Buffer.concat(bytes);
    for (let at = 0; at < all.length && !this.isClosed; at += this.outgoing.length) {
      const part = all.subarray(at, at + this.outgoing.length);
      this.outgoing.set(part);
      this.queued = this.link.send(part.length);
    }
  }

  /** Sends bytes with a descriptor at the first. */
  sendWithFd(bytes: Uint8Array, fd: number): void {
    this.outgoing.set(bytes);
    this.queued = this.link.sendWithFd(bytes.length, fd);
  }

  /** Waits for the next frame, of whatever kind, and takes it; undefined if the core has ended the link and there is none. */
  async take(): Promise<Frame | undefined> {
    while (this.frames.length === 0 && !this.ended && !this.isClosed) {
      await new Promise<void>((resolve) => this.wake.push(resolve));
    }
    return this.frames.shift();
  }

  /** Waits for the next frame of a kind and takes it; rejects if the core ends the link first. */
  async next(kind: number): Promise<Frame> {
    for (;;) {
      const index = this.frames.findIndex((frame) => frame.kind === kind);
      if (index >= 0) return this.frames.splice(index, 1)[0] as Frame;
      if (this.ended) throw new Error(`the core ended the link without a frame of kind ${kind}`);
      await new Promise<void>((resolve) => this.wake.push(resolve));
    }
  }

  async end(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.wake.push(resolve));
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const { fd } of this.frames.splice(0)) if (fd !== undefined) closeSync(fd);
    this.link.close();
    this.changed();
  }

  private receive(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const size = bytes.readUInt32LE(at);
      const flags = bytes[at + 5] ?? 0;
      this.frames.push({
        kind: bytes[at + 4] ?? 0,
        flags,
        stream: bytes.readUInt32LE(at + 8),
        extra: bytes.readUInt32LE(at + 12),
        payload: Buffer.from(bytes.subarray(at + f.FRAME_HEADER, at + size)),
        fd: flags & f.FLAG_FD ? this.link.takeFd() : undefined,
      });
      at += (size + 7) & ~7;
    }
    this.changed();
  }

  private changed(): void {
    for (const wake of this.wake.splice(0)) wake();
  }
}
