import { types } from 'node:util';
import { Backlog } from './backlog.js';
import {
  FILE_PART,
  FLAG_END,
  FLAG_FD,
  KIND_DATA,
  KIND_END,
  KIND_HEAD,
  KIND_INFO,
  MAX_PAYLOAD,
  NARROW_WINDOW,
  RESPONSE_HEAD,
} from './frame.js';
import type { FilePart } from './file-body.js';
import type { FrameWriter, RawBuffer } from './frame-writer.js';
import { describe } from './describe.js';
import { HeaderBlock, type HeaderBlocks, warnOfLeftOut } from './headers.js';
import type { BodyChunk, Header } from './types.js';

/** What a response needs of its link. */
export interface ResponseLink {
  readonly writer: FrameWriter;
  readonly blocks: HeaderBlocks;
  /** No credit will come any more. */
  readonly ending: boolean;
}

/** The answer to one request: what `startResponse` said, and the frames that carry it. */
export class Response {
  readonly link: ResponseLink;
  readonly writer: FrameWriter;
  readonly stream: number;
  /** Body bytes that may still be sent. */
  credit: number;
  /** It has to wait behind others, and passes no descriptor. */
  readonly narrow: boolean;
  /** The request's method is HEAD: the client gets no body. */
  headOnly = false;
  /** This side of the stream has ended. */
  ended = false;
  /** Nobody wants the rest: what is sent from now on is dropped. */
  gone = false;
  /** The headers are on their way. */
  headersSent = false;
  /** The rest of a chunk that waits for credit. */
  private rest: Uint8Array | null = null;
  /** What was written and waits for credit, behind `rest`. */
  private backlog: Backlog | null = null;
  private called = false;
  private informed = 0;
  private block: HeaderBlock | null = null;
  /** What is left of the application's Content-Length. */
  private remaining = Number.POSITIVE_INFINITY;

  constructor(link: ResponseLink, stream: number, credit: number) {
    this.link = link;
    this.writer = link.writer;
    this.stream = stream;
    this.credit = credit;
    this.narrow = credit <= NARROW_WINDOW;
  }

  /** `startResponse` as PEP 3333 has it, without its result. */
  start(status: string, headers: readonly Header[], excInfo: unknown): void {
    const late = excInfo !== undefined && excInfo !== null;
    if (late && this.headersSent) throw excInfo; // W34
    if (this.called && !late) {
      throw new Error(
        'startResponse was called twice; only to report an error may you call it again, with the error as third argument',
      ); // W33
    }
    this.called = true;
    this.block = null;
    const block = this.link.blocks.get(status, headers);
    if (block.leftOut !== null) warnOfLeftOut(this.writer, this.stream, block.leftOut);
    this.block = block;
  }

  /** Whether status and headers are there. */
  get started(): boolean {
    return this.block !== null;
  }

  /** Whether the client gets no body, whatever the application returns. */
  get bodiless(): boolean {
    const code = this.block?.code;
    return this.headOnly || code === 204 || code === 304;
  }

  /** Whether the application's Content-Length is reached: more would be dropped (W55). */
  get full(): boolean {
    return this.remaining === 0;
  }

  /**
   * Sends a whole response as one frame, from which the core computes Content-Length.
   * False if that is not possible; then nothing has been sent.
   */
  sendWhole(body: BodyChunk): boolean {
    if (this.headersSent) return false;
    const { writer, credit } = this;
    const block = this.requireBlock();
    const id = this.link.blocks.id(block);
    const text = block.text(id);
    const head = RESPONSE_HEAD + text.length;
    const most = Math.min(MAX_PAYLOAD - head, credit);
    let length: number;
    if (typeof body === 'string') {
      let room = body.length * 3;
      if (room > most) {
        if (body.length > most || (room = Buffer.byteLength(body)) > most) return false;
      }
      const at = this.beginHead(block, text, head + room);
      length = room === 0 ? 0 : writeText(writer.bytes, body, at + head, room);
    } else {
      length = body.length;
      if (length > most) return false;
      const at = this.beginHead(block, text, head + length);
      if (length > 0) writer.bytes.set(body, at + head);
    }
    if (block.contentLength >= 0 && length > block.contentLength) length = block.contentLength;
    writer.finish(KIND_HEAD, FLAG_END, this.stream, block.code + id * 65_536, head + length);
    this.headersSent = true;
    this.ended = true;
    return true;
  }

  /** Sends another response instead of the one that was begun, if nothing of that has been sent. */
  replace(status: string, headers: readonly Header[], body: string): void {
    if (this.headersSent || this.ended) return;
    this.block = new HeaderBlock(status, headers);
    this.remaining = Number.POSITIVE_INFINITY;
    if (!this.sendWhole(body)) this.sendWhole('The error does not fit into one page; see the log.\n');
  }

