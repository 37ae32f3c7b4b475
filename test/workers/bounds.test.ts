// What the core holds for one client is bounded, in bytes and in descriptors, whatever that one sends or leaves unread.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore, type FakeWorker, type Frame } from './fake-worker.js';
import { Client } from './http-client.js';

const MIB = 1024 * 1024;
const PIPELINE = 2000;
const FILES = { index: [], tryFiles: [], types: [], headers: [], listing: false, compress: false };

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-bounds-'));
  writeFileSync(join(folder, 'small.bin'), Buffer.alloc(30_000, 1));
  for (let n = 0; n < 20; n++) writeFileSync(join(folder, `large-${n}.bin`), Buffer.alloc(8 * MIB, 1));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A client that asks without end and reads nothing, until the core takes no more of it. */
async function unread(core: TestCore, path: (n: number) => string, ...headers: string[]): Promise<Client> {
  const client = await Client.connect(core.port);
  client.socket.pause();
  for (let n = 0; n < PIPELINE; n++) client.get(path(n), ...headers);
  return client;
}

describe('a client that pipelines and reads nothing', () => {
  test.each([
    ['small files', () => '/files/small.bin', []],
    ['large files', (n: number) => `/files/large-${n % 20}.bin`, []],
    ['parts of files', (n: number) => `/files/large-${n % 20}.bin`, ['Range: bytes=0-20000,40000-60000,80000-100000']],
  ] as const)('gets no more than its bound: %s', async (_name, path, headers) => {
    const files = { ...FILES, root: folder };
    await using core = new TestCore({ mounts: [{ path: '/files', files }] });
    const client = await unread(core, path, ...headers);
    // It is full when its requests, more than the kernel has room for, are not read on.
    const held = await core.held(({ clients, descriptors }) => clients > 300_000 || descriptors >= 12);
    expect(held.most).toBeLessThanOrEqual(MIB);
    expect(held.mostDescriptors).toBeLessThanOrEqual(16);
    client.destroy();
    await core.held(({ clients, descriptors }) => clients === 0 && descriptors === 0);
  });

  test('gets no more than its bound of an application that answers as much as it can', async () => {
    await using core = new TestCore();
    const worker = await core.worker(64);
    const client = await unread(core, (n) => `/app/${n}`);
    void (async () => {
      for (;;) {
        const { stream, flags } = await worker.begin();
        const window = flags & f.FLAG_NARROW ? f.NARROW_WINDOW : 60_000;
        // A head as large as a frame takes, and no end.
        worker.send(head(stream, 200, `X: ${'x'.repeat(4000)}\r\n`, 'y'.repeat(window)));
      }
    })().catch(() => {});
    const held = await core.held(({ most }) => most > 300_000);
    expect(held.most).toBeLessThanOrEqual(MIB);
    client.socket.resetAndDestroy();
    await core.held(({ clients }) => clients === 0);
  });

  test('is cut off when an application sends it heads without end', async () => {
    await using core = new TestCore({
      limits: { requestLine: 8192, headerBytes: 16_384, headerCount: 100, body: 1e7, bodyInMemory: 65_536, minRate: 0 },
    });
    const worker = await core.worker(64);
    const client = await Client.connect(core.port);
    for (let n = 0; n < 32; n++) client.get(`/app/${n}`);
    for (let n = 0; n < 32; n++) {
      const { stream } = await worker.begin();
      if (n > 0) worker.send(head(stream, 200, `X: ${'x'.repeat(60_000)}\r\n`, '', f.FLAG_END));
    }
    await client.closed();
    await core.held(({ clients }) => clients === 0);
    // The worker has done nothing wrong.
    const other = await Client.connect(core.port);
    other.get('/app');
    worker.send(response((await worker.begin()).stream, 'x'));
    expect((await other.answer()).status).toBe(200);
    other.destroy();
  });
});

/** What no coding makes smaller. */
const NOISE = randomBytes(262_144);

/** Sends a stream's body without end, as far as there is credit; what is behind it gets a narrow window full. */
async function pour(worker: FakeWorker, { stream }: Frame): Promise<void> {
  const send = (bytes: number): void => {
    for (let at = 0; at < bytes; at += 32_768) {
      worker.send(frame(f.KIND_DATA, stream, 0, NOISE.subarray(at, Math.min(at + 32_768, bytes))));
    }
  };
  worker.send(head(stream, 200, 'Content-Type: text/plain\r\n'));
  send(NOISE.length);
  for (;;) {
    const got = await worker.link.take();
    if (got === undefined) return;
    if (got.kind === f.KIND_CREDIT && got.stream === stream) send(got.extra);
    if (got.kind === f.KIND_HEAD) answerBehind(worker, got);
  }
}

