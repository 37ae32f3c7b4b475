// Back-pressure both ways: what a client does not read is not made, what an application does not read is not received, and nothing is
// kept meanwhile but the buffers that are configured.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const MIB = 1024 * 1024;
const ENDLESS = fileURLToPath(new URL('fixtures/endless.ts', import.meta.url));

/** Resident memory of a process, in MiB. */
function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
}

/** A server with one worker, warm, and how much its processes have grown since then, in MiB: the core's and the worker's. */
async function measured(server: Gwanmun): Promise<{ port: number; growth: () => { core: number; worker: number } }> {
  const port = await server.port();
  for (let count = 0; count < 100; count += 1) await get(port, '/hello');
  const worker = server.workers()[0] as number;
  const core = server.child.pid as number;
  const idle = [resident(core), resident(worker)] as const;
  return { port, growth: () => ({ core: resident(core) - idle[0], worker: resident(worker) - idle[1] }) };
}

test.each(['sync', 'async'])('an endless body waits for a client that stalls: a %s generator', async (kind) => {
  await using server = new Gwanmun({ config: { threads: 1, mounts: [{ path: '/', app: ENDLESS }] } });
  const { port, growth } = await measured(server);
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
  const stalled = growth();
  await read(256 * MIB);
  const after = growth();
  for (const { core, worker } of [stalled, after]) {
    expect(core).toBeLessThan(16);
    expect(worker).toBeLessThan(16);
  }
  client.destroy();
});

test.each([
  ['are buffered', false],
  ['are streamed', true],
])('a hundred slow uploads that %s hold no worker and little memory', async (_how, stream) => {
  await using server = new Gwanmun({
    config: { threads: 1, concurrency: 200, mounts: [{ path: '/', app: ENDLESS, stream }] },
  });
  const { port, growth } = await measured(server);
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
  const { core, worker } = growth();
  // limits.bodyInMemory is 64 KiB; what is beyond it goes to a file by way of a buffer that is as large at the most.
  expect(core).toBeLessThan(16 + 100 / 16);
  expect(worker).toBeLessThan(16);
  for (const client of clients) client.socket.write(piece);
  for (const client of clients) {
    expect((await client.answer()).body.toString()).toBe(String(total));
    client.destroy();
  }
});
