// The access log as the command line writes it: its fields, one line for each request, refused ones too.

import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected, exchange, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { reset } from '../transport/client.js';

const APP = `import { setTimeout } from 'node:timers/promises';

export async function application(environ, startResponse) {
  if (environ.PATH_INFO === '/slow') {
    console.log('slow has begun');
    await setTimeout(60_000);
  }
  if (environ.PATH_INFO === '/throws') throw new Error('on purpose');
  startResponse('201 Created', [['Content-Type', 'text/plain']]);
  return ['made'];
}
`;

const folder = new Folder();
const running: Gwanmun[] = [];

beforeAll(() => {
  folder.write('app.mjs', APP);
  folder.write('site/file.txt', 'the file');
  folder.write('site/dir/index.html', 'x');
  folder.write('site/large.bin', Buffer.alloc(1_500_000, 'x'));
});
afterAll(async () => {
  for (const server of running) await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function started(format: 'combined' | 'short', config: Record<string, unknown> = {}): Promise<Gwanmun> {
  const server = await Gwanmun.start(folder, {
    accessLog: format,
    // Lines of several I/O threads may change places by a moment.
    threads: 1,
    mounts: [{ path: '/', files: './site', app: './app.mjs' }],
    ...config,
  });
  running.push(server);
  return server;
}

/** All lines, after the server has ended. */
async function linesOf(server: Gwanmun): Promise<string[]> {
  expect(await server.stop()).toBe(0);
  expect(server.stdout === '' || server.stdout.endsWith('\n')).toBe(true);
  return server.stdout.split('\n').slice(0, -1);
}

const COMBINED =
  /^(?<remote>\S+) - (?<user>\S+) \[(?<time>\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000)\] "(?<request>[^"]*)" (?<status>\d{3}) (?<bytes>\d+|-) "(?<referer>[^"]*)" "(?<agent>[^"]*)"$/;

function parsed(line: string): Record<string, string> {
  const { groups } = COMBINED.exec(line) ?? {};
  if (groups === undefined) throw new Error(`not a combined line: ${line}`);
  return groups;
}

