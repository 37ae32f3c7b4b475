// A client that does not read a generator's response holds up itself alone.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { ask, startPython } from './python.js';

const SIZE = 400 * 65_536;

/** Asks for `path` and reads no more than what comes first. */
async function begin(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}

async function readAll(socket: Socket): Promise<number> {
  let count = 0;
  for await (const piece of socket) count += (piece as Buffer).length;
  return count;
}

test('others are answered meanwhile, one application at a time, and every generator is closed', async () => {
  await using server = startPython({ '/': 'generators' }, { config: { workers: 1, threads: 1 } });
  const port = await server.port();
  const one = await begin(port, '/big/1');
  const two = await begin(port, '/write/2');
  const three = await begin(port, '/big/3');
  const known = await begin(port, '/known/4');
  // None of them has begun before the one before it was at its end.
  expect((await ask(port, 'GET /')).body.toString()).toBe('/big/1 /write/2 /big/3 /known/4');
  // In another order than they began.
  expect(await readAll(two)).toBeGreaterThan(SIZE);
  expect(await readAll(known)).toBeGreaterThan(SIZE);
  expect(await readAll(one)).toBeGreaterThan(SIZE);
  three.destroy();
  expect((await ask(port, 'GET /')).body.toString()).toBe('/big/1 /write/2 /big/3 /known/4');
});

test('a client that is too far behind loses its response, and the worker goes on', async () => {
  await using server = startPython({ '/': 'generators' }, { config: { workers: 1, threads: 1 } });
  const port = await server.port();
  const endless = await begin(port, '/endless');
  endless.on('error', () => {});
  // As long as nobody else waits, the application waits for its client.
  const other = ask(port, 'GET /');
  expect((await other).status).toBe(200);
  await server.says(/more than 256 MiB behind/);
  endless.destroy();
});
