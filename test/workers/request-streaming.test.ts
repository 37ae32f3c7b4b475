// Streamed request bodies as the core passes them on, seen from a worker that is written by hand.

import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { type FakeWorker, frame, type Frame, head, response, TestCore } from './fake-worker.js';
import { Client, get } from './http-client.js';

const MIB = 1024 * 1024;
const post = (...headers: string[]): string => `POST /app HTTP/1.1\r\n${['Host: t', ...headers].join('\r\n')}\r\n\r\n`;

function streaming(config: ConstructorParameters<typeof TestCore>[0] = {}): TestCore {
  return new TestCore({ mounts: [{ path: '/app', application: 0, pool: 0, stream: true }], ...config });
}

/** Grants credit and gives the DATA that comes of it, which is not more. */
async function take(worker: FakeWorker, stream: number, bytes: number): Promise<string> {
  worker.send(frame(f.KIND_CREDIT, stream, bytes));
  let received = '';
  while (received.length < bytes) received += (await worker.next(f.KIND_DATA)).payload.toString('latin1');
  expect(received.length).toBe(bytes);
  return received;
}

/** Resolves when the core has handled all that it was sent before: it has one thread here. */
async function settled(core: TestCore): Promise<void> {
  expect((await get(core.port, '/none')).status).toBe(404);
}

describe('a streamed request body', () => {
  test('HEAD comes at once, DATA as far as there is credit, END at the end', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 10'));
    const { stream, flags, payload } = await worker.begin();
    expect(flags).toBe(0);
    expect(payload.readUInt32LE(f.HEAD_FLAGS * 4)).toBe(f.HEAD_FLAG_STREAMED | f.HEAD_FLAG_LENGTH);
    expect(payload.readUInt32LE(f.HEAD_LENGTH_LOW * 4)).toBe(10);
    client.socket.write('abcdef');
    await settled(core);
    expect(worker.link.frames).toEqual([]);
    expect(await take(worker, stream, 4)).toBe('abcd');
    expect(await take(worker, stream, 2)).toBe('ef');
    worker.send(frame(f.KIND_CREDIT, stream, 100));
    client.socket.write('ghij');
    expect(await worker.next(f.KIND_DATA)).toMatchObject({ payload: Buffer.from('ghij'), flags: f.FLAG_END, stream });
    worker.send(response(stream, 'thanks'));
    expect((await client.answer()).body.toString()).toBe('thanks');
    // The connection goes on.
    client.get('/app');
    const next = await worker.begin();
    worker.send(response(next.stream, 'next'));
    expect((await client.answer()).body.toString()).toBe('next');
    client.destroy();
  });

  test('W24 a chunked one has no length; its framing may be cut anywhere', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Transfer-Encoding: chunked'));
    const { stream, payload } = await worker.begin();
    expect(payload.readUInt32LE(f.HEAD_FLAGS * 4)).toBe(f.HEAD_FLAG_STREAMED);
    client.socket.write('3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: r\r\n\r\nGET /none HTTP/1.1\r\nHost: t\r\n\r\n');
    let received = '';
    for (let ended = false; !ended;) {
      // One byte at a time: credit ends within chunks and at their ends.
      worker.send(frame(f.KIND_CREDIT, stream, 1));
      const data = await worker.next(f.KIND_DATA);
      received += data.payload.toString();
      ended = (data.flags & f.FLAG_END) !== 0;
    }
    expect(received).toBe('abcdefg');
    worker.send(response(stream, ''));
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(404);
    client.destroy();
  });

  test('many small chunks are gathered into few frames', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Transfer-Encoding: chunked'));
    const { stream } = await worker.begin();
    worker.send(frame(f.KIND_CREDIT, stream, 100_000));
    client.socket.write(`${'1\r\nx\r\n'.repeat(5000)}0\r\n\r\n`);
    let length = 0;
    let frames = 0;
    for (let ended = false; !ended; frames += 1) {
      const data = await worker.next(f.KIND_DATA);
      length += data.payload.length;
      ended = (data.flags & f.FLAG_END) !== 0;
    }
    expect(length).toBe(5000);
    expect(frames).toBeLessThan(200);
    worker.send(response(stream, ''));
    expect((await client.answer()).status).toBe(200);
    client.destroy();
  });

  test('a short one that has arrived with its head is passed whole', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(`${post('Content-Length: 5')}hello`);
    const { stream, payload } = await worker.begin();
    expect(payload.readUInt32LE(f.HEAD_FLAGS * 4)).toBe(f.HEAD_FLAG_LENGTH);
    expect(await worker.next(f.KIND_DATA)).toMatchObject({ payload: Buffer.from('hello'), flags: f.FLAG_END });
    worker.send(response(stream, ''));
    expect((await client.answer()).status).toBe(200);
    client.destroy();
  });

  test('the client is read no further than the credit and one buffer go', async () => {
    await using core = streaming({ limits: { ...LIMITS, body: 100 * MIB } });
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post(`Content-Length: ${64 * MIB}`));
    const { stream } = await worker.begin();
    client.socket.write(Buffer.alloc(64 * MIB, 'x'));
    await take(worker, stream, 100_000);
    await settled(core);
    // What the kernel does not hold for the server is still in this process.
    expect(client.socket.writableLength).toBeGreaterThan(32 * MIB);
    expect(worker.link.frames).toEqual([]);
    client.socket.resetAndDestroy();
    await worker.next(f.KIND_RESET);
    worker.send(frame(f.KIND_RESET, stream, 1));
  });
});

