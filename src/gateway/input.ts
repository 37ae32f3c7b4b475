import { closeSync, readSync } from 'node:fs';
import type { InputStream } from './types.js';

/** How much of a body in a file is read at once. */
const WINDOW = 65_536;
const LINE_FEED = 10;
const EMPTY = Buffer.alloc(0);

/**
 * `wsgi.input` over a complete body: in memory, or in a file of which one window is in memory. A read never goes beyond the
 * body's length (W22), whatever follows in the file.
 */
export class RequestInput implements InputStream {
  /** What is in memory: all of the body, or a window of the file. */
  private window: Buffer;
  /** The next byte of the window. */
  private position = 0;
  /** Bytes of the file that have not been read into the window. */
  private beyond = 0;
  private offset = 0;
  private fd = -1;
  private over = false;

  constructor(body: Buffer) {
    this.window = body;
  }

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

  bytes(): Uint8Array {
    return this.take(Number.POSITIVE_INFINITY);
  }

  text(): string {
    return new TextDecoder().decode(this.bytes());
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let line = this.readline(); line.length > 0; line = this.readline()) yield line;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let chunk = this.read(WINDOW); chunk.length > 0; chunk = this.read(WINDOW)) yield chunk;
  }

  /** The request is over: the file is closed. What is in memory stays readable. */
  release(): void {
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
    this.over = true;
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
    if (this.position < this.window.length) return true;
    if (this.beyond === 0) return false;
    if (this.over) {
      throw Object.assign(new Error('wsgi.input was read after the response had ended; read the body before'), {
        code: 'GWM_INPUT_CLOSED',
      });
    }
    // A new window each time: what has been given to the application are views of the old ones.
    const window = Buffer.allocUnsafe(Math.min(WINDOW, this.beyond));
    const count = readSync(this.fd, window, 0, window.length, this.offset);
    if (count === 0) throw new Error('the file with the request body is shorter than the body');
    this.offset += count;
    this.beyond -= count;
    this.window = count === window.length ? window : window.subarray(0, count);
    this.position = 0;
    return true;
  }

  private cut(length: number): Buffer {
    const start = this.position;
    this.position = start + length;
    return this.window.subarray(start, start + length);
  }
}

/** The size argument of Python's `read`: nothing or a negative number means everything (W20). */
function limit(size: number | null | undefined): number {
  if (size === undefined || size === null) return Number.POSITIVE_INFINITY;
  if (!Number.isInteger(size)) throw new TypeError(`the size to read must be an integer, got ${String(size)}`);
  return size < 0 ? Number.POSITIVE_INFINITY : size;
}

function join(pieces: Buffer[], length: number): Buffer {
  const [first = EMPTY] = pieces;
  return pieces.length <= 1 ? first : Buffer.concat(pieces, length);
}
