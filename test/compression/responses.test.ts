// What applications send, compressed for clients that take it.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { brotliDecompressSync, constants, createGunzip, gunzipSync } from 'node:zlib';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { RawClient } from '../http/raw-client.js';

const TEXT = Array.from({ length: 500 }, (_, index) => `line ${index} of a text\n`).join('');
/** More than a megabyte. */
const BIG = Array.from({ length: 200_000 }, (_, index) => `${(index * 7919) % 1_000_003}\n`).join('');

const WSGI = `
const TEXT = ${JSON.stringify(TEXT)};
const BIG = Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 1_000_003 + '\\n').join('');
let ended = 0;
const kinds = {
  big: () => BIG,
  blocks: function* () { for (let i = 0; i < BIG.length; i += 65_536) yield BIG.slice(i, i + 65_536); },
  mixed: async function* () {
    for (let i = 0, length = 1; i < BIG.length; i += length, length = (length * 3) % 100_003) {
      yield BIG.slice(i, i + length);
      if (length % 2) await new Promise(setImmediate);
    }
  },
  'big-exact': () => BIG,
  'big-long': function* () { yield BIG; yield 'surplus'; },
  'big-cut': function* () { yield BIG.slice(0, 200_000); },
  'big-breaks': function* () { yield BIG.slice(0, 200_000); throw new Error('broken'); },
  much: function* () { for (let i = 0; i < 32; i += 1) yield BIG; },
  whole: () => TEXT,
  pieces: function* () { for (let i = 0; i < TEXT.length; i += 1000) yield TEXT.slice(i, i + 1000); },
  exact: () => TEXT,
  long: function* () { yield TEXT; yield 'surplus'; },
  cut: function* () { yield TEXT.slice(0, 2000); },
  breaks: function* () { yield TEXT; throw new Error('broken'); },
  events: async function* () {
    for (let i = 0; i < 3; i += 1) {
      const gate = new Promise((resolve) => (globalThis.next = resolve));
      yield 'data: ' + i + '\\n\\n';
      await gate;
    }
  },
  next: () => { globalThis.next(); return 'ok'; },
  endless: function* () { try { for (;;) yield Math.random() + TEXT; } finally { ended += 1; } },
  ended: () => String(ended),
  'pieces-that-wait': async function* () { yield TEXT; await new Promise(() => {}); },
};
export function application(environ, startResponse) {
  const name = environ.PATH_INFO.slice(1);
  const query = Object.fromEntries(new URLSearchParams(environ.QUERY_STRING));
  const { status = '200 OK', ...headers } = query;
  if (/^(exact|long|cut)$/.test(name)) headers['Content-Length'] = String(TEXT.length);
  if (/^big-(exact|long|cut)$/.test(name)) headers['Content-Length'] = String(BIG.length);
  startResponse(status, Object.entries({ 'Content-Type': 'text/plain', ...headers }));
  return kinds[name]();
}
`;

const folder = new Folder();
let server: Gwanmun;

beforeAll(async () => {
  folder.write('app.mjs', WSGI);
  folder.write('fetch.mjs', `export default { fetch: () => new Response(${JSON.stringify(TEXT)}) };`);
  folder.write(
    'node.mjs',
    `export default (request, response) => { response.setHeader('Content-Type', 'text/html'); response.setHeader('ETag', '"a"'); response.end(${JSON.stringify(TEXT)}); };`,
  );
  folder.write(
    'hello.py',
    `def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'line of a text\\n' * 500]\n`,
  );
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', app: './app.mjs' },
      { path: '/fetch', app: './fetch.mjs' },
      { path: '/node', app: './node.mjs' },
      { path: '/python', wsgi: 'hello:application' },
      { path: '/plain', app: './app.mjs', compression: false },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (path: string, accept?: string, method = 'GET'): Promise<Answer> =>
  get(server.port, path, { method, headers: accept === undefined ? {} : { 'Accept-Encoding': accept } });

function decoded({ headers, body }: Answer): string {
  switch (headers['content-encoding']) {
    case undefined:
      return body.toString();
    case 'gzip':
      return gunzipSync(body).toString();
    case 'br':
      return brotliDecompressSync(body).toString();
    default: {
      const { stdout, status } = spawnSync('zstd', ['-dc'], { input: body, maxBuffer: 1e8 });
      if (status !== 0) throw new Error('zstd cannot read it');
      return stdout.toString();
    }
  }
}

const codings = spawnSync('zstd', ['--version']).status === 0 ? ['gzip', 'br', 'zstd'] : ['gzip', 'br'];

describe.each(codings)('%s', (coding) => {
  test.each(['/whole', '/pieces', '/exact', '/long'])('%s', async (path) => {
    const answer = await ask(path, coding);
    expect([answer.status, answer.headers['content-encoding'], answer.headers['vary']]).toEqual([
      200,
      coding,
      'Accept-Encoding',
    ]);
    expect(answer.body.length).toBeLessThan(TEXT.length / 2);
    expect(decoded(answer)).toBe(TEXT);
  });

  test.each(['/big', '/blocks', '/mixed', '/big-exact', '/big-long'])('%s', async (path) => {
    const answer = await ask(path, coding);
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, coding]);
    expect(answer.body.length).toBeLessThan(BIG.length * 0.6);
    expect(decoded(answer) === BIG).toBe(true);
  });

  test('from fetch, Node and Python applications', async () => {
    expect(decoded(await ask('/fetch', coding))).toBe(TEXT);
    const node = await ask('/node', coding);
    expect([decoded(node), node.headers.etag]).toEqual([TEXT, 'W/"a"']);
    expect(decoded(await ask('/python', coding))).toBe('line of a text\n'.repeat(500));
    for (const path of ['/fetch', '/node', '/python']) {
      expect((await ask(path, coding)).headers['content-encoding']).toBe(coding);
    }
  });
});

