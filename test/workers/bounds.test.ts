// What the core holds for one client is bounded, in bytes and in descriptors, whatever that one sends or leaves unread.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { head, response, TestCore } from './fake-worker.js';
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
