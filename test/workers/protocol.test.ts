// The gateway protocol as the core keeps it, seen from a worker that is written by hand.

import { closeSync, readFileSync, readSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import {
  frame,
  head,
  hello,
  piece,
  response,
  TestCore,
  type FakeLink,
  type FakeWorker,
  type Frame,
} from './fake-worker.js';
import { Client, get } from './http-client.js';

const MIB = 1024 * 1024;

/** Resolves when the core has handled all that it was sent before: it has one thread here. */
async function settled(core: TestCore): Promise<void> {
  expect((await get(core.port, '/none')).status).toBe(404);
}

describe('handshake', () => {
  test('the core answers HELLO and sends requests only after READY', async () => {
    await using core = new TestCore();
    const worker = core.connect();
    worker.send(hello());
    const { payload, stream, extra } = await worker.next(f.KIND_HELLO);
    expect([stream, extra, payload.readUInt32LE(0), payload.readUInt32LE(8), payload.readUInt32LE(12)]).toEqual([
      0, 0, 1, 1, 0,
    ]);
    expect(payload.readUInt32LE(4)).toBeGreaterThanOrEqual(65_536);
    expect(payload.toString('latin1', 16)).toMatch(/^(?:[A-Z_]+\0[^\0]*\0)+$/);
    expect(payload.toString('latin1', 16)).toMatch(/GATEWAY_INTERFACE\0CGI\/1\.1\0/);
    const client = await Client.connect(core.port);
    client.get('/app');
    await settled(core);
    expect(worker.link.frames).toEqual([]);
    worker.send(frame(f.KIND_READY, 0));
    const request = await worker.begin();
    expect(request.extra).toBe(1);
    worker.send(response(request.stream, 'late'));
    expect((await client.answer()).body.toString()).toBe('late');
    client.destroy();
  });

  test('a worker is ready when all of its links are', async () => {
    await using core = new TestCore({ threads: 2 });
    const worker = core.connect();
    worker.links[0]?.send(hello(), frame(f.KIND_READY, 0));
    worker.links[1]?.send(hello());
    await worker.links[1]?.next(f.KIND_HELLO);
    expect(core.events).toEqual([]);
    worker.links[1]?.send(frame(f.KIND_READY, 0));
    await core.event('worker-ready', worker.id);
  });

  test('frames may be cut anywhere', async () => {
    await using core = new TestCore();
    const worker = core.connect();
    for (const byte of Buffer.concat([hello({ name: 'byte by byte' }), frame(f.KIND_READY, 0)]))
      worker.send(Buffer.of(byte));
    await core.event('worker-ready', worker.id);
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    for (const byte of response(stream, 'slowly')) {
      worker.send(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.answer()).body.toString()).toBe('slowly');
    client.destroy();
  });
});

describe('requests', () => {
  test('NAMES gives a number to other names when clients have used all of them up', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    const defined = new Map<number, string>();
    const ask = async (name: string): Promise<number> => {
      client.get('/app', `${name}: 1`);
      const { stream, payload } = await worker.begin();
      for (const { kind, extra, payload: names } of worker.link.frames.splice(0)) {
        expect(kind).toBe(f.KIND_NAMES);
        defined.set(extra, names.toString());
      }
      worker.send(response(stream, ''));
      await client.answer();
      const number = payload.readUInt32LE(f.HEAD_NAMES * 4);
      if (number !== 0) expect(defined.get(number)).toBe(`host\0${name}\0`);
      return number;
    };
    for (let n = 0; n < 300; n++) for (let i = 0; i < 3; i++) await ask(`x-${n}`);
    expect(defined.size).toBe(256);
    let last = 0;
    for (let i = 0; i < 100 && last === 0; i++) last = await ask('x-late');
    expect(last).toBeGreaterThan(0);
    expect(Math.max(...defined.keys())).toBe(256);
    client.destroy();
  });

  test('BLOCK may be defined again', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    for (const value of ['one', 'two']) {
      client.get('/app');
      const { stream } = await worker.begin();
      worker.send(frame(f.KIND_BLOCK, 0, 1, `X: ${value}\r\n`), head(stream, 200 + 65_536, '', '', f.FLAG_END));
      expect((await client.answer()).headers.get('x')).toBe(value);
    }
    client.destroy();
  });

  test('NAMES comes before the first HEAD that uses its id, and once', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    const defined = new Map<number, string>();
    let used = 0;
    for (let i = 0; i < 20; i++) {
      client.get(`/app/${i}?q=${i}`, `X-First: ${i}`, 'X-SECOND: b');
      const { stream, payload, extra } = await worker.begin();
      expect(extra).toBe(i + 1);
      for (const names of worker.link.frames.splice(0)) {
        expect([names.kind, names.stream, defined.has(names.extra)]).toEqual([f.KIND_NAMES, 0, false]);
        defined.set(names.extra, names.payload.toString('latin1'));
      }
      expect([
        piece(payload, f.HEAD_SCRIPT_NAME),
        piece(payload, f.HEAD_PATH_INFO),
        piece(payload, f.HEAD_QUERY_STRING),
      ]).toEqual(['/app', `/${i}`, `q=${i}`]);
      expect(payload.readUInt32LE(f.HEAD_COUNT * 4)).toBe(3);
      expect(piece(payload, f.HEAD_PAIRS + 2)).toBe('X-First');
      expect(piece(payload, f.HEAD_PAIRS + 3)).toBe(String(i));
      const id = payload.readUInt32LE(f.HEAD_NAMES * 4);
      if (id !== 0) {
        used += 1;
        expect(defined.get(id)).toBe('host\0x-first\0x-second\0');
      }
      worker.send(response(stream, ''));
      expect((await client.answer()).status).toBe(200);
    }
    expect(used).toBeGreaterThan(10);
    client.destroy();
  });

  test('a small body follows as DATA', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    const body = 'x'.repeat(65_536);
    client.post('/app', body);
    const { stream, flags, payload } = await worker.begin();
    expect([
      flags,
      payload.readUInt32LE(f.HEAD_FLAGS * 4) & f.HEAD_FLAG_LENGTH,
      payload.readUInt32LE(f.HEAD_LENGTH_LOW * 4),
    ]).toEqual([0, f.HEAD_FLAG_LENGTH, 65_536]);
    let received = '';
    for (let ended = false; !ended;) {
      const data = await worker.next(f.KIND_DATA);
      expect(data.stream).toBe(stream);
      received += data.payload.toString('latin1');
      ended = (data.flags & f.FLAG_END) !== 0;
    }
    expect(received).toBe(body);
    worker.send(response(stream, 'thanks'));
    expect((await client.answer()).status).toBe(200);
    client.destroy();
  });

  test('a large body comes as a descriptor of a file without a name', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const body = Buffer.alloc(300_000, 'abcdefg');
    const clients: Client[] = [];
    // Several at once: each HEAD gets its own descriptor.
    for (let i = 0; i < 5; i++) {
      const client = await Client.connect(core.port);
      clients.push(client);
      client.post(`/app/${i}`, Buffer.concat([Buffer.from(String(i)), body]));
    }
    for (let i = 0; i < 5; i++) {
      const { stream, flags, payload, fd } = await worker.begin();
      expect([flags, payload.readUInt32LE(f.HEAD_LENGTH_LOW * 4)]).toEqual([f.FLAG_END | f.FLAG_FD, 300_001]);
      const content = Buffer.alloc(300_010);
      expect(readSync(fd as number, content, 0, content.length, 0)).toBe(300_001);
      expect(`/${content.toString('latin1', 0, 1)}`).toBe(piece(payload, f.HEAD_PATH_INFO));
      expect(content.subarray(1, 300_001).equals(body)).toBe(true);
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')).toContain('flags:');
      closeSync(fd as number);
      worker.send(response(stream, 'thanks'));
    }
    for (const client of clients) {
      expect((await client.answer()).status).toBe(200);
      client.destroy();
    }
  });

  test('informational responses, blocks and logs go where they belong', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(
      frame(f.KIND_BLOCK, 0, 65_535, 'X-Block: yes\r\n'),
      frame(f.KIND_LOG, stream, f.LOG_WARNING, 'about the request'),
      frame(f.KIND_INFO, stream, 103, 'Link: </style.css>\r\n'),
      head(stream, 201 + 65_535 * 65_536, 'X-Own: too\r\n', 'body', f.FLAG_END),
    );
    expect(await client.head()).toBe('HTTP/1.1 103 Early Hints\r\nLink: </style.css>');
    const answer = await client.answer();
    expect([answer.status, answer.headers.get('x-block'), answer.headers.get('x-own'), answer.body.toString()]).toEqual(
      [201, 'yes', 'too', 'body'],
    );
    client.destroy();
    await core.end();
    expect(core.log()).toMatch(/warn worker 1 \(GET \/app\): about the request/);
  });
});

