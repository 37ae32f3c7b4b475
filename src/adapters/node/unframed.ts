import type { ServerResponse } from 'node:http';
import { Outgoing } from './outgoing.js';

/** The digit. */
const ONE = 49;

/** What is written to a request's socket, without the framing of the body that Node begins: that is the core's. */
export class Unframed extends Outgoing {
  /** The head of a chunked body has been written, and the size of its first chunk comes next. */
  private awaitsSize = false;
  /** Of the first chunk, which Node frames: the writes of a line end that are to be dropped, and the bytes between them. */
  private lineEnds = 0;
  private chunk = 0;

  /** Takes what was written. Gives the text of an informational response, which is not a part of this one, else null. */
  write(res: ServerResponse, data: string | Uint8Array, encoding: BufferEncoding | null): string | null {
    if (!this.begun) return this.beginWith(res, data, encoding);
    if (this.awaitsSize) this.takeSize(res, String(data));
    else if (this.lineEnds === 2 || (this.lineEnds === 1 && this.chunk === 0)) this.lineEnds -= 1;
    else {
      // Several writes of a corked response are one chunk; from Node 26 on also those of one tick.
      if (this.lineEnds === 1) this.chunk -= Buffer.byteLength(data, encoding ?? 'utf8');
      this.pushAs(data, encoding);
    }
    return null;
  }

  /** The first write: the response's head and what follows it, or an informational response. */
  private beginWith(
    response: ServerResponse,
    data: string | Uint8Array,
    encoding: BufferEncoding | null,
  ): string | null {
    const res = response as ServerResponse & { _header: string | null };
    const { _header: header } = res;
    const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
    if (header === null) {
      // Not through a response: 1xx, or an answer that the application wrote by hand.
      if (text.charCodeAt(9) === ONE) return text;
      const end = text.indexOf('\r\n\r\n') + 4;
      if (end > 3) this.beginByHand(text.slice(0, end - 2), text.slice(end));
      return null;
    }
    if (!res.chunkedEncoding) {
      this.begin(text, encoding === 'latin1' || encoding === 'ascii' ? 'latin1' : 'utf8', header.length);
      return null;
    }
    // Nothing follows the head that `flushHeaders` sends. From Node 26 on a chunk may have been corked before.
    this.awaitsSize = text.length === header.length && res.writableLength > 0;
    this.begin(header, 'latin1', header.length);
    if (!this.awaitsSize) this.takeSize(res, text.slice(header.length));
    return null;
  }

  /** Node has begun to frame the body, by the size of the first chunk or by the last chunk; from here on it leaves that be. */
  private takeSize(res: ServerResponse, size: string): void {
    this.awaitsSize = false;
    res.chunkedEncoding = false;
    if (size === '' || size.startsWith('0')) return;
    this.lineEnds = 2;
    this.chunk = Number.parseInt(size, 16);
  }

  /** A response without a `ServerResponse`: its author ends the connection to end it. */
  private beginByHand(head: string, body: string): void {
    const whole = `${head}Connection: close\r\n\r\n`;
    this.begin(whole + body, 'latin1', whole.length);
  }

  private pushAs(data: string | Uint8Array, encoding: BufferEncoding | null): void {
    if (typeof data !== 'string') this.push(data, 'latin1');
    else if (encoding === null || encoding === 'utf8' || encoding === 'utf-8') this.push(data, 'utf8');
    else if (encoding === 'latin1' || encoding === 'binary') this.push(data, 'latin1');
    else this.push(Buffer.from(data, encoding), 'latin1');
  }
}
