// A TLS client that sees the records that it is sent, and whose socket is the test's.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

export const ALERT = 21;
export const HANDSHAKE = 22;
export const DATA = 23;

/** A record's type, and the length of what is in it. */
export interface TlsRecord {
  type: number;
  length: number;
}

export class Tap {
  readonly socket: TLSSocket;
  readonly raw: Socket;
  /** The socket's end, however it came about. */
  readonly closed: Promise<unknown>;
  private received = Buffer.alloc(0);
  /** Of `received`: what came before the last {@link mark}. */
  private marked = 0;

  /** `pass` sends the client's bytes on. */
  constructor(
    port: number,
    options: ConnectionOptions = {},
    pass = (bytes: Buffer, raw: Socket): void => void raw.write(bytes),
  ) {
    this.raw = connect({ port, host: '127.0.0.1', noDelay: true });
    this.closed = new Promise((resolve) => this.raw.once('close', resolve));
    this.raw.on('error', () => {});
    const between = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => {
        pass(bytes, this.raw);
        done();
      },
      final: (done) => void this.raw.end(done),
    });
    this.raw.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      between.push(bytes);
    });
    this.raw.on('end', () => between.push(null));
    this.socket = connectTls({ servername: 'a.test', rejectUnauthorized: false, ...options, socket: between });
    this.socket.on('error', () => {});
  }

  async established(): Promise<this> {
    await once(this.socket, 'secureConnect');
    return this;
  }

  /** From here on records are counted. */
  mark(): void {
    this.marked = this.received.length;
  }

  /** The whole records that have come since the mark. */
  records(): TlsRecord[] {
    const records: TlsRecord[] = [];
    for (let at = this.marked; at + 5 <= this.received.length;) {
      const length = this.received.readUInt16BE(at + 3);
      records.push({ type: this.received[at] as number, length });
      at += 5 + length;
    }
    return records;
  }

  /** What the client understands, until the end. */
  async text(): Promise<string> {
    const chunks: Buffer[] = [];
    this.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await this.closed;
    return Buffer.concat(chunks).toString('latin1');
  }
}