function answerBehind(worker: FakeWorker, { stream, extra }: Frame): void {
  worker.mark(extra);
  worker.send(head(stream, 200, 'Content-Type: text/plain\r\n', 'y'.repeat(f.NARROW_WINDOW)));
}

describe.each(['gzip', 'br', 'zstd'])('a response in %s', (coding) => {
  const accept = `Accept-Encoding: ${coding}`;
  const config = {
    mounts: [{ path: '/app', application: 0, pool: 0, compress: true }],
    limits: { headerBytes: 16_384, minRate: 0 },
  };

  test('counts with its compressor, and no other request is begun beside it', async () => {
    await using core = new TestCore(config);
    const worker = await core.worker(64);
    const client = await Client.connect(core.port);
    client.socket.pause();
    client.get('/app', accept);
    const poured = pour(worker, await worker.begin());
    for (let n = 0; n < PIPELINE; n++) client.get(`/app/${n}`, accept, `X-Large: ${'x'.repeat(8000)}`);
    // A compressor, and a window, of which a quarter may be granted later.
    const held = await core.held(({ most }) => most > 600_000);
    expect(held.most).toBeLessThanOrEqual(MIB);
    client.socket.resume();
    expect(await client.head()).toContain(`Content-Encoding: ${coding}`);
    client.destroy();
    await core.held(({ clients }) => clients === 0);
    worker.close();
    await poured;
  });

  test('gives its application no credit for what waits for the compressor', async () => {
    await using core = new TestCore(config);
    const worker = await core.worker(64);
    const client = await Client.connect(core.port);
    client.get('/app', accept);
    const { stream } = await worker.begin();
    // All that it may send, at once: five pieces for the compressor, which takes one after the other.
    const parts = Array.from({ length: 5 }, (_, n) => NOISE.subarray(n * 60_000, (n + 1) * 60_000));
    worker.send(
      head(stream, 200, 'Content-Type: text/plain\r\n'),
      ...parts.map((part) => frame(f.KIND_DATA, stream, 0, part)),
    );
    // The head has left, and nothing more: that gives no credit. The first piece gives credit for itself.
    const credit = await worker.next(f.KIND_CREDIT);
    expect(credit.stream).toBe(stream);
    expect(credit.extra).toBeLessThan(NOISE.length);
    client.destroy();
  });

  test('is sent as it is to who holds much already', async () => {
    await using core = new TestCore(config);
    const worker = await core.worker(64);
    const client = await unread(core, (n) => `/app/${n}`, accept, `X-Large: ${'x'.repeat(8000)}`);
    const first = await worker.begin();
    const behind = await worker.begin();
    answerBehind(worker, behind);
    await core.held(({ most }) => most > 200_000);
    const poured = pour(worker, first);
    const held = await core.held(({ most }) => most > 450_000);
    expect(held.most).toBeLessThanOrEqual(MIB);
    client.socket.resume();
    const answer = await client.head();
    expect(answer).toContain('Vary: Accept-Encoding');
    expect(answer).not.toContain('Content-Encoding');
    client.destroy();
    await core.held(({ clients }) => clients === 0);
    worker.close();
    await poured;
  });
});

test('a thousand clients that read nothing make the core hold no more than a GiB and a fifth', async () => {
  const files = { ...FILES, root: folder };
  await using core = new TestCore({ mounts: [{ path: '/files', files }] });
  const clients: Client[] = [];
  for (let n = 0; n < 1000; n++) {
    const client = await Client.connect(core.port);
    client.socket.pause();
    for (let i = 0; i < 200; i++) client.get('/files/small.bin');
    clients.push(client);
  }
  const held = await core.held(({ clients: bytes }) => bytes > 1000 * 250_000);
  expect(held.most).toBeLessThanOrEqual(MIB);
  expect(held.clients + held.kept).toBeLessThanOrEqual(1.2 * 1024 * MIB);
  for (const client of clients) client.destroy();
  await core.held(({ clients: bytes, kept }) => bytes === 0 && kept < MIB);
});