describe('credit', () => {
  test('is granted as the client reads, and not while it does not', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.pause();
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200));
    let credit = 262_144;
    let sent = 0;
    const spend = (): number => {
      while (credit > 0) {
        const size = Math.min(credit, f.MAX_PAYLOAD);
        worker.send(frame(f.KIND_DATA, stream, 0, Buffer.alloc(size)));
        credit -= size;
        sent += size;
      }
      return sent;
    };
    const take = (): void => {
      for (const { kind, stream: of, extra } of worker.link.frames.splice(0)) {
        expect([kind, of]).toEqual([f.KIND_CREDIT, stream]);
        credit += extra;
      }
    };
    // Until the kernel's buffers for the client are full.
    for (let quiet = 0; quiet < 20; quiet++) {
      spend();
      await settled(core);
      take();
      if (credit > 0) quiet = 0;
      expect(sent).toBeLessThan(64 * MIB);
    }
    const whole = sent + 4 * MIB;
    client.socket.resume();
    do {
      const { extra } = await worker.next(f.KIND_CREDIT);
      credit += extra;
    } while (spend() < whole);
    worker.send(frame(f.KIND_END, stream, 0, '', f.FLAG_END));
    const answer = await client.answer();
    expect([answer.body.length, answer.complete]).toEqual([sent, true]);
    client.destroy();
  });

  test('a stream that has none does not hold up another', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const slow = await Client.connect(core.port);
    slow.socket.pause();
    slow.get('/app/slow');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200), frame(f.KIND_DATA, stream, 0, Buffer.alloc(60_000)));
    const client = await Client.connect(core.port);
    for (let i = 0; i < 10; i++) {
      client.get('/app/quick');
      const quick = await worker.begin();
      worker.send(response(quick.stream, 'quick'));
      expect((await client.answer()).body.toString()).toBe('quick');
    }
    slow.destroy();
    client.destroy();
  });
});

