// Every rule of the gateway protocol that a worker can break ends that worker, and nothing else.

import { randomBytes, randomInt } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { frame, head, hello, response, TestCore, type FakeWorker } from './fake-worker.js';
import { Client, get } from './http-client.js';

/** A frame whose header is changed at one byte or word. */
function broken(change: (bytes: Buffer) => void, original: Buffer = frame(f.KIND_DATA, 1, 0, 'x')): Buffer {
  const bytes = Buffer.from(original);
  change(bytes);
  return bytes;
}

const sized = (size: number): Buffer => broken((bytes) => bytes.writeUInt32LE(size, 0));
const kind = (kind: number): Buffer => broken((bytes) => bytes.writeUInt8(kind, 4));

/** Offset and length of a part of a file. */
const PART = '\0'.repeat(f.FILE_PART);

const withReason = (stream: number, text: string, form = f.FORM_REASON): Buffer =>
  head(stream, 200, text, '', f.FLAG_END, form);

/** A second worker serves, so the core is well. */
async function serves(core: TestCore, client?: Client): Promise<void> {
  const good = await core.worker();
  const using = client ?? (await Client.connect(core.port));
  using.get('/app/again');
  const { stream } = await good.begin();
  good.send(response(stream, 'served'));
  const answer = await using.answer();
  expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, 'served', true]);
  using.destroy();
}

async function isGone(core: TestCore, worker: FakeWorker, rule: RegExp): Promise<void> {
  const { reason } = await core.event('worker-gone', worker.id);
  expect(reason).toMatch(/^it broke the gateway protocol: /);
  expect(reason).toMatch(rule);
  for (const link of worker.links) await link.end();
}

describe('before the first request', () => {
  test.each<[string, RegExp, Buffer[]]>([
    ['text of another protocol', /size out of range/, [Buffer.from('GET / HTTP/1.1\r\n\r\n')]],
    ['zeros', /size out of range/, [Buffer.alloc(4096)]],
    ['READY before HELLO', /READY must come once, after HELLO/, [frame(f.KIND_READY, 0)]],
    ['a response before HELLO', /first frame must be HELLO/, [response(1, 'x')]],
    ['LOG before HELLO', /first frame must be HELLO/, [frame(f.KIND_LOG, 0, 1, 'x')]],
    ['BLOCK before HELLO', /first frame must be HELLO/, [frame(f.KIND_BLOCK, 0, 1, 'A: b\r\n')]],
    ['another version', /another version/, [hello({ version: 2 })]],
    ['another encoding', /encoding/, [hello({ encoding: 3 })]],
    ['concurrency 0', /concurrency/, [hello({ concurrency: 0 })]],
    ['concurrency 65 536', /concurrency/, [hello({ concurrency: 65_536 })]],
    ['a short HELLO', /too short/, [frame(f.KIND_HELLO, 0, 0, 'short')]],
    ['HELLO on a stream', /stream 0/, [broken((bytes) => bytes.writeUInt32LE(1, 8), hello())]],
    [
      'a name that is not UTF-8',
      /UTF-8/,
      [frame(f.KIND_HELLO, 0, 0, Buffer.concat([hello().subarray(16, 32), Buffer.of(0xff)]))],
    ],
    ['a second HELLO', /second HELLO/, [hello(), hello()]],
    ['a second READY', /READY must come once/, [hello(), frame(f.KIND_READY, 0), frame(f.KIND_READY, 0)]],
    ['a response to nothing', /stream that is not open/, [hello(), frame(f.KIND_READY, 0), response(1, 'x')]],
  ])('%s', async (_name, rule, bytes) => {
    await using core = new TestCore();
    const worker = core.connect();
    worker.send(...bytes);
    await isGone(core, worker, rule);
    await serves(core);
  });
});