test('a response that comes whole has the length of what is sent', async () => {
  const { headers, body } = await ask('/whole', 'gzip');
  expect(headers['content-length']).toBe(String(body.length));
});

test('HEAD has the headers of GET', async () => {
  const { status, headers } = await ask('/exact', 'gzip', 'HEAD');
  expect([status, headers['content-encoding'], headers['vary'], headers['content-length']]).toEqual([
    200,
    'gzip',
    'Accept-Encoding',
    undefined,
  ]);
});

test('a tag becomes weak, for the bytes are not the application’s; other headers stay', async () => {
  const { headers } = await ask('/whole?ETag=%22x%22&X-Other=1&Accept-Ranges=bytes', 'gzip');
  expect([headers.etag, headers['x-other'], headers['accept-ranges']]).toEqual(['W/"x"', '1', undefined]);
  expect((await ask('/whole?ETag=W/%22x%22', 'gzip')).headers.etag).toBe('W/"x"');
});

test.each([
  ['no Accept-Encoding', '/whole', undefined, 'Accept-Encoding'],
  ['a coding that is not wanted', '/whole', 'gzip;q=0, identity', 'Accept-Encoding'],
  ['an image', '/whole?Content-Type=image/png', 'gzip', undefined],
  ['what is encoded already', '/whole?Content-Encoding=aws-chunked', 'gzip', undefined],
  ['what may not be changed', '/whole?Cache-Control=no-transform', 'gzip', undefined],
  ['a part', '/whole?status=206+Partial+Content&Content-Range=bytes+0-1/2', 'gzip', undefined],
  ['what is short', '/ended', 'gzip', undefined],
  ['where it is off', '/plain/whole', 'gzip', undefined],
])('%s is sent as it is', async (_, path, accept, vary) => {
  const { headers } = await ask(path, accept);
  expect([headers['content-encoding'] ?? 'none', headers['vary']]).toEqual([
    path.includes('aws-chunked') ? 'aws-chunked' : 'none',
    vary,
  ]);
});

test('each event is with the client before the next is made', async () => {
  const client = await RawClient.connect({ port: server.port });
  await client.send('GET /events?Content-Type=text/event-stream HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
  expect((await client.until('\r\n\r\n')).toString()).toContain('Content-Encoding: gzip');
  const gunzip = createGunzip({ flush: constants.Z_SYNC_FLUSH });
  for (let i = 0; i < 3; i += 1) {
    gunzip.write(await client.chunk());
    const [event] = (await once(gunzip, 'data')) as [Buffer];
    expect(event.toString()).toBe(`data: ${i}\n\n`);
    await ask('/next');
  }
  // The end of the coding, and of the body.
  gunzip.end(await client.chunk());
  expect((await client.chunk()).length).toBe(0);
  client.close();
});

test.each(['/cut', '/breaks', '/big-cut', '/big-breaks'])('%s is cut off, and does not look whole', async (path) => {
  const client = await RawClient.connect({ port: server.port });
  await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n`);
  const rest = (await client.rest(true)).toString('latin1');
  expect(rest).toContain('Content-Encoding: gzip');
  expect(rest.endsWith('0\r\n\r\n')).toBe(false);
});

test('large pieces are compressed by other threads than those that own the sockets', async () => {
  const before = cpuTicks();
  const answers = await Promise.all([ask('/much', 'gzip'), ask('/much', 'br')]);
  for (const answer of answers) expect(decoded(answer).length).toBe(32 * BIG.length);
  const [io = 0, blocking = 0] = cpuTicks().map((ticks, index) => ticks - (before[index] ?? 0));
  expect(blocking).toBeGreaterThan(20);
  expect(io).toBeLessThan(blocking / 2);
});

/** Time that the I/O threads and those for what may block have had, in hundredths of a second. */
function cpuTicks(): [number, number] {
  const tasks = `/proc/${server.child.pid}/task`;
  const ticks: [number, number] = [0, 0];
  for (const task of readdirSync(tasks)) {
    const [, name = '', rest = ''] = /\((.*)\) (.*)/.exec(readFileSync(`${tasks}/${task}/stat`, 'utf8')) ?? [];
    const kind = ['gwanmun-io-', 'gwanmun-block'].findIndex((start) => name.startsWith(start));
    if (kind < 0) continue;
    const fields = rest.split(' ');
    ticks[kind === 0 ? 0 : 1] += Number(fields[11]) + Number(fields[12]);
  }
  return ticks;
}

test("an application's 304 says that what it stands for varies", async () => {
  const { status, headers } = await get(server.port, '/whole?status=304%20Not%20Modified&ETag=%22a%22', {
    headers: { 'Accept-Encoding': 'gzip' },
  });
  expect([status, headers['vary'], headers['content-encoding']]).toEqual([304, 'Accept-Encoding', undefined]);
});

test('a client that leaves in the middle ends the application', async () => {
  const client = await RawClient.connect({ port: server.port });
  await client.send('GET /endless HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n');
  await client.bytes(200_000);
  client.close();
  await expect.poll(async () => (await ask('/ended')).body.toString(), { timeout: 10_000 }).toBe('1');
});
