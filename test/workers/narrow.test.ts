// A response behind others has a narrow window and brings no descriptor: a client that pipelines has the core keep little of each.

import { openSync, closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore, type FakeWorker, type Frame } from './fake-worker.js';
import { Client } from './http-client.js';

const isNarrow = ({ flags }: Frame): boolean => (flags & f.FLAG_NARROW) !== 0;

async function pipeline(core: TestCore, worker: FakeWorker, paths: string[]): Promise<[Client, Frame[]]> {
  const client = await Client.connect(core.port);
  for (const path of paths) client.get(path);
  const requests: Frame[] = [];
  for (const _path of paths) requests.push(await worker.begin());
  return [client, requests];
}

describe('a pipeline', () => {
  test('has one response with the whole window', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const [client, requests] = await pipeline(core, worker, ['/app/1', '/app/2', '/app/3']);
    expect(requests.map(isNarrow)).toEqual([false, true, true]);
    for (const { stream } of requests) worker.send(response(stream, 'x'));
    for (const _request of requests) await client.answer();
    client.get('/app/alone');
    expect(isNarrow(await worker.begin())).toBe(false);
    client.destroy();
  });

  test('widens the window of the next response when it is its turn and it needs more', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const [client, [first, second]] = await pipeline(core, worker, ['/app/1', '/app/2']);
    const { stream } = second as Frame;
    worker.send(head(stream, 200, '', 'x'.repeat(f.NARROW_WINDOW)));
    worker.send(response((first as Frame).stream, 'first'));
    expect((await client.answer()).body.toString()).toBe('first');
    const credit = await worker.next(f.KIND_CREDIT);
    expect([credit.stream, credit.extra]).toEqual([stream, 262_144]);
    for (let sent = 0; sent < 262_144; sent += 32_768) worker.send(frame(f.KIND_DATA, stream, 0, 'y'.repeat(32_768)));
    worker.send(frame(f.KIND_END, stream, 0, '', f.FLAG_END));
    expect((await client.answer()).body.length).toBe(f.NARROW_WINDOW + 262_144);
    client.destroy();
  });

  test('ends a worker that sends more than the narrow window', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const [client, [, second]] = await pipeline(core, worker, ['/app/1', '/app/2']);
    worker.send(head((second as Frame).stream, 200, '', 'x'.repeat(f.NARROW_WINDOW + 1)));
    const { reason } = await core.event('worker-gone', worker.id);
    expect(reason).toMatch(/more body bytes than the stream had credit for/);
    client.destroy();
  });

  test('ends a worker that passes a descriptor where it may not', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const [client, [, second]] = await pipeline(core, worker, ['/app/1', '/app/2']);
    worker.send(frame(f.KIND_PASSING, 0));
    await worker.next(f.KIND_PASSING);
    const fd = openSync(fileURLToPath(import.meta.url), 'r');
    worker.link.sendWithFd(head((second as Frame).stream, 200, '', '\0'.repeat(16), f.FLAG_FD | f.FLAG_END), fd);
    closeSync(fd);
    const { reason } = await core.event('worker-gone', worker.id);
    expect(reason).toMatch(/NARROW/);
    client.destroy();
  });

  test('does not begin requests while much is held for it', async () => {
    await using core = new TestCore();
    const worker = await core.worker(64);
    const client = await Client.connect(core.port);
    client.socket.pause();
    // The heads are kept, and cross.
    const long = `X-Long: ${'x'.repeat(15_000)}`;
    for (let n = 0; n < 32; n++) client.get(`/app/${n}`, long);
    const begun: Frame[] = [];
    for (let n = 0; n < 9; n++) begun.push(await worker.begin());
    const other = await Client.connect(core.port);
    other.get('/none');
    expect((await other.answer()).status).toBe(404);
    expect(begun.length + worker.link.frames.filter(({ kind }) => kind === f.KIND_HEAD).length).toBeLessThan(12);
    // As those are answered and read, the rest is begun.
    client.socket.resume();
    let answered = 0;
    for (; answered < 9; answered++) worker.send(response((begun[answered] as Frame).stream, 'x'));
    for (; answered < 32; answered++) worker.send(response((await worker.begin()).stream, 'x'));
    for (let n = 0; n < 32; n++) expect((await client.answer()).status).toBe(200);
    client.destroy();
    other.destroy();
  });
});
