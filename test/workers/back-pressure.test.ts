// Back-pressure both ways: what a client does not read is not made, what an application does not read is not received, and nothing is
// kept meanwhile but the buffers that are configured.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { CoreUsage } from '../../src/native.js';
import type { ServerStatus } from '../../src/supervisor/status.js';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const MIB = 1024 * 1024;
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const ENDLESS = fileURLToPath(new URL('fixtures/endless.ts', import.meta.url));

/** What the core counts of what it holds. */
function held(server: Gwanmun): CoreUsage {
  const status = execFileSync(process.execPath, [MAIN, 'status', '--json', '--pid', String(server.child.pid)]);
  const all = JSON.parse(status.toString()) as ServerStatus | ServerStatus[];
  const [own] = Array.isArray(all) ? all : [all];
  if (own?.held === undefined) throw new Error('the status has no word of what is held');
  return own.held;
}

test.each(['sync', 'async'])('an endless body waits for a client that stalls: a %s generator', async (kind) => {
  await using server = new Gwanmun({ config: { threads: 1, mounts: [{ path: '/', app: ENDLESS }] } });
  const port = await server.port();
  const client = await Client.connect(port);
  client.get(`/${kind}`);
  let received = 0;
  const read = async (count: number): Promise<void> => {
    client.socket.resume();
    for (const end = received + count; received < end;) {
      await client.until(1);
      received += client.take(Number.POSITIVE_INFINITY).length;
    }
    client.socket.pause();
  };
  await read(MIB);
  // It has stalled when the application has made nothing more between two looks.
  let made = -1;
  await expect
    .poll(
      async () => {
        const before = made;
        made = Number((await get(port, '/made')).body);
        return made - before;
      },
      { interval: 50, timeout: 10_000 },
    )
    .toBe(0);
  // What is between the two is in the kernel's buffers and in a window of the protocol.
  expect(made - received).toBeLessThan(16 * MIB);
  expect(held(server).clients).toBeLessThanOrEqual(MIB);
  await read(256 * MIB);
  expect(held(server).clients).toBeLessThanOrEqual(MIB);
  client.destroy();
});

test.each([
  ['are buffered', false],
  ['are streamed', true],
])('a hundred slow uploads that %s hold no worker and little memory', async (_how, stream) => {
  await using server = new Gwanmun({
    config: { threads: 1, concurrency: 200, mounts: [{ path: '/', app: ENDLESS, stream }] },
  });
  const port = await server.port();
  const clients = await Promise.all(Array.from({ length: 100 }, () => Client.connect(port)));
  const piece = Buffer.alloc(1000, 'x');
  const total = 100_000;
  for (const client of clients) {
    client.socket.write(`POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: ${total}\r\n\r\n`);
  }
  for (let sent = 0; sent < total - piece.length; sent += piece.length) {
    for (const client of clients) client.socket.write(piece);
    if (sent % 20_000 === 0) expect((await get(port, '/hello')).body.toString()).toBe('hello');
  }
  // limits.bodyInMemory is 64 KiB, and what is beyond it goes to a file in pieces of 256 KiB, of which one may be on its way. A streamed
  // body is read as far as the worker takes it.
  const { clients: bytes, most, queued } = held(server);
  expect(bytes).toBeLessThanOrEqual(100 * 256 * 1024);
  expect(most).toBeLessThanOrEqual(MIB);
  expect(queued).toBeLessThanOrEqual(128 * 1024);
  for (const client of clients) client.socket.write(piece);
  for (const client of clients) {
    expect((await client.answer()).body.toString()).toBe(String(total));
    client.destroy();
  }
});