describe('the end of a stream', () => {
  test('RESET tells that the client has gone; the slot is taken until the worker ends the stream', async () => {
    await using core = new TestCore();
    const worker = await core.worker(1);
    const leaving = await Client.connect(core.port);
    leaving.get('/app/leaving');
    const first = await worker.begin();
    leaving.socket.resetAndDestroy();
    expect(await worker.next(f.KIND_RESET)).toMatchObject({ stream: first.stream, extra: f.RESET_CLIENT_GONE });
    const staying = await Client.connect(core.port);
    staying.get('/app/staying');
    await settled(core);
    // What it still sends is dropped and breaks no rule.
    worker.send(head(first.stream, 200, '', 'for nobody'));
    await settled(core);
    expect(worker.link.frames).toEqual([]);
    worker.send(frame(f.KIND_RESET, first.stream, f.RESET_CLIENT_GONE));
    const second = await worker.begin();
    worker.send(response(second.stream, 'stayed'));
    expect((await staying.answer()).body.toString()).toBe('stayed');
    staying.destroy();
  });

  test('a client that leaves the queue costs no slot', async () => {
    await using core = new TestCore();
    const worker = await core.worker(1);
    const first = await Client.connect(core.port);
    first.get('/app/first');
    const request = await worker.begin();
    const leaving = await Client.connect(core.port);
    leaving.get('/app/leaving');
    await settled(core);
    leaving.socket.resetAndDestroy();
    const last = await Client.connect(core.port);
    last.get('/app/last');
    await settled(core);
    worker.send(response(request.stream, ''));
    const next = await worker.begin();
    expect(piece(next.payload, f.HEAD_PATH_INFO)).toBe('/last');
    worker.send(response(next.stream, 'last'));
    expect((await last.answer()).body.toString()).toBe('last');
    for (const client of [first, last]) client.destroy();
  });

  test('a client that leaves the queue leaves its place', async () => {
    await using core = new TestCore({ pools: [{ queue: 1, queueTimeoutMs: 15_000, requestTimeoutMs: 0 }] });
    const worker = await core.worker(1);
    const first = await Client.connect(core.port);
    first.get('/app/first');
    const request = await worker.begin();
    const leaving = await Client.connect(core.port);
    leaving.get('/app/leaving');
    await settled(core);
    expect(core.core.queued(0)).toBe(1);
    leaving.socket.resetAndDestroy();
    await expect.poll(() => core.core.queued(0)).toBe(0);
    const last = await Client.connect(core.port);
    last.get('/app/last');
    await settled(core);
    expect(core.core.queued(0)).toBe(1);
    worker.send(response(request.stream, ''));
    const next = await worker.begin();
    worker.send(response(next.stream, 'last'));
    expect(await last.answer()).toMatchObject({ status: 200 });
    for (const client of [first, last]) client.destroy();
  });

  test('RESET is a 500 before HEAD and a broken connection after it', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    worker.send(frame(f.KIND_RESET, (await worker.begin()).stream, f.RESET_APPLICATION_ERROR));
    expect(await client.answer()).toMatchObject({ status: 500, complete: true });
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(
      head(stream, 200, 'Content-Length: 100\r\n', 'not all'),
      frame(f.KIND_RESET, stream, f.RESET_APPLICATION_ERROR),
    );
    expect(await client.answer()).toMatchObject({ status: 200, complete: false });
    await client.closed();
  });

  test.each([
    ['more', 'Content-Length: 4\r\n', true, 'abcd'],
    ['less', 'Content-Length: 10\r\n', false, 'abcdef'],
  ])('H20 a Content-Length with %s body is kept honest', async (_name, lines, complete, body) => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200, lines, 'abc'), frame(f.KIND_DATA, stream, 0, 'def', f.FLAG_END));
    const answer = await client.answer();
    expect([answer.complete, answer.body.toString()]).toEqual([complete, body]);
    if (complete) {
      client.get('/app');
      worker.send(response((await worker.begin()).stream, 'next'));
      expect((await client.answer()).body.toString()).toBe('next');
    } else await client.closed();
    client.destroy();
  });

  test('stream numbers are small and are used again', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    const used = new Set<number>();
    for (let i = 0; i < 50; i++) {
      client.get('/app');
      const { stream } = await worker.begin();
      used.add(stream);
      worker.send(response(stream, ''));
      await client.answer();
    }
    expect(Math.max(...used)).toBeLessThanOrEqual(4);
    expect(used.has(0)).toBe(false);
    client.destroy();
  });
});

