// An HTTP/1.1 client that tells how a response ended: tests of crashes need to know whether a body was finished.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  /** By lower-case name. */
  headers: Map<string, string>;
  body: Buffer;
  /** Whether the body reached the end that its framing announces. */
  complete: boolean;
}

/** One connection. */
export class Client {
  readonly socket: Socket;
  /** A reset or another failure of the socket; a closed connection is none. */
  error: Error | undefined;
  ended = false;
  private received: Buffer = Buffer.alloc(0);
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
      this.wake();
    });
    socket.on('error', (error) => (this.error = error));
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.ended = true;
        this.wake();
      });
    }
  }

  static async connect(port: number): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new Client(socket);
    await once(socket, 'connect');
    return client;
  }

  /** Sends a request without a body. */
  get(path: string, ...headers: string[]): void {
    this.socket.write(`GET ${path} HTTP/1.1\r\n${['Host: t', ...headers].join('\r\n')}\r\n\r\n`);
  }

  /** Sends a request with a body. */
  post(path: string, body: string | Uint8Array): void {
    this.socket.write(`POST ${path} HTTP/1.1\r\nHost: t\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`);
    this.socket.write(body);
  }

  /** The next response; rejects if the connection ends before its head is whole. */
  async answer(): Promise<Answer> {
    const [statusLine = '', ...lines] = (await this.head()).split('\r\n');
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const status = Number(statusLine.split(' ')[1]);
    const length = headers.get('content-length');
    if (headers.get('transfer-encoding') === 'chunked') return { status, headers, ...(await this.chunks()) };
    const wanted = length === undefined ? Number.POSITIVE_INFINITY : Number(length);
    const complete = await this.until(wanted);
    return { status, headers, body: this.take(wanted), complete: complete || length === undefined };
  }

  /** The next head, without its empty line; all there is of a 1xx response. */
  async head(): Promise<string> {
    const end = await this.find('\r\n\r\n', 0);
    if (end < 0) throw new Error(`no response: ${this.error?.message ?? 'the connection was closed'}`);
    return this.take(end + 4)
      .toString('latin1')
      .slice(0, -4);
  }

  /** Waits for the server's end of the connection. */
  async closed(): Promise<void> {
    while (!this.ended) await this.more();
  }

  /** Resolves when at least `count` bytes have come that are not taken; false if the connection ends before. */
  async until(count: number): Promise<boolean> {
    while (this.received.length < count) {
      if (this.ended) return false;
      await this.more();
    }
    return true;
  }

  /** Takes up to `count` received bytes. */
  take(count: number): Buffer {
    const taken = this.received.subarray(0, count);
    this.received = this.received.subarray(taken.length);
    return taken;
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** A chunked body, behind its head. */
  async chunks(): Promise<{ body: Buffer; complete: boolean }> {
    const parts: Buffer[] = [];
    for (;;) {
      const lineEnd = await this.find('\r\n', 0);
      if (lineEnd < 0) return { body: Buffer.concat(parts), complete: false };
      const size = Number.parseInt(this.received.toString('latin1', 0, lineEnd), 16);
      const whole = await this.until(lineEnd + 2 + size + 2);
      this.take(lineEnd + 2);
      if (size === 0 && whole) {
        this.take(2);
        return { body: Buffer.concat(parts), complete: true };
      }
      parts.push(this.take(size));
      if (!whole) return { body: Buffer.concat(parts), complete: false };
      this.take(2);
    }
  }

  private async find(text: string, from: number): Promise<number> {
    for (;;) {
      const at = this.received.indexOf(text, from, 'latin1');
      if (at >= 0) return at;
      if (this.ended) return -1;
      await this.more();
    }
  }

  private async more(): Promise<void> {
    await new Promise<void>((resolve) => (this.wake = resolve));
  }
}

/** One request on a connection of its own. */
export async function get(port: number, path: string): Promise<Answer> {
  const client = await Client.connect(port);
  try {
    client.get(path);
    return await client.answer();
  } finally {
    client.destroy();
  }
}