describe('in a request, before HEAD: 502', () => {
  test.each<[string, RegExp, (stream: number) => Buffer]>([
    ['random bytes', /protocol/, () => Buffer.concat([Buffer.of(0xff, 0xff, 0xff, 0xff), randomBytes(500)])],
    ['size 0', /size out of range/, () => sized(0)],
    ['size 15', /size out of range/, () => sized(15)],
    ['size 65 537', /size out of range/, () => sized(65_537)],
    ['size 4 294 967 295', /size out of range/, () => sized(0xffff_ffff)],
    ['kind 0', /unknown or reserved/, () => kind(0)],
    ['kind 8, reserved', /unknown or reserved/, () => kind(8)],
    ['kind 16', /unknown or reserved/, () => kind(16)],
    ['kind 255', /unknown or reserved/, () => kind(255)],
    ['an unknown flag', /reserved bits/, () => broken((bytes) => bytes.writeUInt8(4, 5))],
    ['byte 6', /reserved bits/, () => broken((bytes) => bytes.writeUInt8(1, 6))],
    ['byte 7', /reserved bits/, () => broken((bytes) => bytes.writeUInt8(1, 7))],
    ['an unknown stream', /stream that is not open/, (stream) => frame(f.KIND_DATA, stream + 1, 0, 'x')],
    ['the last stream number', /stream that is not open/, () => frame(f.KIND_DATA, 0xffff_ffff, 0, 'x')],
    ['CREDIT for an unknown stream', /stream that is not open/, (stream) => frame(f.KIND_CREDIT, stream + 1, 9)],
    ['RESET of an unknown stream', /stream that is not open/, (stream) => frame(f.KIND_RESET, stream + 1, 1)],
    ['DATA on stream 0', /stream 0/, () => frame(f.KIND_DATA, 0, 0, 'x')],
    ['BLOCK on a stream', /stream 0/, (stream) => frame(f.KIND_BLOCK, stream, 1, 'A: b\r\n')],
    ['NAMES from a worker', /NAMES must only come from the core/, () => frame(f.KIND_NAMES, 0, 1, 'host\0')],
    [
      'DATA with a descriptor',
      /other than HEAD must not bring a descriptor/,
      (stream) => frame(f.KIND_DATA, stream, 0, 'x', f.FLAG_FD),
    ],
    ['a file without END', /must have header lines and END/, (stream) => head(stream, 200, '', PART, f.FLAG_FD)],
    ['a file without a place', /offset and a length/, (stream) => head(stream, 200, '', 'x', f.FLAG_FD | f.FLAG_END)],
    [
      'a file without a descriptor',
      /without a descriptor/,
      (stream) => head(stream, 200, '', PART, f.FLAG_FD | f.FLAG_END),
    ],
    ['body before HEAD', /body before HEAD/, (stream) => frame(f.KIND_DATA, stream, 0, 'x')],
    [
      'TRAILERS before HEAD',
      /TRAILERS must come once, after HEAD/,
      (stream) => frame(f.KIND_TRAILERS, stream, 0, 'X-A: 1\r\n'),
    ],
    ['END before HEAD', /before HEAD/, (stream) => frame(f.KIND_END, stream, 0, '', f.FLAG_END)],
    [
      'END on a frame that cannot have it',
      /END must only be a flag of/,
      (stream) => frame(f.KIND_CREDIT, stream, 1, '', f.FLAG_END),
    ],
    ['a HEAD of 7 bytes', /too short/, (stream) => frame(f.KIND_HEAD, stream, 200, '1234567')],
    [
      'lines longer than their frame',
      /longer than its HEAD/,
      (stream) => frame(f.KIND_HEAD, stream, 200, '\xff\xff\xff\xff\0\0\0\0A: b\r\n'),
    ],
    ['status 0', /status must be 200 to 599/, (stream) => head(stream, 0)],
    ['status 101', /status must be 200 to 599/, (stream) => head(stream, 101)],
    ['status 600', /status must be 200 to 599/, (stream) => head(stream, 600)],
    ['status 65 535', /status must be 200 to 599/, (stream) => head(stream, 65_535)],
    ['a block that is not defined', /block that is not defined/, (stream) => head(stream, 200 + 7 * 65_536)],
    ['the last block id, not defined', /block that is not defined/, (stream) => head(stream, 200 + 65_535 * 65_536)],
    ['block id 0', /1 to 65 535/, () => frame(f.KIND_BLOCK, 0, 0, 'A: b\r\n')],
    ['block id 65 536', /1 to 65 535/, () => frame(f.KIND_BLOCK, 0, 65_536, 'A: b\r\n')],
    ['a block with a bad line', /header line/, () => frame(f.KIND_BLOCK, 0, 1, 'A: b\r\nConnection: close\r\n')],
    [
      'two Content-Length, block and own',
      /Content-Length/,
      (stream) =>
        Buffer.concat([
          frame(f.KIND_BLOCK, 0, 1, 'Content-Length: 1\r\n'),
          head(stream, 200 + 65_536, 'Content-Length: 2\r\n', 'x', f.FLAG_END),
        ]),
    ],
    ['a reason that is no line', /reason is a line/, (stream) => withReason(stream, 'Mine')],
    ['a reason with a control character', /a reason that must not be sent/, (stream) => withReason(stream, 'a\0b\r\n')],
    ['a reason of two lines', /a reason that must not be sent/, (stream) => withReason(stream, 'a\nX: y\r\n')],
    ['a response head of an unknown form', /unknown form/, (stream) => withReason(stream, 'a\r\n', 3)],
    ['INFO 100', /INFO's status/, (stream) => frame(f.KIND_INFO, stream, 100)],
    ['INFO 101', /INFO's status/, (stream) => frame(f.KIND_INFO, stream, 101)],
    ['INFO 200', /INFO's status/, (stream) => frame(f.KIND_INFO, stream, 200)],
    ['INFO with a bad line', /header line/, (stream) => frame(f.KIND_INFO, stream, 103, 'no colon\r\n')],
    ['LOG level 0', /LOG's level/, (stream) => frame(f.KIND_LOG, stream, 0, 'x')],
    ['LOG level 5', /LOG's level/, (stream) => frame(f.KIND_LOG, stream, 5, 'x')],
    ['LOG origin 5', /LOG's origin/, (stream) => frame(f.KIND_LOG, stream, 1 + 5 * 65_536, 'x')],
    ['LOG that names no request', /in a line/, (stream) => frame(f.KIND_LOG, stream, 1 + f.LOG_NAMED, 'GET /')],
    ['an unknown bit of LOG', /last byte of extra/, (stream) => frame(f.KIND_LOG, stream, 1 + 2 * f.LOG_NAMED, 'x')],
  ])('%s', async (_name, rule, bytes) => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(bytes(stream));
    const answer = await client.answer();
    expect([answer.status, answer.complete]).toEqual([502, true]);
    await isGone(core, worker, rule);
    await serves(core, client);
  });

  test.each([
    'X-A: a\rb\r\n',
    'X-A: a\nSet-Cookie: b=c\r\n',
    'X-A: a\0b\r\n',
    'X-A: no end',
    'X-A: only a line feed\n',
    '\r\n',
    'X-A: a\r\n\r\nsmuggled',
    'no colon\r\n',
    ': no name\r\n',
    'X A: space in the name\r\n',
    'X-A : space before the colon\r\n',
    ' X-A: folded\r\n',
    'Transfer-Encoding: chunked\r\n',
    'transfer-encoding: identity\r\n',
    'Connection: close\r\n',
    'Keep-Alive: timeout=1\r\n',
    'Proxy-Authenticate: Basic\r\n',
    'TE: trailers\r\n',
    'Trailer: X\r\n',
    'Upgrade: websocket\r\n',
    'Content-Length: 1\r\nContent-Length: 2\r\n',
    'Content-Length: -1\r\n',
    'Content-Length: 1, 1\r\n',
    'Content-Length: 99999999999999999999\r\n',
  ])('the header lines %j', async (lines) => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200, lines, 'x', f.FLAG_END));
    const answer = await client.answer();
    expect([answer.status, answer.complete]).toEqual([502, true]);
    await isGone(core, worker, /header line|Content-Length/);
    await serves(core, client);
  });
});

describe('in a response, after HEAD: the connection breaks off', () => {
  test.each<[string, RegExp, (stream: number) => Buffer]>([
    ['a second HEAD', /second HEAD/, (stream) => head(stream, 200, '', 'again')],
    ['INFO', /INFO must come before HEAD/, (stream) => frame(f.KIND_INFO, stream, 103)],
    [
      'TRAILERS twice',
      /TRAILERS must come once/,
      (stream) => Buffer.concat([1, 2].map(() => frame(f.KIND_TRAILERS, stream, 0, 'X-A: 1\r\n'))),
    ],
    ['a bad frame', /size out of range/, () => sized(3)],
  ])('%s', async (_name, rule, bytes) => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200, '', 'first'));
    await client.until(10);
    worker.send(bytes(stream));
    const answer = await client.answer();
    expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, 'first', false]);
    await client.closed();
    await isGone(core, worker, rule);
    await serves(core);
  });

  test('a body beyond the credit', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.socket.pause();
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200));
    const piece = frame(f.KIND_DATA, stream, 0, Buffer.alloc(f.MAX_PAYLOAD));
    // As long as the kernel takes the client's bytes there is new credit; then there is none.
    for (let sent = 0; !worker.link.ended && sent < 2000; sent++) {
      worker.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await isGone(core, worker, /more body bytes than the stream had credit for/);
    client.socket.resume();
    expect((await client.answer()).complete).toBe(false);
    await serves(core);
  });

  test('seventeen INFO frames', async () => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    for (let i = 0; i < 16; i++) worker.send(frame(f.KIND_INFO, stream, 103, 'Link: </a>\r\n'));
    for (let i = 0; i < 16; i++) expect((await informational(client)).status).toBe(103);
    worker.send(frame(f.KIND_INFO, stream, 103));
    await isGone(core, worker, /at most 16/);
    expect((await client.answer()).status).toBe(502);
    await serves(core, client);
  });

  test.each<[string, (stream: number) => Buffer]>([
    ['DATA after END', (stream) => Buffer.concat([response(stream, 'whole'), frame(f.KIND_DATA, stream, 0, 'x')])],
    [
      'END after END',
      (stream) => Buffer.concat([response(stream, 'whole'), frame(f.KIND_END, stream, 0, '', f.FLAG_END)]),
    ],
    ['RESET after END', (stream) => Buffer.concat([response(stream, 'whole'), frame(f.KIND_RESET, stream, 1)])],
    ['HEAD after END', (stream) => Buffer.concat([response(stream, 'whole'), response(stream, 'twice')])],
  ])('%s: what was whole stays whole', async (_name, bytes) => {
    await using core = new TestCore();
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(bytes(stream));
    const answer = await client.answer();
    expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, 'whole', true]);
    await isGone(core, worker, /stream that is not open/);
    await serves(core, client);
  });
});

