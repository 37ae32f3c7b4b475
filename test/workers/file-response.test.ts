// Files that a worker passes to the core as the body of a response.

import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore, type FakeWorker } from './fake-worker.js';
import { Client, get } from './http-client.js';

const folder = mkdtempSync(join(tmpdir(), 'gwanmun-passed-'));
const small = join(folder, 'small');
writeFileSync(small, '0123456789');
afterAll(() => rmSync(folder, { recursive: true }));

/** A HEAD whose body is a part of the file that comes with it. */
function part(stream: number, offset: bigint, length: bigint, lines = ''): Buffer {
  const place = Buffer.alloc(f.FILE_PART);
  place.writeBigUInt64LE(offset, 0);
  place.writeBigUInt64LE(length, 8);
  return head(stream, 200, lines, place.toString('latin1'), f.FLAG_FD | f.FLAG_END);
}

/** A worker that may pass descriptors. */
async function passing(core: TestCore): Promise<FakeWorker> {
  const worker = await core.worker();
  worker.send(frame(f.KIND_PASSING, 0));
  expect(await worker.next(f.KIND_PASSING)).toMatchObject({ stream: 0, extra: 0 });
  return worker;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('several in one batch each get their own file, in the order of the requests', async () => {
  await using core = new TestCore();
  const worker = await passing(core);
  const clients = await Promise.all(Array.from({ length: 6 }, () => Client.connect(core.port)));
  const streams: number[] = [];
  for (const client of clients) {
    client.get('/app');
    streams.push((await worker.begin()).stream);
  }
  const before = descriptors();
  for (const [index, stream] of streams.entries()) {
    const path = join(folder, `file-${index}`);
    writeFileSync(path, `file ${index}`);
    const fd = openSync(path, 'r');
    worker.link.sendWithFd(part(stream, 0n, 0xffff_ffff_ffff_ffffn), fd);
    closeSync(fd);
  }
  for (const [index, client] of clients.entries()) {
    const answer = await client.answer();
    expect([answer.body.toString(), answer.headers.get('content-length')]).toEqual([`file ${index}`, '6']);
    // The slot and the connection are free again.
    client.get('/app');
    worker.send(response((await worker.begin()).stream, 'next'));
    expect((await client.answer()).body.toString()).toBe('next');
    client.destroy();
  }
  expect(descriptors()).toBeLessThanOrEqual(before);
});

test('a file that becomes shorter while it is sent ends the connection', async () => {
  await using core = new TestCore();
  const worker = await passing(core);
  const path = join(folder, 'large');
  const size = 64 * 1024 * 1024;
  writeFileSync(path, '');
  truncateSync(path, size);
  const client = await Client.connect(core.port);
  client.get('/app');
  const { stream } = await worker.begin();
  const fd = openSync(path, 'r');
  client.socket.pause();
  worker.link.sendWithFd(part(stream, 0n, 0xffff_ffff_ffff_ffffn), fd);
  closeSync(fd);
  expect((await get(core.port, '/none')).status).toBe(404);
  truncateSync(path, 1000);
  client.socket.resume();
  const answer = await client.answer();
  expect([answer.headers.get('content-length'), answer.complete]).toEqual([String(size), false]);
  expect(answer.body.length).toBeLessThan(size);
});

test.each([
  ['a device', '/dev/null'],
  ['a folder', '/'],
])('what is no regular file ends the worker: %s', async (_what, path) => {
  await using core = new TestCore();
  const worker = await passing(core);
  const client = await Client.connect(core.port);
  client.get('/app');
  const { stream } = await worker.begin();
  const fd = openSync(path, 'r');
  worker.link.sendWithFd(part(stream, 0n, 5n), fd);
  closeSync(fd);
  expect((await client.answer()).status).toBe(502);
  expect((await core.event('worker-gone', worker.id)).reason).toMatch(/regular file/);
});

test('descriptors that no frame says are the end of the worker, and do not stay', async () => {
  await using core = new TestCore();
  const worker = await passing(core);
  const before = descriptors();
  const fd = openSync(small, 'r');
  for (let count = 0; count < 4; count += 1) worker.link.sendWithFd(frame(f.KIND_LOG, 0, 3, 'x'), fd);
  closeSync(fd);
  expect((await core.event('worker-gone', worker.id)).reason).toMatch(/without a HEAD that has the flag FD/);
  await expect.poll(descriptors, { timeout: 5000, interval: 10 }).toBeLessThanOrEqual(before);
});