  /** As {@link sendWhole}, for a body in several pieces. */
  sendPieces(pieces: readonly BodyChunk[]): boolean {
    let most = 0;
    for (const piece of pieces) most += typeof piece === 'string' ? piece.length * 3 : requireBytes(piece).length;
    if (this.headersSent) return false;
    const { writer } = this;
    const block = this.requireBlock();
    const id = this.link.blocks.id(block);
    const text = block.text(id);
    const head = RESPONSE_HEAD + text.length;
    if (most > Math.min(MAX_PAYLOAD - head, this.credit)) return false;
    const start = this.beginHead(block, text, head + most) + head;
    let end = start;
    for (const piece of pieces) {
      if (typeof piece === 'string') end += writer.bytes.utf8Write(piece, end, piece.length * 3);
      else {
        writer.bytes.set(piece, end);
        end += piece.length;
      }
    }
    let length = end - start;
    if (block.contentLength >= 0 && length > block.contentLength) length = block.contentLength;
    writer.finish(KIND_HEAD, FLAG_END, this.stream, block.code + id * 65_536, head + length);
    this.headersSent = true;
    this.ended = true;
    return true;
  }

  /**
   * Sends a whole response whose body is a part of a file, which the core reads. False if that is not possible; then nothing
   * has been sent.
   * @throws if the descriptor is not open
   */
  sendFile({ fd, offset, length }: FilePart): boolean {
    if (this.headersSent) return false;
    const { writer } = this;
    const block = this.requireBlock();
    const id = this.link.blocks.id(block);
    const text = block.text(id);
    const head = RESPONSE_HEAD + text.length;
    // The descriptor goes with the first frame of what is sent.
    writer.send();
    const at = this.beginHead(block, text, head + FILE_PART) + head;
    writePosition(writer.bytes, offset, at);
    writePosition(writer.bytes, length, at + 8);
    writer.finish(KIND_HEAD, FLAG_END | FLAG_FD, this.stream, block.code + id * 65_536, head + FILE_PART);
    writer.sendWithFd(fd);
    this.headersSent = true;
    this.ended = true;
    return true;
  }

  /**
   * Sends an informational response at once; after the headers, or beyond sixteen, none.
   * @throws TypeError if a header is not allowed
   */
  inform(status: number, headers: readonly Header[]): void {
    const { lines, leftOut } = new HeaderBlock('200 OK', headers);
    if (this.headersSent || this.ended || this.gone || this.informed === MAX_INFORMATIONAL) return;
    this.informed += 1;
    const { writer } = this;
    if (leftOut !== null) warnOfLeftOut(writer, this.stream, leftOut);
    writer.lines(KIND_INFO, this.stream, status, lines);
    writer.send();
  }

  /** Sends the headers; the body follows. `length` is its length in bytes if that is known and the application has not said it. */
  sendHeaders(length?: number): void {
    if (this.headersSent) return;
    const block = this.requireBlock();
    const id = this.link.blocks.id(block);
    let text = block.text(id);
    if (block.contentLength >= 0) this.remaining = block.contentLength;
    else if (length !== undefined) text += `Content-Length: ${length}\r\n`;
    this.headersSent = true;
    this.beginHead(block, text, RESPONSE_HEAD + text.length);
    this.writer.finish(KIND_HEAD, 0, this.stream, block.code + id * 65_536, RESPONSE_HEAD + text.length);
  }

  /**
   * Sends a piece of the body, after the headers; an empty one sends nothing (W31). What exceeds the credit is kept in `rest`.
   * @throws TypeError if it is neither string nor bytes (W60)
   */
  send(chunk: BodyChunk): void {
    if (typeof chunk !== 'string') {
      if (requireBytes(chunk).length === 0) return;
      this.sendHeaders();
      this.sendBytes(chunk);
      return;
    }
    if (chunk === '') return;
    this.sendHeaders();
    const room = chunk.length * 3;
    if (room > Math.min(MAX_PAYLOAD, this.credit)) {
      this.sendBytes(Buffer.from(chunk, 'utf8'));
      return;
    }
    const at = this.writer.begin(room);
    this.finishData(this.writer.bytes.utf8Write(chunk, at, room));
  }

  /** Whether something waits for credit. */
  get blocked(): boolean {
    return this.rest !== null || this.backlog !== null;
  }

  /** Goes on with what waited for credit; true when all of it is sent. */
  sendRest(): boolean {
    const { rest } = this;
    this.rest = null;
    if (rest !== null) this.sendBytes(rest);
    while (this.rest === null && this.backlog !== null && this.credit > 0 && !this.gone) {
      this.sendBytes(this.backlog.take(Math.min(this.credit, MAX_PAYLOAD)));
      if (this.backlog.length === 0) this.backlog = null;
    }
    return !this.blocked;
  }