describe('shared buffers', () => {
  test('hold the pieces for a worker that says so; what follows the body is the next request', async () => {
    await using core = streaming();
    const worker = await core.worker(16, f.CAPABILITY_SHARED);
    const client = await Client.connect(core.port);
    const body = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
    client.socket.write(post(`Content-Length: ${body.length}`));
    const { stream } = await worker.begin();
    worker.send(frame(f.KIND_CREDIT, stream, 2 * body.length));
    client.socket.write(Buffer.concat([body, Buffer.from('GET /none HTTP/1.1\r\nHost: t\r\n\r\n')]));
    const pieces: Buffer[] = [];
    for (let ended = false; !ended;) {
      const data = await worker.next(f.KIND_DATA);
      expect([data.stream, data.flags & f.FLAG_SHARED, data.payload.length]).toEqual([stream, f.FLAG_SHARED, 0]);
      pieces.push(Buffer.from(worker.shared(data)));
      worker.setShared(data.extra >>> 16, 0);
      ended = (data.flags & f.FLAG_END) !== 0;
    }
    expect(Buffer.concat(pieces).equals(body)).toBe(true);
    worker.send(response(stream, 'thanks'));
    expect((await client.answer()).body.toString()).toBe('thanks');
    expect((await client.answer()).status).toBe(404);
    client.destroy();
  });

  test("are the worker's until it gives them back; without one, pieces come in frames", async () => {
    await using core = streaming();
    const worker = await core.worker(16, f.CAPABILITY_SHARED);
    const client = await Client.connect(core.port);
    const text = 'abcdefghijklmnopqrstuvwxyz';
    client.socket.write(post(`Content-Length: ${text.length}`));
    const { stream } = await worker.begin();
    client.socket.write(text);
    const next = (): Promise<Frame> => {
      worker.send(frame(f.KIND_CREDIT, stream, 1));
      return worker.next(f.KIND_DATA);
    };
    const kept: Frame[] = [];
    for (let buffer = 0; buffer < f.SHARED_BUFFERS; buffer += 1) {
      kept.push(await next());
      expect([kept[buffer]?.flags, kept[buffer]?.extra]).toEqual([f.FLAG_SHARED, buffer * 65_536 + 1]);
    }
    expect(await next()).toMatchObject({ flags: 0, payload: Buffer.from('q') });
    // None of them has been overwritten.
    expect(kept.map((data) => worker.shared(data).toString()).join('')).toBe(text.slice(0, f.SHARED_BUFFERS));
    worker.setShared(5, 0);
    expect((await next()).extra).toBe(5 * 65_536 + 1);
    // Whatever a worker writes there says only that it has the buffer.
    for (let buffer = 0; buffer < f.SHARED_BUFFERS; buffer += 1) worker.setShared(buffer, -1);
    expect(await next()).toMatchObject({ flags: 0, payload: Buffer.from('s') });
    client.destroy();
  });

  test('are not used for a chunked body, nor for a worker that does not say so', async () => {
    for (const [capabilities, framing, body] of [
      [f.CAPABILITY_SHARED, 'Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'],
      [0, 'Content-Length: 5', 'hello'],
    ] as const) {
      await using core = streaming();
      const worker = await core.worker(16, capabilities);
      const client = await Client.connect(core.port);
      client.socket.write(post(framing));
      const { stream } = await worker.begin();
      worker.send(frame(f.KIND_CREDIT, stream, 100));
      client.socket.write(body);
      const data = await worker.next(f.KIND_DATA);
      expect([data.flags & f.FLAG_SHARED, data.payload.toString()]).toEqual([0, 'hello']);
      client.destroy();
    }
  });
});