describe('combined', () => {
  test('has a line for each request, with its fields', async () => {
    const server = await started('combined');
    const from = Math.floor(Date.now() / 1000) * 1000;
    const headers = { Referer: 'http://a.test/page', 'User-Agent': 'a client/1.0 (x)' };
    await get(server.port, '/file.txt?q=1&r=%20', { headers });
    await get(server.port, '/made', { method: 'POST', body: 'form', headers });
    await get(server.port, '/file.txt', { method: 'HEAD' });
    await get(server.port, '/large.bin', { headers: { Range: 'bytes=0-99' } });
    await get(server.port, '/file.txt', { headers: { 'If-None-Match': '*' } });
    await get(server.port, '/dir');
    await get(server.port, '/throws');
    await exchange(server.port, 'GET /file.txt HTTP/1.0\r\nHost: a\r\n\r\n');
    const lines = (await linesOf(server)).map(parsed);
    expect(lines.map(({ request, status, bytes }) => `${request} ${status} ${bytes}`)).toEqual([
      'GET /file.txt?q=1&r=%20 HTTP/1.1 200 8',
      'POST /made HTTP/1.1 201 4',
      'HEAD /file.txt HTTP/1.1 200 -',
      'GET /large.bin HTTP/1.1 206 100',
      'GET /file.txt HTTP/1.1 304 -',
      expect.stringMatching(/^GET \/dir HTTP\/1\.1 301 \d+$/),
      expect.stringMatching(/^GET \/throws HTTP\/1\.1 500 \d+$/),
      'GET /file.txt HTTP/1.0 200 8',
    ]);
    expect(lines[0]).toMatchObject({
      remote: '127.0.0.1',
      user: '-',
      referer: headers.Referer,
      agent: headers['User-Agent'],
    });
    expect(lines[2]).toMatchObject({ referer: '-', agent: '-' });
    for (const { time = '' } of lines) {
      const [, day, month, year, clock] = /^(\d\d)\/(\w{3})\/(\d{4}):(\S+)/.exec(time) ?? [];
      const at = Date.parse(`${day} ${month} ${year} ${clock} GMT`);
      expect(at).toBeGreaterThanOrEqual(from);
      expect(at).toBeLessThanOrEqual(Date.now());
    }
  });

  test('tells refused requests by their status', async () => {
    const server = await started('combined', {
      limits: { body: 10, requestLine: 300, headerBytes: 500 },
      timeouts: { header: 300 },
    });
    const host = 'HTTP/1.1\r\nHost: a\r\n';
    await exchange(server.port, 'nonsense\r\n\r\n');
    await exchange(server.port, `GET /%zz ${host}\r\n`);
    await exchange(server.port, `POST /made ${host}Content-Length: 11\r\n\r\n`);
    await exchange(
      server.port,
      `POST /made ${host}Transfer-Encoding: chunked\r\n\r\nff\r\n${'x'.repeat(255)}\r\n0\r\n\r\n`,
    );
    await exchange(server.port, `GET /${'x'.repeat(400)} ${host}\r\n`);
    await exchange(server.port, `GET / ${host}X: ${'x'.repeat(600)}\r\n\r\n`);
    await exchange(server.port, 'GET / HTTP/2.0\r\nHost: a\r\n\r\n');
    await exchange(server.port, `GET / ${host}`);
    const lines = (await linesOf(server)).map(parsed);
    expect(lines.map(({ request, status }) => `${status} ${request}`)).toEqual([
      '400 -',
      '400 GET /%zz HTTP/1.1',
      '413 POST /made HTTP/1.1',
      '413 POST /made HTTP/1.1',
      '414 -',
      '431 -',
      '505 -',
      '408 -',
    ]);
    // Each with its reason for the operator.
    expect(server.stderr.match(/ info client 127\.0\.0\.1: \d{3}: .+/g)).toHaveLength(8);
  });

  test('has a line for each request of a pipeline, in order', async () => {
    const server = await started('combined');
    const requests = Array.from(
      { length: 100 },
      (_, n) => `GET /${n % 3 === 0 ? 'file.txt' : 'x'}?${n} HTTP/1.1\r\nHost: a\r\n`,
    );
    await exchange(server.port, requests.join('\r\n'), 'Connection: close\r\n\r\n');
    const lines = (await linesOf(server)).map(parsed);
    expect(lines.map(({ request }) => Number(request?.match(/\?(\d+) /)?.[1]))).toEqual(requests.map((_, n) => n));
  });

  test('a client that left before its answer is a 499', async () => {
    const server = await started('combined');
    const socket = await connected(server.port);
    socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await server.says(/slow has begun/);
    reset(socket);
    const [line] = await server.prints(/^.*\n/);
    expect(parsed(line.trimEnd())).toMatchObject({ request: 'GET /slow HTTP/1.1', status: '499', bytes: '-' });
  });
});

describe('short', () => {
  test('has time, status, request, duration, size and source', async () => {
    const server = await started('short');
    await get(server.port, '/file.txt?q');
    await get(server.port, '/made');
    await get(server.port, '/large.bin');
    await get(server.port, '/%zz');
    const lines = await linesOf(server);
    const time = '\\d\\d:\\d\\d:\\d\\d';
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^${time} 200 GET /file\\.txt\\?q \\d+\\.\\dms 8B file$`)),
      expect.stringMatching(new RegExp(`^${time} 201 GET /made \\d+\\.\\dms 4B app$`)),
      expect.stringMatching(new RegExp(`^${time} 200 GET /large\\.bin \\d+\\.\\dms 1\\.5MB file$`)),
      expect.stringMatching(new RegExp(`^${time} 400 GET /%zz \\d+\\.\\dms \\d+B core$`)),
    ]);
  });
});

test('no access log is none', async () => {
  const server = await Gwanmun.start(folder, { accessLog: false, mounts: [{ path: '/', files: './site' }] });
  running.push(server);
  await get(server.port, '/file.txt');
  await get(server.port, '/missing');
  expect(await linesOf(server)).toEqual([]);
});

test('lines of connections that end while the server stops are written', async () => {
  const server = await started('combined');
  const socket = await connected(server.port);
  socket.write('GET /file.txt HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'data');
  expect((await linesOf(server)).map(parsed)).toMatchObject([{ request: 'GET /file.txt HTTP/1.1', status: '200' }]);
  socket.destroy();
});
