import { closeSync, readSync } from 'node:fs';
import { errorEntries, type ErrorCode } from '../error-entries.js';
import { GwanmunError } from '../errors.js';
import type { InputStream } from './types.js';

/** How much of a body in a file is read at once. */
const WINDOW = 65_536;
const LINE_FEED = 10;
const EMPTY = Buffer.alloc(0);

/** `wsgi.input`: reads from a window that is filled again and again until the end of the body. */
export abstract class Input implements InputStream {
  /** What is in memory to read from. */
  protected window: Buffer;
  /** The next byte of the window. */
  protected position = 0;
  protected over = false;

  constructor(window: Buffer) {
    this.window = window;
  }

  /** Nothing can be read any more, if it is not in memory. */
  abstract release(): void;

  /** The next piece that is there, at most 64 KiB; null if there is none: at the end, or because none has come yet. */
  abstract pull(): Buffer | null;

  /** Whether nothing is left to read. */
  abstract get ended(): boolean;

  /** Puts another piece of the body into the window; false at the end of the body. */
  protected abstract refill(): boolean;

  /** As {@link refill}, without blocking. */
  protected abstract refillLater(): Promise<boolean>;

  read(size?: number | null): Uint8Array {
    return this.take(limit(size));
  }

  readline(size?: number | null): Uint8Array {
    const most = limit(size);
    let length = 0;
    const pieces: Buffer[] = [];
    while (length < most && this.fill()) {
      const feed = this.window.indexOf(LINE_FEED, this.position);
      const end = feed < 0 ? this.window.length : feed + 1;
      const piece = this.cut(Math.min(end - this.position, most - length));
      pieces.push(piece);
      length += piece.length;
      if (piece[piece.length - 1] === LINE_FEED) break;
    }
    return join(pieces, length);
  }

  readlines(hint?: number | null): Uint8Array[] {
    const enough = hint === undefined || hint === null || hint <= 0 ? Number.POSITIVE_INFINITY : hint;
    const lines: Uint8Array[] = [];
    let length = 0;
    while (length < enough) {
      const line = this.readline();
      if (line.length === 0) break;
      lines.push(line);
      length += line.length;
    }
    return lines;
  }

  async readAsync(size?: number | null): Promise<Uint8Array> {
    const most = limit(size);
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < most && (this.position < this.window.length || (await this.refillLater()))) {
      const piece = this.cut(Math.min(this.window.length - this.position, most - length));
      pieces.push(piece);
      length += piece.length;
    }
    return join(pieces, length);
  }

  bytes(): Uint8Array {
    return this.take(Number.POSITIVE_INFINITY);
  }

  text(): string {
    return decode(this.bytes());
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let line = this.readline(); line.length > 0; line = this.readline()) yield line;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.position < this.window.length || (await this.refillLater())) {
      yield this.cut(Math.min(this.window.length - this.position, WINDOW));
    }
  }

  private take(most: number): Buffer {
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < most && this.fill()) {
      const piece = this.cut(Math.min(this.window.length - this.position, most - length));
      pieces.push(piece);
      length += piece.length;
    }
    return join(pieces, length);
  }

  /** Sees to it that the window has a byte to give; false at the end of the body. */
  private fill(): boolean {
    return this.position < this.window.length || this.refill();
  }

  protected cut(length: number): Buffer {
    const start = this.position;
    this.position = start + length;
    return this.window.subarray(start, start + length);
  }
}

/**
 * `wsgi.input` over a complete body: in memory, or in a file of which one window is in memory. A read never goes beyond the
 * body's length (W22), whatever follows in the file.
 */
export class RequestInput extends Input {
  /** Bytes of the file that have not been read into the window. */
  private beyond = 0;
  private offset = 0;
  private fd = -1;

  /** A body without a byte. */
  static empty(): RequestInput {
    return new RequestInput(EMPTY);
  }

  /** A body that is the first `length` bytes of a file, which is closed at the end of the request. */
  static file(fd: number, length: number): RequestInput {
    const input = new RequestInput(EMPTY);
    input.fd = fd;
    input.beyond = length;
    return input;
  }

  /** The request is over: the file is closed. What is in memory stays readable. */
  release(): void {
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
    this.over = true;
  }

  pull(): Buffer | null {
    if (this.position === this.window.length && !this.refill()) return null;
    return this.cut(Math.min(this.window.length - this.position, WINDOW));
  }

  get ended(): boolean {
    return this.position === this.window.length && this.beyond === 0;
  }

  protected refill(): boolean {
    if (this.beyond === 0) return false;
    if (this.over) throw inputError('GWM_INPUT_CLOSED');
    // A new window each time: what has been given to the application are views of the old ones.
    const window = Buffer.allocUnsafeSlow(Math.min(WINDOW, this.beyond));
    const count = readSync(this.fd, window, 0, window.length, this.offset);
    if (count === 0) throw new Error('the file with the request body is shorter than the body');
    this.offset += count;
    this.beyond -= count;
    this.window = count === window.length ? window : window.fill(0, count).subarray(0, count);
    this.position = 0;
    return true;
  }

  protected async refillLater(): Promise<boolean> {
    return this.refill();
  }
}

/** UTF-8 as TextDecoder reads it, which costs more to make than most bodies to read: without a byte order mark. */
export function decode(bytes: Uint8Array): string {
  const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', start);
}

/** An error of `wsgi.input` as an application gets it: its code, and what to do in the registry's words. */
export function inputError(code: ErrorCode): GwanmunError {
  const { title, remedy } = errorEntries[code];
  return new GwanmunError(code, `wsgi.input: ${title}; ${remedy}`);
}

/** The size argument of Python's `read`: nothing or a negative number means everything (W20). */
function limit(size: number | null | undefined): number {
  if (size === undefined || size === null) return Number.POSITIVE_INFINITY;
  if (!Number.isInteger(size)) throw new TypeError(`the size to read must be an integer, got ${String(size)}`);
  return size < 0 ? Number.POSITIVE_INFINITY : size;
}

function join(pieces: Buffer[], length: number): Buffer {
  const [first = EMPTY] = pieces;
  if (pieces.length <= 1) return first;
  // `Buffer.concat` takes of Node's pool, which the application would see through `buffer`.
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const piece of pieces) at += piece.copy(whole, at);
  return whole;
}
