// A client of bytes: it sends what it is told, right or wrong, and reads responses by the letter of RFC 9112.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { CONNECTED, connectTo, reset } from '../transport/client.js';

/** Where a server listens. */
export type Address = { port: number; host?: string } | { path: string };

/** A response as it stood on the wire. */
export interface Response {
  status: number;
  /** The reason phrase. */
  reason: string;
  /** In order of arrival, names in lower case. */
  headers: [name: string, value: string][];
  body: Buffer;
  /** The chunks of a chunked body. */
  chunks: string[] | undefined;
  framing: 'none' | 'length' | 'chunked' | 'close';
}

/** How a connection ended: the server's end, or a reset. */
export type Ending = 'end' | 'reset';

/** Longest that a test waits for bytes; a server that hangs fails with what it has sent so far. */
const PATIENCE_MS = 10_000;

/** One connection. */
export class RawClient {
  readonly socket: Socket;
  private buffer = Buffer.alloc(0);
  private ending: Ending | undefined;
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => {
      this.buffer = this.buffer.length === 0 ? bytes : Buffer.concat([this.buffer, bytes]);
      this.wake();
    });
    socket.on('end', () => this.onEnding('end'));
    socket.on('error', () => this.onEnding('reset'));
    socket.on('close', () => this.onEnding('reset'));
  }

  /** Connects; half-open, so that either side can end first. */
  static async connect(address: Address): Promise<RawClient> {
    const socket = connectTo({ host: '127.0.0.1', ...address, allowHalfOpen: true, noDelay: true });
    await once(socket, 'path' in address ? 'connect' : CONNECTED);
    return new RawClient(socket);
  }

  /** Sends `bytes` and closes the sending side before the connection is made: all of it is there when the server accepts. */
  static connectAndSend(address: Address, bytes: string): RawClient {
    const socket = connectTo({ host: '127.0.0.1', ...address, allowHalfOpen: true, noDelay: true });
    socket.end(bytes, 'latin1');
    return new RawClient(socket);
  }

  /** Sends; a string is latin-1, one byte a character. Resolves when the kernel has taken it. */
  send(bytes: string | Uint8Array): Promise<void> {
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    return new Promise((resolve) => {
      // A server may refuse and close while this side still sends.
      this.socket.write(data, () => resolve());
    });
  }

  /** Closes the sending side. */
  halfClose(): void {
    this.socket.end();
  }

  /** Leaves without a word. */
  reset(): void {
    reset(this.socket);
  }

  close(): void {
    this.socket.destroy();
  }

  /** Reads the next response. `method` is the request's: the answer to HEAD has no body. */
  async response(method = 'GET'): Promise<Response> {
    const head = (await this.until('\r\n\r\n')).toString('latin1').split('\r\n').slice(0, -2);
    const [statusLine = '', ...lines] = head;
    const match = /^HTTP\/1\.1 ([1-5]\d\d) ([\x20-\x7e\x80-\xff]*)$/.exec(statusLine);
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`);
    const status = Number(match[1]);
    const reason = match[2] ?? '';
    const headers = lines.map((line): [string, string] => {
      const field =
        /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)$/.exec(
          line,
        );
      if (field === null) throw new Error(`not a header line: ${JSON.stringify(line)}`);
      return [(field[1] as string).toLowerCase(), field[2] as string];
    });
    for (const name of ['content-length', 'transfer-encoding', 'date', 'server', 'connection']) {
      if (headers.filter(([other]) => other === name).length > 1) throw new Error(`${name} twice`);
    }
    const { framing, length } = framingOf(status, headers, method);
    const response: Response = { status, reason, headers, body: Buffer.alloc(0), chunks: undefined, framing };
    if (framing === 'length') response.body = await this.bytes(length);
    else if (framing === 'close') response.body = await this.rest();
    else if (framing === 'chunked') {
      const chunks: Buffer[] = [];
      for (let chunk = await this.chunk(); chunk.length > 0; chunk = await this.chunk()) chunks.push(chunk);
      response.chunks = chunks.map(String);
      response.body = Buffer.concat(chunks);
    }
    return response;
  }

  /** The lines behind the last chunked body. */
  trailers: string[] = [];

  /** Reads one chunk of a body that is read piece by piece; an empty one is the last, which is read with its trailers. */
  async chunk(): Promise<Buffer> {
    const line = (await this.until('\r\n')).toString('latin1');
    if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`not a chunk line: ${JSON.stringify(line)}`);
    const data = await this.bytes(Number.parseInt(line, 16));
    if (data.length === 0) {
      this.trailers = [];
      for (let field = ''; (field = (await this.until('\r\n')).toString('latin1').slice(0, -2)) !== '';)
        this.trailers.push(field);
      return data;
    }
    const end = (await this.bytes(2)).toString('latin1');
    if (end !== '\r\n') throw new Error(`a chunk ends in ${JSON.stringify(end)}`);
    return data;
  }

  /** Reads `length` bytes. */
  async bytes(length: number): Promise<Buffer> {
    await this.have(() => this.buffer.length >= length, `${length} bytes`);
    return this.take(length);
  }

  /** Reads to `mark`, included. */
  async until(mark: string): Promise<Buffer> {
    let at = -1;
    await this.have(() => (at = this.buffer.indexOf(mark, 0, 'latin1')) >= 0, JSON.stringify(mark));
    return this.take(at + mark.length);
  }

  /** Waits until the server has closed the connection. Bytes that come before that are an error. */
  async closed(): Promise<Ending> {
    const before = (await this.rest(true)).toString('latin1');
    if (before !== '') throw new Error(`bytes before the end: ${JSON.stringify(before.slice(0, 400))}`);
    return this.ending as Ending;
  }

  /** Reads to the end of the connection, which is not to be a reset. */
  async rest(resetToo = false): Promise<Buffer> {
    await this.have(() => this.ending !== undefined, 'the end', true);
    if (this.ending === 'reset' && !resetToo) throw new Error('the connection was reset');
    return this.take(this.buffer.length);
  }

  private onEnding(ending: Ending): void {
    this.ending ??= ending;
    this.wake();
  }

  private take(length: number): Buffer {
    const bytes = this.buffer.subarray(0, length);
    this.buffer = this.buffer.subarray(length);
    return bytes;
  }

  private async have(enough: () => boolean, what: string, endIsFine = false): Promise<void> {
    const started = performance.now();
    while (!enough()) {
      const soFar = (): string => JSON.stringify(this.buffer.toString('latin1').slice(0, 400));
      if (this.ending !== undefined && !endIsFine)
        throw new Error(`${this.ending} instead of ${what} after ${soFar()}`);
      const left = started + PATIENCE_MS - performance.now();
      if (left <= 0) throw new Error(`no ${what} within ${PATIENCE_MS} ms after ${soFar()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** The value of a header; undefined if the response has none. */
export function header(response: Response, name: string): string | undefined {
  return response.headers.find(([other]) => other === name)?.[1];
}

/** RFC 9112 §6.3. */
function framingOf(
  status: number,
  headers: Response['headers'],
  method: string,
): { framing: Response['framing']; length: number } {
  const value = (name: string): string | undefined => headers.find(([other]) => other === name)?.[1];
  const [coding, length] = [value('transfer-encoding'), value('content-length')];
  if (coding !== undefined && length !== undefined) throw new Error('both Transfer-Encoding and Content-Length');
  if (coding !== undefined && coding !== 'chunked') throw new Error(`Transfer-Encoding: ${coding}`);
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`Content-Length: ${length}`);
  if (status < 200 || status === 204) {
    // RFC 9110 §8.6, RFC 9112 §6.1.
    if (coding !== undefined || length !== undefined) throw new Error(`a ${status} with framing`);
    return { framing: 'none', length: 0 };
  }
  if (method === 'HEAD' || status === 304) return { framing: 'none', length: 0 };
  if (coding !== undefined) return { framing: 'chunked', length: 0 };
  return length === undefined ? { framing: 'close', length: 0 } : { framing: 'length', length: Number(length) };
}
