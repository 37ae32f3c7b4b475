/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

/** The core's end of a gateway link, played by a test: builds real frames and reads those of the worker. */

import { Dispatcher, type DispatcherOptions } from '../../src/gateway/dispatcher.js';
import * as f from '../../src/gateway/frame.js';
import type { NativeLink } from '../../src/native.js';
import type { Application } from '../../src/gateway/types.js';

/** One frame that the worker sent. */
export interface Frame {
  kind: number;
  flags: number;
  stream: number;
  extra: number;
  payload: Buffer;
}

export interface RequestOptions {
  stream?: number;
  application?: number;
  sequence?: number;
  method?: string;
  target?: string;
  scriptName?: string;
  pathInfo?: string;
  query?: string;
  serverName?: string;
  remoteAddr?: string;
  serverPort?: number;
  clientPort?: number;
  http10?: boolean;
  tls?: boolean;
  headers?: readonly (readonly [string, string])[];
  /** The names id that stands for the headers' names. */
  names?: number;
  /** Sent as DATA frames of `dataSize` bytes. */
  body?: Buffer | string;
  dataSize?: number;
  /** A file whose first `fileLength` bytes are the body. */
  fd?: number;
  fileLength?: number;
}

/** A response put together from its frames. */
export interface Answer {
  status: number;
  /** The application's own; undefined: the usual one. */
  reason?: string | undefined;
  /** Header lines, split at CR LF. */
  headers: string[];
  body: Buffer;
  /** Kinds of the frames, in order. */
  kinds: number[];
  ended: boolean;
  reset: number | undefined;
}

export function frame(
  kind: number,
  flags: number,
  stream: number,
  extra: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const size = f.FRAME_HEADER + payload.length;
  const bytes = Buffer.alloc((size + 7) & ~7);
  bytes.writeUInt32LE(size, 0);
  bytes[4] = kind;
  bytes[5] = flags;
  bytes.writeUInt32LE(stream, 8);
  bytes.writeUInt32LE(extra >>> 0, 12);
  bytes.set(payload, f.FRAME_HEADER);
  return bytes;
}

export class FakeLink implements NativeLink {
  readonly received: Buffer;
  readonly outgoing: Buffer;
  readonly onFrames: (end: number) => void;
  readonly onClose: (reason: string | null) => void;
  /** Descriptors that the core passes. */
  fds: number[] = [];
  /** Every frame that the worker sent, in order. */
  readonly frames: Frame[] = [];
  /** How many frames each flush carried. */
  readonly flushes: number[] = [];
  /** What a blocking wait receives, one entry each; nothing left means the test would hang, so it throws. */
  waits: (Buffer | null)[] = [];
  waited = 0;
  closed = false;
  referenced = true;
  private readonly blocks = new Map<number, string>();
  private watchers: (() => void)[] = [];

  constructor(
    _fd: number,
    received: ArrayBuffer,
    outgoing: ArrayBuffer,
    onFrames: (end: number) => void,
    onClose: (reason: string | null) => void,
  ) {
    this.received = Buffer.from(received);
    this.outgoing = Buffer.from(outgoing);
    this.onFrames = onFrames;
    this.onClose = onClose;
  }

  send(length: number): number {
    if (this.closed) throw new Error('send after close');
    const before = this.frames.length;
    const bytes = Buffer.from(this.outgoing.subarray(0, length));
    for (let at = 0; at < length;) {
      const size = bytes.readUInt32LE(at);
      if (size < 16 || size > 65_536) throw new Error(`a frame of ${size} bytes`);
      if (bytes.readUInt16LE(at + 6) !== 0) throw new Error('bytes 6 and 7 are not 0');
      const next = (at + size + 7) & ~7;
      if (bytes.subarray(at + size, next).some((byte) => byte !== 0)) throw new Error('the padding is not 0');
      this.frames.push({
        kind: bytes[at + 4]!,
        flags: bytes[at + 5]!,
        stream: bytes.readUInt32LE(at + 8),
        extra: bytes.readUInt32LE(at + 12),
        payload: bytes.subarray(at + 16, at + size),
      });
      const last = this.frames.at(-1)!;
      if (last.flags & f.FLAG_END && ![f.KIND_HEAD, f.KIND_DATA, f.KIND_END].includes(last.kind)) {
        throw new Error(`a frame of kind ${last.kind} has the flag END`);
      }
      if (
        last.kind !== f.KIND_LOG &&
        (last.stream === 0) !== [f.KIND_HELLO, f.KIND_READY, f.KIND_BLOCK, f.KIND_PASSING].includes(last.kind)
      ) {
        throw new Error(`a frame of kind ${last.kind} on stream ${last.stream}`);
      }
      if (last.kind === f.KIND_BLOCK) {
        this.blocks.set(last.extra, last.payload.toString('latin1'));
      }
      at = next;
    }
    if (length > 0) this.flushes.push(this.frames.length - before);
    for (const watcher of this.watchers.splice(0)) watcher();
    return 0;
  }

  /** Descriptors that the worker has sent, each with the first frame of its flush. */
  readonly passed: number[] = [];