describe('100 Continue', () => {
  test('W26 comes when the worker first asks for the body', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 5', 'Expect: 100-continue'));
    const { stream } = await worker.begin();
    await settled(core);
    expect(await Promise.race([client.until(1), settled(core)])).toBeUndefined();
    worker.send(frame(f.KIND_CREDIT, stream, 2));
    worker.send(frame(f.KIND_CREDIT, stream, 3));
    expect(await client.head()).toBe('HTTP/1.1 100 Continue');
    client.socket.write('hello');
    await worker.next(f.KIND_DATA);
    worker.send(response(stream, 'ok'));
    const answer = await client.answer();
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, undefined]);
    client.destroy();
  });

  test('W26 H33 does not come when it answers without reading, and the connection ends', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 5', 'Expect: 100-continue'));
    const { stream } = await worker.begin();
    worker.send(response(stream, 'no'));
    const answer = await client.answer();
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
    await client.closed();
  });
});

test('bodies of several clients get their share of a link that takes less than they send', async () => {
  const limits = {
    requestLine: 8192,
    headerBytes: 16_384,
    headerCount: 100,
    body: MIB * MIB,
    bodyInMemory: 0,
    minRate: 0,
  };
  await using core = streaming({ limits });
  const worker = await core.worker();
  const clients = await Promise.all(Array.from({ length: 6 }, () => Client.connect(core.port)));
  const piece = Buffer.alloc(MIB);
  const received = new Map<number, number>();
  for (const { socket } of clients) {
    socket.write(post(`Content-Length: ${MIB * MIB}`));
    const { stream } = await worker.begin();
    received.set(stream, 0);
    // More than its share of what is counted lies ready before anybody may send.
    const send = (): void => void (socket.destroyed || socket.write(piece, send));
    await new Promise<unknown>((resolve) => socket.write(piece, resolve));
    send();
  }
  // So much that a client which is first is not held back by its credit.
  worker.send(...[...received.keys()].map((stream) => frame(f.KIND_CREDIT, stream, 64 * MIB)));
  for (let all = 0; all < 4 * MIB;) {
    const { stream, payload } = await worker.next(f.KIND_DATA);
    received.set(stream, (received.get(stream) ?? 0) + payload.length);
    all += payload.length;
  }
  for (const { socket } of clients) socket.destroy();
  const shares = [...received.values()];
  expect(Math.min(...shares), shares.join()).toBeGreaterThan(Math.max(...shares) / 4);
});