describe('the end of a worker', () => {
  test('requests that it had not marked as begun go to another one, the others get 502', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const clients = await Promise.all(Array.from({ length: 6 }, () => Client.connect(core.port)));
    for (const [index, client] of clients.entries()) client.get(`/app/${index}`);
    const requests = [];
    for (const _ of clients) requests.push(await worker.next(f.KIND_HEAD));
    const path = (payload: Buffer): string => piece(payload, f.HEAD_PATH_INFO);
    const begun = new Set(requests.slice(0, 2).map(({ payload }) => path(payload)));
    worker.mark(2);
    worker.close();
    await core.event('worker-gone', worker.id);
    const other = await core.worker();
    const again = new Set<string>();
    while (again.size < 4) {
      const { stream, payload } = await other.begin();
      again.add(path(payload));
      other.send(response(stream, `second ${path(payload)}`));
    }
    for (const [index, client] of clients.entries()) {
      const answer = await client.answer();
      if (begun.has(`/${index}`)) expect(answer.status).toBe(502);
      else expect([answer.status, answer.body.toString()]).toEqual([200, `second /${index}`]);
      client.destroy();
    }
    expect(other.link.frames.filter(({ kind }) => kind === f.KIND_HEAD)).toEqual([]);
  });

  test('a pipeline keeps its order and its connection over the death of a worker', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.write(Array.from({ length: 5 }, (_, i) => `GET /app/${i} HTTP/1.1\r\nHost: t\r\n\r\n`).join(''));
    const streams: number[] = [];
    for (let i = 0; i < 5; i++) streams.push((await worker.next(f.KIND_HEAD)).stream);
    worker.mark(3);
    // The second is answered already, and is neither lost nor sent before the first.
    worker.send(response(streams[1] as number, 'early'));
    worker.close();
    const other = await core.worker();
    for (let i = 0; i < 2; i++) {
      const { stream, payload } = await other.begin();
      other.send(response(stream, piece(payload, f.HEAD_PATH_INFO)));
    }
    const answers: (string | number)[] = [];
    for (let i = 0; i < 5; i++) {
      const { status, body } = await client.answer();
      answers.push(status === 200 ? body.toString() : status);
    }
    expect(answers).toEqual([502, 'early', 502, '/3', '/4']);
    client.destroy();
  });

  test('a request with its body is sent again whole', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.post('/app/small', 'the body');
    await worker.next(f.KIND_HEAD);
    await worker.next(f.KIND_DATA);
    worker.close();
    const other = await core.worker();
    const request = await other.begin();
    expect((await other.next(f.KIND_DATA)).payload.toString()).toBe('the body');
    other.send(response(request.stream, 'done'));
    expect((await client.answer()).status).toBe(200);
    client.destroy();
  });

  test('a request with its body in a file is sent again whole', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.post('/app/large', Buffer.alloc(200_000, 'z'));
    closeSync((await worker.next(f.KIND_HEAD)).fd as number);
    worker.close();
    const other = await core.worker();
    const request = await other.begin();
    const content = Buffer.alloc(200_001);
    expect(readSync(request.fd as number, content, 0, content.length, 0)).toBe(200_000);
    closeSync(request.fd as number);
    other.send(response(request.stream, 'done'));
    expect((await client.answer()).status).toBe(200);
    client.destroy();
  });

  test('a request that every worker dies of before it begins waits for its time and no longer', async () => {
    await using core = new TestCore({ pools: [{ queue: 8, queueTimeoutMs: 300, requestTimeoutMs: 0 }] });
    const client = await Client.connect(core.port);
    client.get('/app');
    for (let i = 0; i < 3; i++) {
      const worker = await core.worker();
      await worker.next(f.KIND_HEAD);
      worker.close();
      await core.event('worker-gone', worker.id);
    }
    expect((await client.answer()).status).toBe(503);
    client.destroy();
  });

  test('a mark that lies costs only its own worker', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    for (const mark of [0x7fff_ffff, -1, 0]) {
      const client = await Client.connect(core.port);
      client.get('/app');
      const { stream } = await worker.next(f.KIND_HEAD);
      worker.mark(mark);
      worker.send(response(stream, 'fine'));
      expect((await client.answer()).status).toBe(200);
      client.destroy();
    }
  });

  test('a worker that ends a stream without having marked it gets the next one', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    for (let i = 0; i < 3; i++) {
      const client = await Client.connect(core.port);
      client.get('/app');
      const { stream } = await worker.next(f.KIND_HEAD);
      worker.send(frame(f.KIND_RESET, stream, f.RESET_APPLICATION_ERROR));
      expect((await client.answer()).status).toBe(500);
      client.destroy();
      // Longer than a request may lie before its worker counts as hung.
      for (const start = performance.now(); performance.now() - start < 20;) await settled(core);
    }
  });

  test('what it sent right before it closed still counts, and its end is noticed', async () => {
    await using core = new TestCore();
    for (let round = 0; round < 20; round++) {
      const worker = await core.worker();
      const [whole, half] = [await Client.connect(core.port), await Client.connect(core.port)];
      whole.get('/app/whole');
      const first = await worker.begin();
      half.get('/app/half');
      const second = await worker.begin();
      worker.send(response(first.stream, 'whole'), head(second.stream, 200, '', 'half'));
      worker.close();
      expect(await whole.answer()).toMatchObject({ status: 200, complete: true });
      expect(await half.answer()).toMatchObject({ status: 200, complete: false });
      expect((await core.event('worker-gone', worker.id)).reason).toBe('it closed its link');
      for (const client of [whole, half]) client.destroy();
    }
  });

  test('a worker with a request that it does not begin gets no more, however busy the others are', async () => {
    await using core = new TestCore();
    const workers = [await core.worker(1000), await core.worker(1000)];
    const taken = (worker: FakeWorker): number => worker.link.frames.filter(({ kind }) => kind === f.KIND_HEAD).length;
    const clients: Client[] = [];
    /** One more request, which nobody answers; true if it went to that worker. */
    const goesTo = async (worker: FakeWorker | undefined): Promise<boolean> => {
      const before = worker ? taken(worker) : 0;
      const all = workers.reduce((sum, other) => sum + taken(other), 0);
      const client = await Client.connect(core.port);
      clients.push(client);
      client.get('/app');
      await expect.poll(() => workers.reduce((sum, other) => sum + taken(other), 0), { interval: 1 }).toBe(all + 1);
      return worker !== undefined && taken(worker) === before + 1;
    };
    await goesTo(undefined);
    const [hung, busy] = (taken(workers[0] as FakeWorker) === 1 ? workers : workers.toReversed()) as [
      FakeWorker,
      FakeWorker,
    ];
    for (let i = 0; i < 20; i++) {
      if (await goesTo(busy)) busy.mark(taken(busy));
    }
    const before = taken(hung);
    expect(before).toBeLessThan(taken(busy));
    for (let i = 0; i < 10; i++) {
      expect(await goesTo(busy)).toBe(true);
      busy.mark(taken(busy));
    }
    expect(taken(hung)).toBe(before);
    for (const client of clients) client.destroy();
  });
});