  sendWithFd(length: number, fd: number): number {
    this.passed.push(fd);
    return this.send(length);
  }

  takeFd(): number {
    return this.fds.shift() ?? -1;
  }

  wait(into: ArrayBuffer): number {
    this.waited += 1;
    const next = this.waits.shift();
    if (next === undefined) throw new Error('a blocking wait that the test did not expect');
    if (next === null) return -1;
    Buffer.from(into).set(next);
    return next.length;
  }

  ref(): void {
    this.referenced = true;
  }

  unref(): void {
    this.referenced = false;
  }

  close(): void {
    this.closed = true;
  }

  /** Lets the worker receive frames, in one batch. */
  deliver(...frames: readonly Buffer[]): void {
    const batch = Buffer.concat(frames);
    this.received.fill(0xee);
    this.received.set(batch);
    this.onFrames(batch.length);
    // What has been dispatched is overwritten by the next receive; nothing may still refer to it.
    this.received.fill(0xee);
  }

  /** Resolves when `condition` holds, which is looked at after every send. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.watchers.push(resolve));
  }

  /** The answer on a stream, as far as it has come. With several requests on one stream, the last. */
  answer(stream = 1): Answer {
    const answer: Answer = { status: 0, headers: [], body: Buffer.alloc(0), kinds: [], ended: false, reset: undefined };
    for (const { kind, flags, stream: of, extra, payload } of this.frames) {
      if (of !== stream || kind === f.KIND_BLOCK || kind === f.KIND_LOG || kind < f.KIND_HEAD) continue;
      if (answer.ended) throw new Error(`a frame of kind ${kind} after the end of stream ${stream}`);
      answer.kinds.push(kind);
      if (kind === f.KIND_HEAD) {
        if (answer.status !== 0) throw new Error('a second HEAD');
        answer.status = extra & 0xffff;
        const id = extra >>> 16;
        const block = id === 0 ? '' : this.blocks.get(id);
        if (block === undefined) throw new Error(`block ${id} was not defined before its use`);
        const length = payload.readUInt32LE(0);
        const form = payload.readUInt32LE(4);
        if (form !== 0 && form !== f.FORM_REASON) throw new Error(`a response head of the form ${form}`);
        const lines = payload
          .toString('latin1', 8, 8 + length)
          .split('\r\n')
          .slice(0, -1);
        if (form === f.FORM_REASON) answer.reason = lines.shift();
        answer.headers = [...block.split('\r\n').slice(0, -1), ...lines];
        answer.body = payload.subarray(8 + length);
      } else if (kind === f.KIND_DATA) {
        if (answer.status === 0) throw new Error('DATA before HEAD');
        answer.body = Buffer.concat([answer.body, payload]);
      } else if (kind === f.KIND_RESET) answer.reset = extra;
      if (flags & f.FLAG_END || kind === f.KIND_END || kind === f.KIND_RESET) answer.ended = true;
    }
    return answer;
  }

  /** The answer once the stream has ended. */
  async ended(stream = 1): Promise<Answer> {
    await this.until(() => this.answer(stream).ended);
    return this.answer(stream);
  }

  /** The texts of LOG frames. */
  logs(level = f.LOG_ERROR): string[] {
    return this.frames
      .filter((one) => one.kind === f.KIND_LOG && one.extra === level)
      .map((one) => one.payload.toString());
  }

  /** Forgets what the worker sent; header blocks stay defined. */
  forget(): void {
    this.frames.length = 0;
    this.flushes.length = 0;
  }
}

export const WINDOW = 65_536;

/** HELLO from the core. */
export function hello(
  options: { window?: number; multiprocess?: boolean; pairs?: readonly (readonly [string, string])[] } = {},
): Buffer {
  const pairs = options.pairs ?? [
    ['SERVER_SOFTWARE', 'gwanmun/test'],
    ['GATEWAY_INTERFACE', 'CGI/1.1'],
  ];
  const text = Buffer.from(pairs.map(([name, value]) => `${name}\0${value}\0`).join(''), 'latin1');
  const head = Buffer.alloc(16);
  head.writeUInt32LE(1, 0);
  head.writeUInt32LE(options.window ?? WINDOW, 4);
  head.writeUInt32LE(options.multiprocess ? 1 : 0, 8);
  return frame(f.KIND_HELLO, 0, 0, 0, Buffer.concat([head, text]));
}

export function names(id: number, list: readonly string[]): Buffer {
  return frame(f.KIND_NAMES, 0, 0, id, Buffer.from(list.map((name) => `${name}\0`).join(''), 'latin1'));
}

export function credit(stream: number, bytes: number): Buffer {
  return frame(f.KIND_CREDIT, 0, stream, bytes);
}

export function reset(stream: number, reason = f.RESET_CLIENT_GONE): Buffer {
  return frame(f.KIND_RESET, 0, stream, reason);
}