  /** What waits for credit goes nowhere. */
  drop(): void {
    this.rest = null;
    this.backlog?.close();
    this.backlog = null;
  }

  /**
   * The `write` that `startResponse` returns (W64): what it is given is on its way when it returns, or kept until the client has room for
   * it. It never waits, for all other requests would wait with it.
   */
  write(chunk: BodyChunk): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : requireBytes(chunk);
    if (bytes.length === 0 || this.ended || this.gone) return;
    this.sendHeaders();
    // Those that wait are of the length that is left.
    const left = this.remaining - (this.rest?.length ?? 0) - (this.backlog?.length ?? 0);
    const beyond = bytes.length > left;
    if (!this.bodiless) {
      if (this.blocked) {
        // Behind what waits already.
        if (left > 0) this.keep(beyond ? bytes.subarray(0, left) : bytes);
      } else {
        this.sendBytes(bytes);
        // The application may use its memory again.
        const { rest } = this;
        this.rest = null;
        if (rest !== null) this.keep(rest);
      }
    }
    this.writer.send();
    if (beyond) throw new Error('write was given more bytes than Content-Length says; the rest is not sent'); // W55
  }

  /** Ends the stream properly; headers that have not been sent go first. */
  end(): void {
    if (this.ended) return;
    this.sendHeaders();
    this.ended = true;
    this.writer.control(KIND_END, this.stream, 0);
  }

  /** Ends the stream without a proper end: a 500 before the headers, a broken connection after them (W61, W62). */
  reset(reason: number): void {
    if (this.ended) return;
    this.ended = true;
    this.drop();
    this.writer.reset(this.stream, reason);
  }

  private beginHead(block: HeaderBlock, text: string, room: number): number {
    const { writer } = this;
    const at = writer.begin(room);
    const word = at >> 2;
    writer.words[word] = text.length;
    writer.words[word + 1] = block.form;
    if (text !== '') writer.bytes.latin1Write(text, at + RESPONSE_HEAD, text.length);
    return at;
  }

  private sendBytes(bytes: Uint8Array): void {
    const { writer } = this;
    let start = 0;
    while (start < bytes.length && this.credit > 0 && this.remaining > 0) {
      const length = Math.min(bytes.length - start, this.credit, this.remaining, MAX_PAYLOAD);
      const at = writer.begin(length);
      writer.bytes.set(start === 0 && length === bytes.length ? bytes : bytes.subarray(start, start + length), at);
      this.finishData(length);
      start += length;
    }
    if (start === bytes.length || this.remaining === 0) return;
    if (this.link.ending) this.gone = true;
    else this.rest = bytes.subarray(start);
  }

  /** `length` bytes of body have been written into the frame that was begun. */
  private finishData(length: number): void {
    const counted = Math.min(length, this.remaining);
    this.credit -= counted;
    this.remaining -= counted;
    if (counted > 0) this.writer.finish(KIND_DATA, 0, this.stream, 0, counted);
  }

  private keep(bytes: Uint8Array): void {
    this.backlog ??= new Backlog();
    this.backlog.push(bytes);
  }

  private requireBlock(): HeaderBlock {
    if (this.block === null) {
      throw new Error(
        this.called
          ? 'the call of startResponse failed, so there is no status to send'
          : "the application returned without calling startResponse; call startResponse('200 OK', headers) first",
      ); // W35
    }
    return this.block;
  }
}

/** Most informational responses that the core takes for one request. */
const MAX_INFORMATIONAL = 16;

/** A call into Node costs 60 to 100 ns; up to this many characters a loop is cheaper. */
const SHORT = 32;

/** Writes UTF-8 and gives the number of bytes. */
function writeText(bytes: RawBuffer, text: string, at: number, room: number): number {
  const { length } = text;
  if (length > SHORT) return bytes.utf8Write(text, at, room);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return bytes.utf8Write(text, at, room);
    bytes[at + i] = code;
  }
  return length;
}

/** Writes a 64-bit number, all ones for null. */
function writePosition(bytes: RawBuffer, position: number | null, at: number): void {
  bytes.writeUInt32LE(position === null ? 0xffff_ffff : position % 4_294_967_296, at);
  bytes.writeUInt32LE(position === null ? 0xffff_ffff : Math.floor(position / 4_294_967_296), at + 4);
}

/** Whether a value is a piece of a body that is bytes, also one of another realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || types.isUint8Array(value);
}

function requireBytes(chunk: unknown): Uint8Array {
  if (isBytes(chunk)) return chunk;
  throw new TypeError(`a body is made of strings and Uint8Arrays; the application gave ${describe(chunk)}`);
}