describe('a worker with several links', () => {
  test('is ended as a whole', async () => {
    await using core = new TestCore({ threads: 2 });
    const worker = core.connect();
    for (const link of worker.links) link.send(hello(), frame(f.KIND_READY, 0));
    await core.event('worker-ready', worker.id);
    worker.links[1]?.send(sized(0));
    await isGone(core, worker, /size out of range/);
    expect(core.events.filter(({ type }) => type === 'worker-gone')).toHaveLength(1);
  });
});

test('the rule that was broken is in the log', async () => {
  await using core = new TestCore();
  const worker = core.connect();
  worker.send(hello({ version: 9 }));
  await isGone(core, worker, /another version/);
  await core.end();
  expect(core.log()).toMatch(/worker 1 broke the gateway protocol: HELLO has another version/);
});

test('frames that are cut, doubled and changed at random end workers, never the core', async () => {
  await using core = new TestCore({ pools: [{ queue: 1000, queueTimeoutMs: 15_000, requestTimeoutMs: 0 }] });
  const client = await Client.connect(core.port);
  const valid = Buffer.concat([
    hello(),
    frame(f.KIND_READY, 0),
    frame(f.KIND_BLOCK, 0, 1, 'A: b\r\n'),
    frame(f.KIND_INFO, 1, 103, 'Link: </a>\r\n'),
    frame(f.KIND_LOG, 1, 3, 'text'),
    head(1, 200 + 65_536, 'Content-Length: 9\r\n', 'some'),
    frame(f.KIND_DATA, 1, 0, 'rest.'),
    frame(f.KIND_CREDIT, 1, 10),
    frame(f.KIND_END, 1, 0, '', f.FLAG_END),
  ]);
  // Whatever a round's worker makes of them, these requests come from clients that are gone or stay.
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(valid);
    for (let change = randomInt(1, 6); change > 0; change--) bytes[randomInt(bytes.length)] = randomInt(256);
    const worker = core.connect();
    const cut = randomInt(bytes.length);
    worker.send(bytes.subarray(0, cut));
    if (round % 3 === 0) (await Client.connect(core.port)).get('/app/left');
    worker.send(bytes.subarray(cut), valid.subarray(randomInt(valid.length)));
    worker.close();
    await core.event('worker-gone', worker.id);
  }
  client.get('/none');
  expect((await client.answer()).status).toBe(404);
  client.destroy();
  await core.end();
  await using fresh = new TestCore();
  expect((await get(fresh.port, '/none')).status).toBe(404);
});

/** The next 1xx response, which has no body whatever its headers. */
async function informational(client: Client): Promise<{ status: number }> {
  const text = await client.head();
  return { status: Number(text.split(' ')[1]) };
}
