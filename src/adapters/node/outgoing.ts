import {
  FLAG_END,
  FORM_HTTP,
  KIND_CLOSED,
  KIND_DATA,
  KIND_END,
  KIND_HEAD,
  KIND_TRAILERS,
  MAX_PAYLOAD,
  RESPONSE_HEAD,
} from '../../gateway/frame.js';
import type { FrameWriter } from '../../gateway/frame-writer.js';
import type { LinkedResponse } from '../../gateway/adapter.js';

type Encoding = 'utf8' | 'latin1';

/**
 * What a `ServerResponse` has written, on its way into frames: an HTTP/1 head, which the core parses, and the plain body.
 *
 * It collects until {@link flush}, which makes one frame of a response that is complete by then.
 */
export class Outgoing implements LinkedResponse {
  readonly stream: number;
  credit: number;
  gone = false;
  /** This side of the stream has ended. */
  ended = false;
  /** The head is on its way. */
  headSent = false;
  /** Lines of fields that follow the body, each with its line end. */
  trailers = '';
  /** Characters and bytes that wait. */
  length = 0;
  private readonly writer: FrameWriter;
  /** Characters of the head at the start of the first piece; 0 until there is one. */
  private head = 0;
  private readonly pieces: (string | Uint8Array)[] = [];
  private readonly encodings: Encoding[] = [];

  constructor(writer: FrameWriter, stream: number, credit: number) {
    this.writer = writer;
    this.stream = stream;
    this.credit = credit;
  }

  /** Whether a head has been written. */
  get begun(): boolean {
    return this.head > 0;
  }

  /** The first piece: it begins with the response's head, which has `head` characters. */
  begin(data: string, encoding: Encoding, head: number): void {
    this.head = head;
    this.push(data, encoding);
  }

  /** A piece of the body. */
  push(data: string | Uint8Array, encoding: Encoding): void {
    if (data.length === 0) return;
    this.pieces.push(data);
    this.encodings.push(encoding);
    this.length += data.length;
  }

  /** Whether there is credit for all that waits. */
  get fits(): boolean {
    return this.room() - (this.headSent ? 0 : this.head) <= this.credit;
  }

  /** The connection is to end with this response. */
  close(): void {
    if (this.ended || this.gone || this.head === 0) return;
    this.writer.control(KIND_CLOSED, this.stream, 0);
  }

  /** Sends as much as there is credit for. `end`: nothing more comes. */
  flush(end: boolean): void {
    if (this.ended || this.gone || this.head === 0) return;
    const ends = end && this.trailers === '';
    if (!this.headSent) this.sendHead(ends);
    while (this.pieces.length > 0 && this.credit > 0) this.sendBody(ends);
    if (end && !this.ended && this.pieces.length === 0) {
      if (!ends) this.sendTrailers();
      this.ended = true;
      this.writer.control(KIND_END, this.stream, 0);
    }
  }

  reset(reason: number): void {
    if (this.ended) return;
    this.ended = true;
    this.clear();
    this.writer.reset(this.stream, reason);
  }

  /** Drops what waits. */
  clear(): void {
    this.pieces.length = 0;
    this.encodings.length = 0;
    this.length = 0;
  }

  /** The head, and with it all of the body that is there, if that fits. */
  private sendHead(end: boolean): void {
    const { writer, pieces, encodings } = this;
    let room = this.room();
    const fits = RESPONSE_HEAD + room <= MAX_PAYLOAD && room - this.head <= this.credit;
    if (!fits) room = this.splitHead();
    const count = fits ? pieces.length : 1;
    const at = writer.begin(RESPONSE_HEAD + room);
    const start = at + RESPONSE_HEAD;
    const first = pieces[0] as string;
    let position = start + write(writer, first, encodings[0] as Encoding, start);
    // Its characters are bytes, but for what an application makes of other letters.
    const head =
      position - start === first.length
        ? this.head
        : Buffer.byteLength(first.slice(0, this.head), encodings[0] as Encoding);
    for (let i = 1; i < count; i++) {
      position += write(writer, pieces[i] as string | Uint8Array, encodings[i] as Encoding, position);
    }
    writer.words[at >> 2] = head;
    writer.words[(at >> 2) + 1] = FORM_HTTP;
    this.headSent = true;
    this.credit -= position - start - head;
    this.shift(count);
    const ends = end && this.pieces.length === 0;
    if (ends) this.ended = true;
    writer.finish(KIND_HEAD, ends ? FLAG_END : 0, this.stream, 0, position - at);
  }