/** The frames of one request, each a buffer. */
export function requestFrames(options: RequestOptions = {}): Buffer[] {
  const o = {
    method: 'GET',
    pathInfo: '/',
    scriptName: '',
    query: '',
    serverName: 'localhost',
    remoteAddr: '127.0.0.1',
    headers: [],
    ...options,
  };
  const body = o.body === undefined ? undefined : Buffer.from(o.body as string);
  // As in a head that was received, the text has more in it than the table points to.
  let text = '~';
  const piece = (value: string): number => {
    if (value === '') return 0;
    const start = text.length;
    text += `${value}~`;
    return start * 65_536 + start + value.length;
  };
  const words: number[] = [];
  const length = o.fd === undefined ? (body?.length ?? 0) : (o.fileLength ?? 0);
  words[0] = o.application ?? 0;
  words[1] = o.names ?? 0;
  words[2] = (o.http10 ? 1 : 0) | (o.tls ? 2 : 0) | (body !== undefined || o.fd !== undefined ? 4 : 0);
  words[3] = o.headers.length;
  words[4] = length % 4_294_967_296;
  words[5] = Math.floor(length / 4_294_967_296);
  words[6] = (o.serverPort ?? 3000) * 65_536 + (o.clientPort ?? 50_000);
  words[9] = piece(o.method);
  words[10] = piece(o.target ?? o.scriptName + o.pathInfo + (o.query === '' ? '' : `?${o.query}`));
  words[11] = piece(o.scriptName);
  words[12] = piece(o.pathInfo);
  words[13] = piece(o.query);
  words[14] = piece(o.serverName);
  words[15] = piece(o.remoteAddr);
  for (const [name, value] of o.headers) words.push(piece(name), piece(value));
  words[7] = words.length * 4;
  words[8] = text.length;
  const table = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) table.writeUInt32LE(word, index * 4);
  const payload = Buffer.concat([table, Buffer.from(text, 'latin1')]);
  const stream = o.stream ?? 1;
  const sequence = o.sequence ?? 1;
  if (o.fd !== undefined) return [frame(f.KIND_HEAD, f.FLAG_END | f.FLAG_FD, stream, sequence, payload)];
  if (body === undefined) return [frame(f.KIND_HEAD, f.FLAG_END, stream, sequence, payload)];
  const frames = [frame(f.KIND_HEAD, 0, stream, sequence, payload)];
  const size = o.dataSize ?? 65_520;
  for (let at = 0; at < body.length || at === 0; at += size) {
    frames.push(frame(f.KIND_DATA, at + size >= body.length ? f.FLAG_END : 0, stream, 0, body.subarray(at, at + size)));
  }
  return frames;
}

/** The frames of one request together. */
export function request(options: RequestOptions = {}): Buffer {
  return Buffer.concat(requestFrames(options));
}

/** A request whose body is streamed: its DATA is up to the test. */
export function streamedRequest(options: RequestOptions & { length?: number } = {}): Buffer {
  const head = requestFrames({ method: 'POST', ...options, body: Buffer.alloc(0) })[0]!;
  const flags = f.HEAD_FLAG_STREAMED | (options.length === undefined ? 0 : f.HEAD_FLAG_LENGTH);
  head.writeUInt32LE(flags, f.FRAME_HEADER + f.HEAD_FLAGS * 4);
  head.writeUInt32LE(options.length ?? 0, f.FRAME_HEADER + f.HEAD_LENGTH_LOW * 4);
  return head;
}

export interface Worker {
  link: FakeLink;
  links: FakeLink[];
  dispatcher: Dispatcher;
  /** What the worker shares with the core. */
  memory: ArrayBuffer;
  marks: Int32Array;
  /** Resolves when the dispatcher is drained. */
  drained: Promise<void>;
  faults: Error[];
}

export interface WorkerOptions extends Partial<Omit<DispatcherOptions, 'native' | 'applications'>> {
  applications?: readonly Application[];
  links?: number;
  hello?: Parameters<typeof hello>[0];
}

/** A dispatcher with a fake core that has said HELLO and knows that the worker is ready; the handshake is forgotten. */
export function worker(application: Application, options: WorkerOptions = {}): Worker {
  const links: FakeLink[] = [];
  const memory = new ArrayBuffer(f.MARK_PAGE + (options.links ?? 1) * f.SHARED_BUFFERS * f.SHARED_BUFFER);
  const faults: Error[] = [];
  let drain = (): void => {};
  const drained = new Promise<void>((resolve) => {
    drain = resolve;
  });
  class Link extends FakeLink {
    constructor(...args: ConstructorParameters<typeof FakeLink>) {
      super(...args);
      links.push(this);
    }
  }
  const { links: count = 1, hello: greeting, ...rest } = options;
  const dispatcher = new Dispatcher({
    applications: [application],
    name: 'test',
    concurrency: 16,
    onDrained: drain,
    onFault: (fault) => faults.push(fault),
    ...rest,
    native: { Link },
  });
  for (let slot = 0; slot < count; slot++) dispatcher.addLink(100 + slot, memory, slot);
  for (const link of links) link.deliver(hello(greeting));
  dispatcher.ready();
  for (const link of links) link.forget();
  return { link: links[0]!, links, dispatcher, memory, marks: new Int32Array(memory), drained, faults };
}
