// The access log tells what was sent, once it was: not what was to be sent.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore } from './fake-worker.js';
import { Client } from './http-client.js';

const SIZE = 64 * 1024 * 1024;

interface Line {
  path: string;
  status: number;
  bytes: number;
  incomplete?: boolean;
  duration_ms: number;
}

/** A core with a large file and an access log; `lines` waits until that has so many. */
function logged() {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-log-'));
  writeFileSync(join(folder, 'large.bin'), Buffer.alloc(SIZE, 1));
  const file = join(folder, 'access.log');
  const files = { root: folder, index: [], tryFiles: [], types: [], headers: [], listing: false, compress: false };
  const core = new TestCore({
    mounts: [
      { path: '/files', files },
      { path: '/app', application: 0, pool: 0 },
    ],
    accessLog: { format: 'json', color: false, file },
  });
  const read = (): Line[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((text) => text !== '')
      .map((text) => JSON.parse(text) as Line);
  const lines = async (count: number): Promise<Line[]> => {
    for (let all = read(); ; all = read()) {
      if (all.length >= count) return all;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const end = async (): Promise<void> => {
    await core[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  };
  return { core, read, lines, [Symbol.asyncDispose]: end };
}

test('a file has its line when its last byte has left', async () => {
  await using log = logged();
  const client = await Client.connect(log.core.port);
  client.get('/files/large.bin', 'Connection: close');
  await client.until(100_000);
  client.socket.pause();
  // Another one's line comes first.
  const other = await Client.connect(log.core.port);
  other.get('/files/none');
  await other.answer();
  expect((await log.lines(1)).map(({ path }) => path)).toEqual(['/files/none']);
  client.socket.removeAllListeners('data').resume();
  await client.closed();
  expect((await log.lines(2))[1]).toMatchObject({ path: '/files/large.bin', status: 200, bytes: SIZE });
  expect(log.read()[1]).not.toHaveProperty('incomplete');
  client.destroy();
  other.destroy();
});

test('a client that leaves within a file has what it got, and is told from one that has all', async () => {
  await using log = logged();
  const client = await Client.connect(log.core.port);
  client.get('/files/large.bin');
  // Behind it, and never sent.
  client.get('/files/none');
  await client.until(100_000);
  client.socket.resetAndDestroy();
  const [large, behind] = await log.lines(2);
  expect(large).toMatchObject({ path: '/files/large.bin', status: 200, incomplete: true });
  expect(large?.bytes).toBeLessThan(SIZE);
  expect(behind).toMatchObject({ path: '/files/none', bytes: 0, incomplete: true });
  // 499: whoever looked for it had not come back when the client left.
  expect([404, 499]).toContain(behind?.status);
});

test('what an application has sent and its client has not taken is not counted', async () => {
  await using log = logged();
  const worker = await log.core.worker();
  const client = await Client.connect(log.core.port);
  // Until the kernel takes no more of it.
  client.socket.pause();
  client.get('/app/large');
  const { stream } = await worker.begin();
  worker.send(head(stream, 200));
  let sent = 0;
  let credit = 262_144;
  for (;;) {
    for (; credit >= 65_520; credit -= 65_520, sent += 65_520)
      worker.send(frame(f.KIND_DATA, stream, 0, 'x'.repeat(65_520)));
    const { most } = await log.core.held(({ most: bytes }) => bytes >= 65_520 || worker.link.frames.length > 0);
    if (worker.link.frames.length === 0 && most >= 65_520) break;
    credit += (await worker.next(f.KIND_CREDIT)).extra;
  }
  client.socket.resetAndDestroy();
  const [line] = await log.lines(1);
  expect(line).toMatchObject({ path: '/app/large', incomplete: true });
  expect(line?.bytes).toBeLessThanOrEqual(sent - 65_520);
});

test('the lines of a pipeline come in its order, each with its own bytes', async () => {
  await using log = logged();
  const worker = await log.core.worker();
  const client = await Client.connect(log.core.port);
  const bodies = ['one', 'second', '', 'the fourth'];
  for (let n = 0; n < 4; n++) client.get(`/app/${n}`);
  const streams: number[] = [];
  for (let n = 0; n < 4; n++) streams.push((await worker.begin()).stream);
  for (const n of [3, 1, 2, 0]) worker.send(response(streams[n] as number, bodies[n] as string));
  for (const body of bodies) expect((await client.answer()).body.toString()).toBe(body);
  const lines = await log.lines(4);
  expect(lines.map(({ path, bytes }) => [path, bytes])).toEqual(bodies.map((body, n) => [`/app/${n}`, body.length]));
  client.destroy();
});