  private sendTrailers(): void {
    const { writer, trailers } = this;
    if (trailers.length > MAX_PAYLOAD)
      throw new RangeError(`the response's trailers have ${trailers.length} characters: too many`);
    writer.lines(KIND_TRAILERS, this.stream, 0, trailers);
  }

  /** Makes the head a piece of its own; gives the bytes that it has at most. */
  private splitHead(): number {
    const { pieces, encodings, head } = this;
    const first = pieces[0] as string;
    const encoding = encodings[0] as Encoding;
    if (first.length > head) {
      pieces.splice(0, 1, first.slice(0, head), first.slice(head));
      encodings.splice(0, 1, encoding, encoding);
    }
    const room = bytesAtMost(pieces[0] as string, encoding);
    if (RESPONSE_HEAD + room > MAX_PAYLOAD)
      throw new RangeError(`the response's head has ${head} characters: too many`);
    return room;
  }

  /** One DATA frame, of as many pieces as fit. */
  private sendBody(end: boolean): void {
    const { writer, pieces, encodings } = this;
    const most = Math.min(MAX_PAYLOAD, this.credit);
    let room = 0;
    let count = 0;
    while (count < pieces.length) {
      const next = bytesAtMost(pieces[count] as string | Uint8Array, encodings[count] as Encoding);
      if (room + next > most) break;
      room += next;
      count += 1;
    }
    let length: number;
    if (count > 0) {
      const at = writer.begin(room);
      let position = at;
      for (let i = 0; i < count; i++) {
        position += write(writer, pieces[i] as string | Uint8Array, encodings[i] as Encoding, position);
      }
      length = position - at;
      this.shift(count);
    } else {
      // A piece that is too large for one frame: a part of it.
      const piece = pieces[0] as string | Uint8Array;
      const bytes = typeof piece === 'string' ? Buffer.from(piece, encodings[0] as Encoding) : piece;
      length = Math.min(most, bytes.length);
      const at = writer.begin(length);
      writer.bytes.set(bytes.subarray(0, length), at);
      this.length += bytes.length - piece.length;
      pieces[0] = bytes;
      if (length === bytes.length) this.shift(1);
      else {
        pieces[0] = bytes.subarray(length);
        this.length -= length;
      }
    }
    this.credit -= length;
    const ends = end && this.pieces.length === 0;
    if (ends) this.ended = true;
    writer.finish(KIND_DATA, ends ? FLAG_END : 0, this.stream, 0, length);
  }

  private shift(count: number): void {
    const { pieces, encodings } = this;
    if (count === pieces.length) {
      this.clear();
      return;
    }
    for (let i = 0; i < count; i++) this.length -= (pieces[i] as string | Uint8Array).length;
    pieces.splice(0, count);
    encodings.splice(0, count);
  }

  /** Bytes that the pieces have at most. */
  private room(): number {
    const { pieces, encodings } = this;
    let room = 0;
    for (let i = 0; i < pieces.length; i++) {
      room += bytesAtMost(pieces[i] as string | Uint8Array, encodings[i] as Encoding);
    }
    return room;
  }
}

function bytesAtMost(data: string | Uint8Array, encoding: Encoding): number {
  // A UTF-16 unit is at most three bytes of UTF-8.
  return typeof data === 'string' && encoding === 'utf8' ? data.length * 3 : data.length;
}

function write(writer: FrameWriter, data: string | Uint8Array, encoding: Encoding, at: number): number {
  const { bytes } = writer;
  if (typeof data === 'string') {
    return encoding === 'utf8' ? bytes.utf8Write(data, at, data.length * 3) : bytes.latin1Write(data, at, data.length);
  }
  bytes.set(data, at);
  return data.length;
}
