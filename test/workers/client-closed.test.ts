// A client that ends its side while its request is in progress: workers that want to know are told, and the answer is still sent.

import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore } from './fake-worker.js';
import { Client, get } from './http-client.js';

test('CLOSED comes once, and the client gets its answer', async () => {
  await using core = new TestCore();
  const worker = await core.worker(16, f.CAPABILITY_CLOSED);
  const client = await Client.connect(core.port);
  client.get('/app');
  const { stream } = await worker.begin();
  client.socket.end();
  expect(await worker.next(f.KIND_CLOSED)).toMatchObject({ stream, extra: 0, flags: 0 });
  worker.send(response(stream, 'still here'));
  expect((await client.answer()).body.toString()).toBe('still here');
  await client.closed();
  expect(worker.link.frames).toEqual([]);
});

test('a worker that does not want it is not told', async () => {
  await using core = new TestCore();
  const worker = await core.worker();
  const client = await Client.connect(core.port);
  client.get('/app');
  const { stream } = await worker.begin();
  client.socket.end();
  expect((await get(core.port, '/none')).status).toBe(404);
  worker.send(response(stream, 'still here'));
  expect((await client.answer()).body.toString()).toBe('still here');
  expect(worker.link.frames).toEqual([]);
});

test('a client that leaves at the moment of the answer harms no worker', async () => {
  await using core = new TestCore();
  const worker = await core.worker();
  // Many times, so that the reset and the answer meet in one turn of the core.
  for (let round = 0; round < 300; round += 1) {
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    client.socket.resetAndDestroy();
    worker.send(head(stream, 200), frame(f.KIND_DATA, stream, 0, 'x'), frame(f.KIND_END, stream));
  }
  expect((await get(core.port, '/none')).status).toBe(404);
  expect(core.events.map(({ type }) => type)).toEqual(['worker-ready']);
});
