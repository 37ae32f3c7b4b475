// A FastCGI program of the tests: it shows every record that it gets, and answers with whatever a test writes.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

const [BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR] = [1, 3, 4, 5, 6, 7] as const;

/** A record of the server's. */
export interface ServerRecord {
  readonly type: number;
  readonly id: number;
  readonly content: Buffer;
  readonly padding: number;
}

/** A record of the program's, as bytes. */
export function record(type: number, content: string | Uint8Array, { id = 1, padding = 0, version = 1 } = {}): Buffer {
  const bytes = Buffer.from(content as string);
  const head = Buffer.from([version, type, id >> 8, id & 255, bytes.length >> 8, bytes.length & 255, padding, 0]);
  return Buffer.concat([head, bytes, Buffer.alloc(padding, 'p')]);
}

/** Output in as many records as it needs. */
export function stdout(text: string | Uint8Array, padding = 0): Buffer {
  const bytes = Buffer.from(text as string);
  const records = [];
  for (let at = 0; at < bytes.length; at += 65_535) {
    records.push(record(STDOUT, bytes.subarray(at, at + 65_535), { padding }));
  }
  return Buffer.concat(records);
}

export const stderr = (text: string): Buffer => record(STDERR, text);

export function end(exit = 0, status = 0): Buffer {
  const content = Buffer.alloc(8);
  content.writeUInt32BE(exit);
  content[4] = status;
  return record(END_REQUEST, content);
}

/** A request that the server has sent, all of it unless it was asked for earlier. */
export class Asked {
  readonly records: ServerRecord[] = [];
  readonly socket: Socket;
  /** When the server has closed the connection. */
  readonly closed: Promise<unknown>;

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = once(socket, 'close');
  }

  private contentOf(type: number): Buffer {
    return Buffer.concat(this.records.filter((own) => own.type === type).map(({ content }) => content));
  }

  get body(): Buffer {
    return this.contentOf(STDIN);
  }

  get params(): Record<string, string> {
    const pairs: [string, string][] = [];
    for (const { type, content } of this.records) {
      if (type !== PARAMS) continue;
      // Each record by itself, as php-fpm reads them.
      let at = 0;
      const length = (): number => {
        const first = content.readUInt8(at);
        at += first < 128 ? 1 : 4;
        return first < 128 ? first : content.readUInt32BE(at - 4) & 0x7fff_ffff;
      };
      while (at < content.length) {
        const [name, value] = [length(), length()];
        if (at + name + value > content.length) throw new Error('a pair crosses the end of its record');
        const text = (count: number): string => content.toString('latin1', at, (at += count));
        pairs.push([text(name), text(value)]);
      }
    }
    const names = pairs.map(([name]) => name);
    if (new Set(names).size !== names.length) throw new Error('a name comes twice');
    return Object.fromEntries(pairs);
  }

  /** Answers with these bytes. */
  write(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Answers as a program does. */
  answer(text: string | Uint8Array): void {
    this.write(stdout(text), end());
  }
}

export type Handler = (asked: Asked) => unknown;

export interface Where {
  /** The path of a Unix socket; without it a TCP port is taken. */
  path?: string;
  /** The handler is called when the parameters are there, and the body is not read unless it is resumed. */
  early?: boolean;
}

export class Responder implements AsyncDisposable {
  readonly asked: Asked[] = [];
  connections = 0;
  /** What answers from now on. */
  handler: Handler;
  early: boolean;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(handler: Handler, early: boolean) {
    this.handler = handler;
    this.early = early;
    this.server = createServer((socket) => this.take(socket));
  }

  static async start(handler: Handler, { path, early = false }: Where = {}): Promise<Responder> {
    const responder = new Responder(handler, early);
    if (path === undefined) responder.server.listen(0, '127.0.0.1');
    else responder.server.listen(path);
    await once(responder.server, 'listening');
    return responder;
  }

  get address(): string {
    const address = this.server.address();
    return typeof address === 'string' ? `unix:${address}` : `127.0.0.1:${address?.port}`;
  }

  private take(socket: Socket): void {
    this.connections += 1;
    this.sockets.add(socket);
    const asked = new Asked(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    let bytes = Buffer.alloc(0);
    let isCalled = false;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 8) {
        const [length, padding] = [bytes.readUInt16BE(4), bytes.readUInt8(6)];
        if (bytes.length < 8 + length + padding) break;
        const [type, id] = [bytes.readUInt8(1), bytes.readUInt16BE(2)];
        const content = Buffer.from(bytes.subarray(8, 8 + length));
        asked.records.push({ type, id, content, padding });
        bytes = bytes.subarray(8 + length + padding);
        const isLast = length === 0 && type === (this.early ? PARAMS : STDIN);
        if (!isLast || isCalled) continue;
        isCalled = true;
        this.asked.push(asked);
        if (this.early) socket.pause();
        this.handler(asked);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

export { BEGIN_REQUEST, PARAMS, STDIN, STDOUT };