describe('a worker whose process has died', () => {
  test('is at its end though its links are held open: what it had sent counts, what it had begun fails, the rest goes to another', async () => {
    await using core = new TestCore({ threads: 2 });
    const worker = core.connect();
    for (const link of worker.links) link.send(hello(), frame(f.KIND_READY, 0));
    await core.event('worker-ready', worker.id);
    const clients = new Map<string, Client>();
    for (const name of ['answered', 'begun', 'waiting']) {
      const client = await Client.connect(core.port);
      client.get(`/app/${name}`);
      clients.set(name, client);
      // One after the other, so that none is behind another one that its worker has begun later.
      const count = (): number => worker.links.flatMap(({ frames }) => frames).filter(isHead).length;
      await expect.poll(count, { interval: 1 }).toBe(clients.size);
    }
    for (const [slot, link] of worker.links.entries()) {
      for (const { payload, extra, stream } of link.frames.filter(isHead)) {
        const path = piece(payload, f.HEAD_PATH_INFO);
        if (path !== '/waiting') worker.mark(extra, slot);
        if (path === '/answered') link.send(response(stream, 'sent before'));
      }
    }
    core.core.workerDied(worker.id);
    await core.event('worker-gone', worker.id);
    expect((await clients.get('answered')?.answer())?.body.toString()).toBe('sent before');
    expect((await clients.get('begun')?.answer())?.status).toBe(502);
    const next = core.connect();
    for (const link of next.links) link.send(hello(), frame(f.KIND_READY, 0));
    await core.event('worker-ready', next.id);
    const link = await withHead(next);
    const request = await link.next(f.KIND_HEAD);
    expect(piece(request.payload, f.HEAD_PATH_INFO)).toBe('/waiting');
    link.send(response(request.stream, 'by another'));
    expect((await clients.get('waiting')?.answer())?.body.toString()).toBe('by another');
    // Its end of the links is told too.
    await Promise.all(worker.links.map((own) => own.end()));
    for (const client of clients.values()) client.destroy();
  });

  test('and that had been let go is at its end too', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    core.core.removeWorker(worker.id);
    await worker.link.end();
    expect(core.events.filter(({ type }) => type === 'worker-gone')).toEqual([]);
    core.core.workerDied(worker.id);
    expect((await core.event('worker-gone', worker.id)).reason).toBe('');
  });

  const isHead = ({ kind }: Frame): boolean => kind === f.KIND_HEAD;

  async function withHead(worker: FakeWorker): Promise<FakeLink> {
    const found = (): FakeLink | undefined => worker.links.find(({ frames }) => frames.some(isHead));
    await expect.poll(found, { interval: 1 }).toBeDefined();
    return found() as FakeLink;
  }
});

