// Responses and their framing: HEAD, statuses without a body, lengths right and wrong.

import { describe, expect, test } from 'vitest';
import type { Application } from '../../dist/index.js';
import { header } from './raw-client.js';
import { expectAlive, record, request } from './recording-server.js';

const answer =
  (status: string, headers: [string, string][], body: () => ReturnType<Application>): Application =>
  (_environ, startResponse) => {
    startResponse(status, headers);
    return body();
  };
const pieces = function* (...all: string[]): Generator<string> {
  yield* all;
};

describe('HEAD', () => {
  test.each<
    [row: string, headers: [string, string][], body: () => ReturnType<Application>, length: string | undefined]
  >([
    ['W57 with Content-Length', [['Content-Length', '5']], () => ['hello'], '5'],
    ['W57 with Content-Length and no body', [['Content-Length', '5']], () => [], '5'],
    ['W57 without', [], () => pieces('a', 'b'), undefined],
    ['W57 an empty body', [], () => [], undefined],
  ])('%s', async (_row, headers, body, length) => {
    await using target = await record({ answer: answer('200 OK', headers, body) });
    const client = await target.connect();
    await client.send(request('HEAD /a') + request('HEAD /b') + request('HEAD /c', 'Connection: close'));
    for (let index = 0; index < 3; index += 1) {
      const response = await client.response('HEAD');
      expect([response.status, header(response, 'content-length')]).toEqual([200, length]);
    }
    expect(await client.closed()).toBe('end');
  });

  test('of an error page has no body', async () => {
    await using target = await record({ mounts: [{ path: '/x' }] });
    const client = await target.connect();
    await client.send(request('HEAD /none') + request('GET /none', 'Connection: close'));
    const [head, get] = [await client.response('HEAD'), await client.response()];
    expect([head.status, get.status]).toEqual([404, 404]);
    expect(header(head, 'content-length')).toBe(String(get.body.length));
    expect(await client.closed()).toBe('end');
  });
});

test.each<[row: string, status: string, headers: [string, string][], length: string | undefined]>([
  ['W58 204', '204 No Content', [], undefined],
  ['W58 204 with Content-Length', '204 No Content', [['Content-Length', '5']], undefined],
  ['W58 304', '304 Not Modified', [], undefined],
  ['W58 304 with Content-Length', '304 Not Modified', [['Content-Length', '5']], '5'],
])('%s has no body, and the connection goes on', async (_row, status, headers, length) => {
  for (const body of [(): string[] => ['hello'], (): string[] => [], (): Iterable<string> => pieces('hel', 'lo')]) {
    await using target = await record({ answer: answer(status, headers, body) });
    const client = await target.connect();
    await client.send(request('GET /a') + request('GET /b', 'Connection: close'));
    for (let index = 0; index < 2; index += 1) {
      const response = await client.response();
      expect([response.status, header(response, 'content-length'), response.framing]).toEqual([
        Number(status.slice(0, 3)),
        length,
        'none',
      ]);
    }
    expect(await client.closed()).toBe('end');
  }
});

describe('the body', () => {
  test.each<[row: string, body: () => ReturnType<Application>, framing: string, text: string]>([
    ['W54 one piece has its length', () => ['héllo'], 'length', 'héllo'],
    ['W54 a string has its length', () => 'héllo', 'length', 'héllo'],
    ['W54 an empty list has length 0', () => [], 'length', ''],
    ['W56 pieces are chunked', () => pieces('hé', '', 'llo'), 'chunked', 'héllo'],
  ])('%s', async (_row, body, framing, text) => {
    await using target = await record({ answer: answer('200 OK', [], body) });
    const client = await target.connect();
    for (let round = 0; round < 2; round += 1) {
      await client.send(request('GET /a'));
      const response = await client.response();
      expect([response.framing, response.body.toString()]).toEqual([framing, text]);
    }
    client.close();
  });

  test('W55 more than Content-Length is cut, and the next answer is in its place', async () => {
    for (const body of [(): string[] => ['hello, world'], (): Iterable<string> => pieces('hel', 'lo, ', 'world')]) {
      await using target = await record({ answer: answer('200 OK', [['Content-Length', '5']], body) });
      const client = await target.connect();
      await client.send(request('GET /a') + request('GET /b'));
      expect((await client.response()).body.toString()).toBe('hello');
      expect((await client.response()).body.toString()).toBe('hello');
      client.close();
    }
  });

  test('W55 less than Content-Length ends the connection, so that the client notices', async () => {
    for (const body of [(): string[] => ['hel'], (): Iterable<string> => pieces('h', 'el')]) {
      await using target = await record({ answer: answer('200 OK', [['Content-Length', '5']], body) });
      const client = await target.connect();
      await client.send(request('GET /a') + request('GET /b'));
      await client.until('\r\n\r\n');
      expect((await client.rest()).toString()).toBe('hel');
      client.close();
    }
  });

  test('W62 an error after the headers cuts the body off', async () => {
    let fails = true;
    await using target = await record({
      answer: function* (_environ, startResponse) {
        startResponse('200 OK', []);
        yield 'begun';
        if (fails) throw new Error('half way');
      },
    });
    const client = await target.connect();
    await client.send(request('GET /a') + request('GET /b'));
    await client.until('\r\n\r\n');
    expect((await client.rest()).toString()).toBe('5\r\nbegun\r\n');
    client.close();
    fails = false;
    await expectAlive(target);
  });

  test('W61 an error before the headers is a 500, and the connection goes on', async () => {
    await using target = await record({
      answer: () => {
        throw new Error('secret detail');
      },
    });
    const client = await target.connect();
    await client.send(request('GET /a') + request('GET /b'));
    for (let index = 0; index < 2; index += 1) {
      const response = await client.response();
      expect(response.status).toBe(500);
      expect(response.body.toString()).not.toContain('secret');
    }
    client.close();
  });
});
