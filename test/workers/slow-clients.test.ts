// A client that is slow holds up itself: not the worker's other requests, and never the worker's life.

import { expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const SIZE = 16 * 1024 * 1024;
const APP = `
const big = Buffer.alloc(${SIZE}, 65);
let end;
async function* waits() { yield 'first'; await new Promise((resolve) => (end = resolve)); yield 'last'; }
export const application = (environ, start) => {
  const write = start('200 OK', []);
  if (environ.PATH_INFO === '/write') write(big);
  if (environ.PATH_INFO === '/read') environ['wsgi.input'].read();
  if (environ.PATH_INFO === '/innocent') return waits();
  if (environ.PATH_INFO === '/end') end();
  return [String(process.pid)];
};`;

function server(): Gwanmun {
  return new Gwanmun({
    files: { 'app.mjs': APP },
    config: { mounts: [{ path: '/', app: './app.mjs', stream: true }], workers: 1, threads: 1, timeout: 1000 },
  });
}

async function innocent(port: number): Promise<Client> {
  const client = await Client.connect(port);
  client.get('/innocent');
  await client.until(1);
  return client;
}

test('write() does not wait for its client, which gets all of it later', async () => {
  await using own = server();
  const port = await own.port();
  const pid = (await get(port, '/')).body.toString();
  const other = await innocent(port);
  const slow = await Client.connect(port);
  slow.get('/write');
  await slow.until(1);
  slow.socket.pause();
  for (let n = 0; n < 20; n++) expect((await get(port, '/')).body.toString()).toBe(pid);
  await get(port, '/end');
  expect((await other.answer()).body.toString()).toBe('firstlast');
  slow.socket.resume();
  expect((await slow.answer()).body.length).toBe(SIZE + pid.length);
  slow.destroy();
  other.destroy();
});

test('read() that waits for a client which drips gives up; the worker is not taken for hung', async () => {
  await using own = server();
  const port = await own.port();
  const pid = (await get(port, '/')).body.toString();
  const other = await innocent(port);
  const slow = await Client.connect(port);
  slow.socket.write('POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n');
  const drip = setInterval(() => slow.socket.write('x'), 50);
  expect((await slow.answer()).status).toBe(408);
  clearInterval(drip);
  expect((await get(port, '/end')).body.toString()).toBe(pid);
  expect((await other.answer()).body.toString()).toBe('firstlast');
  expect(own.stderr).not.toMatch(/hangs|busy without a pause/);
  slow.destroy();
  other.destroy();
});
