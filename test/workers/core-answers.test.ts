// What the core answers in a worker's place is no fault of the worker, which cannot know of it yet.

import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, response, TestCore } from './fake-worker.js';
import { Client, get } from './http-client.js';

const CHUNKED = 'Transfer-Encoding: chunked';

test('a worker may answer a request of a pipeline that got a 504 before its turn', async () => {
  await using core = new TestCore({ pools: [{ queue: 64, queueTimeoutMs: 15_000, requestTimeoutMs: 200 }] });
  const worker = await core.worker();
  const client = await Client.connect(core.port);
  client.get('/app/stream');
  client.get('/app/late');
  const [first, second] = [await worker.begin(), await worker.begin()];
  worker.send(head(first.stream, 200, '', 'begun'));
  await core.event('worker-late', worker.id);
  // Its answer crosses the word that nobody waits for it any more.
  worker.send(
    frame(f.KIND_INFO, second.stream, 103, 'Link: </a>\r\n'),
    head(second.stream, 200, '', 'body'),
    frame(f.KIND_DATA, second.stream, 0, 'more'),
    frame(f.KIND_TRAILERS, second.stream, 0, 'X-A: 1\r\n'),
    frame(f.KIND_END, second.stream, 0, '', f.FLAG_END),
    frame(f.KIND_END, first.stream, 0, '', f.FLAG_END),
  );
  const [streamed, late] = [await client.answer(), await client.answer()];
  expect([streamed.status, streamed.body.toString()]).toEqual([200, 'begun']);
  expect(late.status).toBe(504);
  // The worker goes on.
  const asked = get(core.port, '/app/next');
  const next = await worker.begin();
  worker.send(response(next.stream, 'next'));
  expect((await asked).body.toString()).toBe('next');
  expect((await worker.next(f.KIND_RESET)).stream).toBe(second.stream);
  client.destroy();
});

test('a response that has begun may take its time: another request gets its 504 meanwhile', async () => {
  await using core = new TestCore({ pools: [{ queue: 64, queueTimeoutMs: 15_000, requestTimeoutMs: 200 }] });
  const worker = await core.worker();
  const [slow, never] = [await Client.connect(core.port), await Client.connect(core.port)];
  slow.get('/app/slow');
  // The time of a request runs from its mark: the response is there before it, however long this test is held up.
  const first = await worker.next(f.KIND_HEAD);
  worker.send(head(first.stream, 200, '', 'begun'));
  expect(await slow.head()).toContain(' 200 ');
  worker.mark(first.extra);
  never.get('/app/never');
  const second = await worker.next(f.KIND_HEAD);
  worker.mark(second.extra, 1);
  // It has had its time, and the first one, marked before it, has had more.
  expect((await never.answer()).status).toBe(504);
  worker.send(frame(f.KIND_DATA, first.stream, 0, ' and over'), frame(f.KIND_END, first.stream, 0, '', f.FLAG_END));
  const { body, complete } = await slow.chunks();
  expect([body.toString(), complete]).toEqual(['begun and over', true]);
  slow.destroy();
  never.destroy();
});

test('a worker may go on with a body that the core has refused to send', async () => {
  await using core = new TestCore();
  const worker = await core.worker();
  const client = await Client.connect(core.port);
  client.get('/app');
  const { stream } = await worker.begin();
  // An application's own head, which may not be sent: that is a 500, and not the worker's end.
  const lines = `HTTP/1.1 200 OK\r\nX: a\u0000b\r\n${CHUNKED}\r\n\r\n`;
  const fixed = Buffer.alloc(f.RESPONSE_HEAD);
  fixed.writeUInt32LE(lines.length, 0);
  fixed.writeUInt32LE(f.FORM_HTTP, 4);
  worker.send(frame(f.KIND_HEAD, stream, 0, Buffer.concat([fixed, Buffer.from(lines, 'latin1')])));
  worker.send(frame(f.KIND_DATA, stream, 0, 'x'), frame(f.KIND_END, stream, 0, '', f.FLAG_END));
  expect((await client.answer()).status).toBe(500);
  client.get('/app');
  const next = await worker.begin();
  worker.send(response(next.stream, 'next'));
  expect((await client.answer()).body.toString()).toBe('next');
  client.destroy();
});
