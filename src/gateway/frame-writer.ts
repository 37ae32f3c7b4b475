import { passed } from './garbage.js';
import { FRAME_HEADER, KIND_LOG, KIND_RESET, LOG_FROM_WORKER, LOG_NAMED, MAX_PAYLOAD } from './frame.js';

/** Node's own string writers: an order of magnitude cheaper than TextEncoder on short strings, and absent from its types. */
export interface RawBuffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
  utf8Write(text: string, offset: number, length: number): number;
}

/** Bytes of the outgoing buffer: four full frames, which is what one flush carries at most. */
const CAPACITY = 262_144;

/** The core takes no longer request id from a client. */
const MAX_REQUEST_ID = 128;

/** More of a method and a target is not told. */
const MAX_NAME = 16_384;

/** Something that waits until what it wrote is on its way. */
export interface Resumable {
  resume(): void;
}

/**
 * Collects frames in one buffer and sends them together: at the end of a received batch, or once per turn of the event loop
 * for applications that answer later.
 */
export class FrameWriter {
  readonly outgoing = new ArrayBuffer(CAPACITY);
  readonly bytes = Buffer.from(this.outgoing) as RawBuffer;
  readonly words = new Int32Array(this.outgoing);
  private readonly transmit: (length: number, fd: number) => number;
  private position = 0;
  private held = false;
  private scheduled = false;
  private closed = false;
  private yielding = false;
  private waiting: Resumable[] = [];
  private readonly flushNow = (): void => {
    this.scheduled = false;
    this.flush();
  };

  /** `transmit` takes `outgoing[0..length)`, and a descriptor for the first frame, or -1. */
  constructor(transmit: (length: number, fd: number) => number) {
    this.transmit = transmit;
  }

  /** Makes room for a frame with up to `room` bytes of payload; returns where the payload starts, a multiple of 8. */
  begin(room: number): number {
    if (this.position + FRAME_HEADER + room + 8 > CAPACITY) this.send();
    return this.position + FRAME_HEADER;
  }

  /** Ends the frame that was begun: `length` bytes of payload have been written. */
  finish(kind: number, flags: number, stream: number, extra: number, length: number): void {
    const { words, bytes, position } = this;
    const word = position >> 2;
    const size = FRAME_HEADER + length;
    words[word] = size;
    words[word + 1] = kind | (flags << 8);
    words[word + 2] = stream;
    words[word + 3] = extra;
    let end = position + size;
    const next = (end + 7) & ~7;
    while (end < next) bytes[end++] = 0;
    this.position = next;
    if (!this.held) this.schedule();
  }

  /** A frame without payload. */
  control(kind: number, stream: number, extra: number): void {
    this.begin(0);
    this.finish(kind, 0, stream, extra, 0);
  }

  /** A frame whose payload is header lines, in latin-1. */
  lines(kind: number, stream: number, extra: number, lines: string): void {
    this.bytes.latin1Write(lines, this.begin(lines.length), lines.length);
    this.finish(kind, 0, stream, extra, lines.length);
  }

  /** Ends a stream without a proper end. */
  reset(stream: number, reason: number): void {
    this.control(KIND_RESET, stream, reason);
  }

  /**
   * A text for the server's error log, in as many frames as it needs. The request's id is ASCII. `request`: method and target of one
   * whose stream has ended, which the core knows no more.
   */
  log(level: number, stream: number, text: string, requestId = '', origin = LOG_FROM_WORKER, request = ''): void {
    const id = requestId.length > MAX_REQUEST_ID ? '' : requestId;
    const name = request === '' ? '' : `${request.slice(0, MAX_NAME).replaceAll('\n', ' ')}\n`;
    const before = id + name;
    const extra = level | (id.length << 8) | (origin << 16) | (name === '' ? 0 : LOG_NAMED);
    // A UTF-16 unit is at most three bytes of UTF-8.
    const most = Math.floor((MAX_PAYLOAD - before.length) / 3);
    let start = 0;
    do {
      let end = Math.min(start + most, text.length);
      // Not between the two halves of a surrogate pair.
      if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end -= 1;
      const piece = start === 0 && end === text.length ? text : text.slice(start, end);
      const at = this.begin(before.length + piece.length * 3);
      if (before !== '') this.bytes.latin1Write(before, at, before.length);
      const length = before.length + this.bytes.utf8Write(piece, at + before.length, piece.length * 3);
      this.finish(KIND_LOG, 0, stream, extra, length);
      start = end;
    } while (start < text.length);
  }

  /** Sends what is there, now. False: the kernel has not taken all of it yet. */
  send(): boolean {
    const length = this.position;
    this.position = 0;
    passed(length);
    return length === 0 || this.closed || this.transmit(length, -1) === 0;
  }

  /** Sends the one frame that was written since the last {@link send}, with a descriptor. */
  sendWithFd(fd: number): void {
    const length = this.position;
    this.position = 0;
    if (!this.closed) this.transmit(length, fd);
  }

  /** Calls `resume()` once what is in the buffer has been sent. */
  afterFlush(waiter: Resumable): void {
    this.waiting.push(waiter);
    if (!this.held) this.schedule();
  }

  /** A batch of frames is being dispatched: what is written meanwhile goes out at its end. */
  hold(): void {
    this.held = true;
    this.yielding = false;
  }

  /** The batch is over. */
  release(): void {
    this.held = false;
    this.flush();
  }

  /** Sends what is there and resumes those that waited for it. */
  flush(): void {
    this.send();
    const { waiting } = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    this.held = true;
    try {
      for (const waiter of waiting) waiter.resume();
    } finally {
      this.held = false;
    }
    this.yielding = true;
    if (this.position > 0 || this.waiting.length > 0) this.schedule();
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Nothing is sent any more; what is written is dropped. */
  close(): void {
    this.closed = true;
    this.position = 0;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    if (this.yielding) {
      // A body that always has a next chunk must not keep the event loop from its I/O.
      setImmediate(this.flushNow);
      return;
    }
    // After every microtask that is ready, so that all applications which finish in this turn share one flush.
    queueMicrotask(() => process.nextTick(this.flushNow));
  }
}
