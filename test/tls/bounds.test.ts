// What connections may cost before and after their handshake: bytes, time, and lines in the log.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { CoreStatus } from '../../src/native.js';
import { issue, TlsCore } from './core.js';
import { DATA, Tap } from './tap.js';

const certificate = issue(['a.test']);
let server: TlsCore;
beforeAll(() => {
  server = new TlsCore([certificate], {
    threads: 1,
    timeouts: { headerMs: 1500, bodyMs: 1500, keepAliveMs: 1500, writeMs: 1500 },
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const status = (): CoreStatus => JSON.parse(server.core.status()) as CoreStatus;
const GET = 'GET /small.txt HTTP/1.1\r\nHost: a.test\r\n\r\n';

/** The first message of a client, whole. */
async function firstMessage(): Promise<Buffer> {
  const parts: Buffer[] = [];
  const tap = new Tap(server.port, {}, (bytes) => void parts.push(bytes));
  await vi.waitFor(() => expect(parts.length).toBeGreaterThan(0));
  tap.raw.destroy();
  return Buffer.concat(parts);
}

/** That nobody is there any more, and nothing is held for anybody. */
async function expectNothing(): Promise<void> {
  await vi.waitFor(() => expect(status()).toMatchObject({ connections: 0, held: { clients: 0, descriptors: 0 } }), {
    timeout: 15_000,
    interval: 100,
  });
}

test('T96 handshakes that stop half-way hold little, are counted, and are let go', { timeout: 30_000 }, async () => {
  const hello = await firstMessage();
  await expectNothing();
  const sockets: Socket[] = [];
  const before = process.memoryUsage().rss;
  // Half of them have been answered, the others have not said all.
  for (let count = 0; count < 400; count++) {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write(count % 2 === 0 ? hello : hello.subarray(0, 200));
    sockets.push(socket);
  }
  const answered = sockets.filter((_, index) => index % 2 === 0);
  await Promise.all(answered.map((socket) => once(socket, 'data')));
  await vi.waitFor(() => expect(status().held.descriptors).toBe(400));
  const { held } = status();
  expect(held.clients).toBeGreaterThan(400 * 200);
  expect(held.clients / 400).toBeLessThan(8 * 1024);
  // Both ends are this process, which has its own for each.
  expect((process.memoryUsage().rss - before) / 400).toBeLessThan(80 * 1024);
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  await expectNothing();
});

test('T124 half a record is held, and its connection is let go in time', async () => {
  const taps: Tap[] = [];
  for (let count = 0; count < 4; count++) taps.push(await new Tap(server.port, {}, halving()).established());
  for (const { socket } of taps) socket.write(Buffer.alloc(16 * 1024, GET));
  await vi.waitFor(() => expect(status().held.clients).toBeGreaterThan(4 * 8000));
  await Promise.all(taps.map(({ closed }) => closed));
  await expectNothing();
});

/** Sends half of each large record. */
function halving(): (bytes: Buffer, raw: Socket) => void {
  let isCut = false;
  return (bytes, raw) => {
    if (isCut) return;
    isCut = bytes.length > 10_000;
    raw.write(isCut ? bytes.subarray(0, bytes.length / 2) : bytes);
  };
}

test('T122 of a response that is not taken no more is sealed than the client gets soon', async () => {
  const tap = await new Tap(server.port).established();
  tap.raw.pause();
  tap.socket.write('GET /large.bin HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await vi.waitFor(() => expect(status().held.clients).toBeGreaterThan(1024));
  for (let looks = 0; looks < 20; looks++) {
    // Three records of a file, and the same sealed, each in a buffer that may have room for one more.
    expect(status().held.most).toBeLessThan(2 * 64 * 1024);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  tap.raw.resume();
  await tap.closed;
  expect(tap.records().every(({ length }) => length <= 16 * 1024 + 256)).toBe(true);
  await expectNothing();
});

test('T108 clients that refuse a certificate, or go, are no errors', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const tap = new Tap(server.port, { rejectUnauthorized: true, minVersion: version, maxVersion: version });
    await once(tap.socket, 'error');
    tap.raw.end();
    await tap.closed;
  }
  // The alerts that OpenSSL sends when it does not know who has signed a certificate, and when it is broken.
  for (const alert of [48, 42]) {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write(await firstMessage());
    await once(socket, 'data');
    socket.end(Buffer.from([21, 3, 3, 0, 2, 2, alert]));
    await once(socket.resume(), 'close');
  }
  const reset = connect({ port: server.port, host: '127.0.0.1' });
  reset.write(await firstMessage());
  await once(reset, 'data');
  reset.resetAndDestroy();
  await expectNothing();
  const lines = server.log('error').trim().split('\n');
  expect(lines.filter((line) => /UnknownCA|BadCertificate/i.test(line)).length).toBeGreaterThanOrEqual(2);
  expect(lines.filter((line) => !/debug/.test(line))).toEqual([]);
});

test('T106 records that say nothing end their connection', async () => {
  const tap = await new Tap(server.port).established();
  tap.mark();
  tap.socket.write(GET);
  await once(tap.socket, 'data');
  // What cannot be opened is refused at once, however much of it there is.
  for (let count = 0; count < 50; count++) tap.raw.write(Buffer.from([DATA, 3, 3, 0, 0]));
  await tap.closed;
  await expectNothing();
});