describe('a client that does not send its body to the end', () => {
  test('W25 leaves: the worker gets RESET, and still ends the stream', async () => {
    await using core = streaming();
    const worker = await core.worker(1);
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 10'));
    const { stream } = await worker.begin();
    client.socket.write('hello');
    await take(worker, stream, 5);
    worker.send(frame(f.KIND_CREDIT, stream, 5));
    client.destroy();
    expect((await worker.next(f.KIND_RESET)).extra).toBe(f.RESET_CLIENT_GONE);
    // Only that frees the slot.
    const second = await Client.connect(core.port);
    second.get('/app');
    await settled(core);
    expect(worker.link.frames).toEqual([]);
    worker.send(frame(f.KIND_RESET, stream, f.RESET_CLIENT_GONE));
    worker.send(response((await worker.begin()).stream, ''));
    expect((await second.answer()).status).toBe(200);
    second.destroy();
  });

  test.each([
    ['Content-Length: 10', '123456789'],
    ['Transfer-Encoding: chunked', ''],
  ])('W25 leaves before the worker has asked for it: %s', async (header, part) => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post(header));
    const { stream } = await worker.begin();
    client.socket.end(part);
    expect(await worker.next(f.KIND_RESET)).toMatchObject({ stream, extra: f.RESET_CLIENT_GONE });
    await client.closed();
  });

  test.each(['', '123456789'])('W25 leaves with the head: %j', async (part) => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.end(post('Content-Length: 10') + part);
    const { stream } = await worker.begin();
    expect(await worker.next(f.KIND_RESET)).toMatchObject({ stream, extra: f.RESET_CLIENT_GONE });
    await client.closed();
  });

  test('only closes its sending side behind a whole body: all of it comes', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 10'));
    const { stream } = await worker.begin();
    client.socket.end('0123456789');
    await settled(core);
    expect(await take(worker, stream, 10)).toBe('0123456789');
    worker.send(response(stream, 'all'));
    expect((await client.answer()).body.toString()).toBe('all');
  });

  test('is too slow while the worker waits: 408', async () => {
    await using core = streaming({ timeouts: { headerMs: 15_000, bodyMs: 60, keepAliveMs: 15_000, writeMs: 15_000 } });
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 10'));
    const { stream } = await worker.begin();
    worker.send(frame(f.KIND_CREDIT, stream, 10));
    expect((await client.answer()).status).toBe(408);
    expect((await worker.next(f.KIND_RESET)).extra).toBe(f.RESET_BODY);
    await client.closed();
  });

  test('is too slow once a link that was full has room again: 408', { timeout: 30_000 }, async () => {
    await using core = streaming({ timeouts: { headerMs: 15_000, bodyMs: 60, keepAliveMs: 15_000, writeMs: 15_000 } });
    const worker = await core.worker();
    // With some of these, what fills the link is the last that the client sends.
    for (let size = 128 * 1024; size <= 640 * 1024; size += 32 * 1024) {
      const client = await Client.connect(core.port);
      client.socket.write(post(`Content-Length: ${MIB}`));
      const { stream } = await worker.begin();
      worker.send(frame(f.KIND_CREDIT, stream, MIB));
      client.socket.write(Buffer.alloc(size));
      // The worker shares this thread: it reads nothing of its link meanwhile.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40);
      expect((await client.answer()).status).toBe(408);
      expect((await worker.next(f.KIND_RESET)).extra).toBe(f.RESET_BODY);
      worker.send(frame(f.KIND_END, stream));
      worker.link.frames.length = 0;
      client.destroy();
    }
  });

  test('is not too slow while the worker does not ask', async () => {
    await using core = streaming({ timeouts: { headerMs: 15_000, bodyMs: 40, keepAliveMs: 15_000, writeMs: 15_000 } });
    const worker = await core.worker();
    const [client, slow] = [await Client.connect(core.port), await Client.connect(core.port)];
    client.socket.write(post('Content-Length: 10'));
    const { stream } = await worker.begin();
    // Another client shows that the time has passed.
    slow.socket.write(post('Content-Length: 10'));
    worker.send(frame(f.KIND_CREDIT, (await worker.begin()).stream, 10));
    expect((await slow.answer()).status).toBe(408);
    client.socket.write('0123456789');
    expect(await take(worker, stream, 10)).toBe('0123456789');
    worker.send(response(stream, 'patient'));
    expect((await client.answer()).body.toString()).toBe('patient');
    client.destroy();
  });

  test.each([
    ['over limits.body', '8\r\n12345678\r\n', 413],
    ['malformed', '5\r\n12345\n', 400],
  ])('%s: the status before the response, a broken connection after it', async (_what, chunk, status) => {
    await using core = streaming({ limits: { ...LIMITS, body: 10 } });
    const worker = await core.worker();
    for (const started of [false, true]) {
      const client = await Client.connect(core.port);
      client.socket.write(`${post('Transfer-Encoding: chunked')}5\r\n12345\r\n`);
      const { stream } = await worker.begin();
      expect(await take(worker, stream, 5)).toBe('12345');
      worker.send(frame(f.KIND_CREDIT, stream, 1000));
      if (started) {
        worker.send(head(stream, 200, '', 'begun'));
        expect(await client.head()).toMatch(/^HTTP\/1\.1 200/);
      }
      client.socket.write(chunk);
      expect((await worker.next(f.KIND_RESET)).extra).toBe(f.RESET_BODY);
      if (started) {
        await client.closed();
        expect(client.take(1000).toString()).toBe('5\r\nbegun\r\n');
      } else expect((await client.answer()).status).toBe(status);
      await client.closed();
      worker.send(frame(f.KIND_RESET, stream, 1));
    }
  });
});

