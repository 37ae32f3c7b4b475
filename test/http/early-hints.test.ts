// 103 Early Hints from an application.

import { expect, test } from 'vitest';
import type { Header } from '../../dist/index.js';
import { deferred } from './deferred.js';
import { record, request } from './recording-server.js';

const LINK: readonly Header[] = [['Link', '</style.css>; rel=preload; as=style']];

test('they come before the response, at once', async () => {
  const seen = deferred();
  await using target = await record({
    answer: async (environ, startResponse) => {
      environ['gwanmun.early_hints'](LINK);
      await seen.promise;
      // Middleware may copy the environ.
      ({ ...environ })['gwanmun.early_hints']([['Link', '</script.js>; rel=preload']]);
      startResponse('200 OK', []);
      return 'page';
    },
  });
  const client = await target.connect();
  await client.send(request('GET /a'));
  expect(await client.response()).toMatchObject({
    status: 103,
    headers: [['link', '</style.css>; rel=preload; as=style']],
  });
  seen.resolve();
  expect((await client.response()).status).toBe(103);
  expect((await client.response()).body.toString()).toBe('page');
  client.close();
});

test('more than sixteen, late ones and those for HTTP/1.0 are left out', async () => {
  await using target = await record({
    answer: function* (environ, startResponse) {
      for (let count = 0; count < 20; count += 1) environ['gwanmun.early_hints'](LINK);
      startResponse('200 OK', []);
      yield 'a';
      environ['gwanmun.early_hints'](LINK);
      yield 'b';
    },
  });
  const client = await target.connect();
  await client.send(request('GET /a'));
  for (let count = 0; count < 16; count += 1) expect((await client.response()).status).toBe(103);
  expect((await client.response()).body.toString()).toBe('ab');
  client.close();
  expect((await target.ask('GET /a HTTP/1.0\r\n\r\n')).body.toString()).toBe('ab');
});

test('a header of the connection is left out', async () => {
  await using target = await record({
    answer: (environ, startResponse) => {
      environ['gwanmun.early_hints']([['Connection', 'close'], ...LINK]);
      startResponse('200 OK', []);
      return '';
    },
  });
  const client = await target.connect();
  await client.send(request('GET /a'));
  const { status, headers } = await client.response();
  expect([status, headers.map(([name]) => name)]).toEqual([103, ['link']]);
  client.close();
});

test.each<[string, readonly Header[], RegExp]>([
  ['a name that is none', [['A b', 'close']], /must be a token/],
  ['a value with a line end', [['Link', 'a\r\nB: c']], /control character/],
])('what must not be sent is an error: %s', async (_what, headers, message) => {
  let fault: unknown;
  await using target = await record({
    answer: (environ, startResponse) => {
      try {
        environ['gwanmun.early_hints'](headers);
      } catch (error) {
        fault = error;
      }
      startResponse('200 OK', []);
      return '';
    },
  });
  expect((await target.ask(request('GET /a'))).status).toBe(200);
  expect(String(fault)).toMatch(message);
});
