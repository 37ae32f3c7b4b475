// Clients that send exactly what a test says: fetch() would normalise a path and hide a framing fault.

import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { CONNECTED, connectTo, request } from '../transport/client.js';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** One request on a connection of its own. Rejects if the body ends before its Content-Length. */
export function get(port: number, path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

/** A connected socket. */
export async function connected(port: number): Promise<Socket> {
  const socket = connectTo({ port, host: '127.0.0.1' });
  await once(socket, CONNECTED);
  return socket;
}

/** Sends bytes and gives everything that comes until the server closes. */
export async function exchange(port: number, ...pieces: (string | Buffer)[]): Promise<Buffer> {
  const socket = await connected(port);
  for (const piece of pieces) socket.write(piece);
  return rest(socket);
}

/** What comes on a socket until its end, or until it is reset. */
export async function rest(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks);
}

/** The status of a response as bytes. */
export function statusOf(response: Buffer): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(response.toString('latin1'))?.[1]);
}