const SMUGGLED = 'GET /app/smuggled HTTP/1.1\r\n\r\n';

describe('W23 a body that is not read', () => {
  test('is skipped if its rest is small', async () => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    for (const headers of [['Content-Length: 60000'], ['Transfer-Encoding: chunked']]) {
      client.socket.write(post(...headers));
      const { stream } = await worker.begin();
      worker.send(response(stream, 'early'));
      expect((await client.answer()).headers.get('connection')).toBeUndefined();
      const body = SMUGGLED.padEnd(60_000, 'x');
      client.socket.write(headers[0]?.startsWith('C') ? body : `ea60\r\n${body}\r\n0\r\n\r\n`);
    }
    client.get('/none');
    expect((await client.answer()).status).toBe(404);
    client.destroy();
  });

  test.each([
    ['a length', ['Content-Length: 1000000'], 'close'],
    ['chunks', ['Transfer-Encoding: chunked'], undefined],
  ])('ends the connection if its rest is large: %s', async (_what, headers, connection) => {
    await using core = streaming();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post(...headers));
    const { stream } = await worker.begin();
    worker.send(response(stream, 'early'));
    expect((await client.answer()).headers.get('connection')).toBe(connection);
    client.socket.write(`f423f\r\n${'x'.repeat(999_999)}`);
    await client.closed();
    expect(client.take(100).toString()).toBe('');
  });

  test.each([
    ['a length', 'Content-Length: 30', SMUGGLED],
    ['chunks', 'Transfer-Encoding: chunked', `1e\r\n${SMUGGLED}\r\n0\r\n\r\n`],
  ])('of a request that no worker takes does not become the next request: %s', async (_what, header, body) => {
    await using core = streaming({ pools: [{ queue: 0, queueTimeoutMs: 15_000, requestTimeoutMs: 0 }] });
    const client = await Client.connect(core.port);
    client.socket.write(post(header));
    const answer = await client.answer();
    expect(answer.status).toBe(503);
    expect(answer.headers.get('connection')).toBeUndefined();
    client.socket.write(`${body}GET /none HTTP/1.1\r\nHost: t\r\n\r\n`);
    expect((await client.answer()).status).toBe(404);
    client.destroy();
  });
});

describe('a worker that dies', () => {
  test('without having had any of the body: another one gets the request, and the body whole', async () => {
    await using core = streaming();
    const first = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 6'));
    const { stream } = await first.next(f.KIND_HEAD);
    client.socket.write('abc');
    const second = await core.worker();
    first.send(frame(f.KIND_RESET, stream + 100, 1));
    await core.event('worker-gone', first.id);
    const again = await second.begin();
    client.socket.write('def');
    expect(await take(second, again.stream, 6)).toBe('abcdef');
    second.send(response(again.stream, 'whole'));
    expect((await client.answer()).body.toString()).toBe('whole');
    client.destroy();
  });

  test('with a part of the body: 502, even if it had not marked the request', async () => {
    await using core = streaming();
    const first = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(post('Content-Length: 6'));
    const { stream } = await first.next(f.KIND_HEAD);
    client.socket.write('abc');
    await take(first, stream, 3);
    const second = await core.worker();
    first.send(frame(f.KIND_RESET, stream + 100, 1));
    expect((await client.answer()).status).toBe(502);
    expect(second.link.frames).toEqual([]);
    client.destroy();
  });
});

const LIMITS = {
  requestLine: 8192,
  headerBytes: 16_384,
  headerCount: 100,
  body: 10_000_000,
  bodyInMemory: 65_536,
  minRate: 240,
};