describe('drain', () => {
  test('a removed worker finishes what it has, gets nothing new, and is then told to end', async () => {
    await using core = new TestCore();
    const old = await core.worker();
    const first = await Client.connect(core.port);
    first.get('/app/first');
    const { stream } = await old.begin();
    core.core.removeWorker(old.id);
    const second = await Client.connect(core.port);
    second.get('/app/second');
    await settled(core);
    expect([old.link.ended, old.link.frames]).toEqual([false, []]);
    old.send(head(stream, 200, '', 'first'));
    await first.until(1);
    expect(old.link.ended).toBe(false);
    old.send(frame(f.KIND_END, stream, 0, '', f.FLAG_END));
    await old.link.end();
    expect(await first.answer()).toMatchObject({ status: 200, complete: true });
    old.close();
    expect((await core.event('worker-gone', old.id)).reason).toBe('');
    const next = await core.worker();
    const request = await next.begin();
    expect(piece(request.payload, f.HEAD_PATH_INFO)).toBe('/second');
    next.send(response(request.stream, 'second'));
    expect((await second.answer()).body.toString()).toBe('second');
    for (const client of [first, second]) client.destroy();
  });

  test('closing waits for a request in progress, then ends the links', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    core.core.close(10_000);
    await expect
      .poll(() =>
        Client.connect(core.port).then(
          (late) => late.destroy(),
          () => 'refused',
        ),
      )
      .toBe('refused');
    expect(worker.link.ended).toBe(false);
    worker.send(response(stream, 'in time'));
    const answer = await client.answer();
    expect([answer.body.toString(), answer.headers.get('connection')]).toEqual(['in time', 'close']);
    await worker.link.end();
    await core.event('closed');
    core.core.dispose();
    client.destroy();
  });

  test('closing with a grace of 0 cuts', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    await worker.begin();
    core.core.close(10_000);
    core.core.close(0);
    await core.event('closed');
    await client.closed();
    await worker.link.end();
    core.core.dispose();
  });
});
