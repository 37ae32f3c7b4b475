// Request ids: from the client or made, the same in environ, response and log.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { parsed } from './events.js';

const APP = `export function application(environ, startResponse) {
  const own = environ.QUERY_STRING === 'own' ? [['X-REQUEST-ID', 'mine']] : [];
  if (environ.PATH_INFO === '/throws') throw new Error('on purpose');
  startResponse('200 OK', own);
  return [JSON.stringify([environ.HTTP_X_REQUEST_ID, environ.HTTP_TRACEPARENT, environ.HTTP_ACCEPT])];
}
`;

const folder = new Folder();

beforeAll(() => {
  folder.write('app.mjs', APP);
  folder.write('site/file.txt', 'the file');
});
afterAll(() => folder[Symbol.dispose]());

const start = (requestId: boolean | 'generate', config: Record<string, unknown> = {}): Promise<Gwanmun> =>
  Gwanmun.start(folder, {
    requestId,
    accessLog: 'json',
    threads: 1,
    mounts: [{ path: '/', files: './site', app: './app.mjs' }],
    ...config,
  });

const MADE = /^[0-9a-f]{24}$/;

async function idsOf(server: Gwanmun, path: string, headers: Record<string, string> = {}): Promise<unknown[]> {
  const answer = await get(server.port, path, { headers });
  const [seen, traceparent] = JSON.parse(answer.body.toString()) as string[];
  return [answer.headers['x-request-id'], seen, traceparent];
}

describe('requestId: true', () => {
  test('takes a well-formed id over: in the environ, the response and the log', async () => {
    await using server = await start(true);
    const longest = '!"\\~'.repeat(32);
    for (const id of ['a', longest]) {
      expect(await idsOf(server, '/', { 'x-request-id': id })).toEqual([id, id, null]);
    }
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    expect((await idsOf(server, '/', { traceparent: trace }))[2]).toBe(trace);
    await server.stop();
    expect(parsed(server.stdout).map((line) => line['request_id'])).toMatchObject([
      'a',
      longest,
      expect.stringMatching(MADE) as string,
    ]);
  });

  test('replaces any other, and the application sees only ours', async () => {
    await using server = await start(true);
    for (const id of ['', 'a b', 'é', 'x'.repeat(129)]) {
      const [sent, seen] = await idsOf(server, '/', { 'X-Request-Id': id });
      expect(sent).toMatch(MADE);
      expect(seen).toBe(sent);
    }
    const twice = await exchange(
      server.port,
      'GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: one\r\nAccept: x/y\r\nx-request-id: two\r\nConnection: close\r\n\r\n',
    );
    const [, id] = /\r\nX-Request-Id: ([0-9a-f]{24})\r\n/.exec(twice.toString()) ?? [];
    expect(twice.toString()).toMatch(new RegExp(`\\["${id}",null,"x/y"\\]$`));
  });

  test('gives one to files, refusals, failures and requests with bodies, and leaves the application’s own', async () => {
    await using server = await start(true, { limits: { body: 100_000, bodyInMemory: 10 } });
    for (const path of ['/file.txt', '/%zz', '/throws']) {
      expect((await get(server.port, path)).headers['x-request-id']).toMatch(MADE);
    }
    const posted = await get(server.port, '/', { method: 'POST', body: 'x'.repeat(5000) });
    expect(JSON.parse(posted.body.toString())).toEqual([posted.headers['x-request-id'], null, null]);
    expect((await exchange(server.port, 'nonsense\r\n\r\n')).toString()).toMatch(/\r\nX-Request-Id: [0-9a-f]{24}\r\n/);
    const own = await exchange(server.port, 'GET /?own HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(own.toString().match(/x-request-id: .*/gi)).toEqual(['X-REQUEST-ID: mine']);
  });

  test('no two of a pipeline are the same, and each goes with its own response', async () => {
    await using server = await start(true, { threads: 2 });
    const request = (n: number): string =>
      `GET /?${n} HTTP/1.1\r\nHost: a\r\n${n % 3 ? '' : `X-Request-Id: r${n}\r\n`}`;
    const count = 300;
    const pipelines = await Promise.all(
      [0, 1, 2, 3].map(() =>
        exchange(
          server.port,
          Array.from({ length: count }, (_, n) => request(n)).join('\r\n'),
          'Connection: close\r\n\r\n',
        ),
      ),
    );
    const made = new Set<string>();
    for (const pipeline of pipelines) {
      const pairs = [...pipeline.toString().matchAll(/X-Request-Id: (\S+)\r\n[^]*?\["([^"]+)"/g)];
      expect(pairs).toHaveLength(count);
      for (const [n, [, sent = '', seen]] of pairs.entries()) {
        expect(seen).toBe(sent);
        if (n % 3 === 0) expect(sent).toBe(`r${n}`);
        else made.add(sent);
      }
    }
    expect(made.size).toBe(4 * 200);
  });
});

test("requestId: 'generate' never takes the client's", async () => {
  await using server = await start('generate');
  const [sent, seen] = await idsOf(server, '/', { 'x-request-id': 'theirs' });
  expect(sent).toMatch(MADE);
  expect(seen).toBe(sent);
});

test('requestId: false is a header as any other, and none of ours', async () => {
  await using server = await start(false);
  expect(await idsOf(server, '/', { 'x-request-id': 'theirs' })).toEqual([undefined, 'theirs', null]);
  expect(await idsOf(server, '/')).toEqual([undefined, null, null]);
  await server.stop();
  for (const line of parsed(server.stdout)) expect(line).not.toHaveProperty('request_id');
});

test('without JSON there are none by default', async () => {
  await using server = await Gwanmun.start(folder, {
    accessLog: 'combined',
    mounts: [{ path: '/', app: './app.mjs' }],
  });
  expect(await idsOf(server, '/')).toEqual([undefined, null, null]);
});
