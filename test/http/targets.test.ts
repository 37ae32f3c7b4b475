// The forms of a request target (RFC 9112 §3.2). What is refused is in cases.txt.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { header } from './raw-client.js';
import { expectRefused, last, record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

describe('absolute form', () => {
  test.each<[uri: string, host: string, name: string, path: string, query: string]>([
    ['http://site.example/a?b', 'site.example', 'site.example', '/a', 'b'],
    ['http://site.example:8080/a', 'site.example:8080', 'site.example', '/a', ''],
    ['HTTP://site.example', 'site.example', 'site.example', '/', ''],
    ['http://site.example?q', 'site.example', 'site.example', '/', 'q'],
    ['https://[::1]:3/x', '[::1]:3', '[::1]', '/x', ''],
    ['http://site.example//a', 'site.example', 'site.example', '/a', ''],
  ])('H24 %s: its authority is the Host that the application sees', async (uri, host, name, path, query) => {
    await target.ask(`GET ${uri} HTTP/1.1\r\nhOST: other.example\r\n\r\n`);
    expect(last(target).environ).toMatchObject({
      HTTP_HOST: host,
      SERVER_NAME: name,
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_URI: uri,
    });
  });

  test('H24 a wrong Host beside it is refused all the same', async () => {
    await expectRefused(target, `GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n${SMUGGLED}`, 400);
    await expectRefused(target, `GET http://a/ HTTP/1.1\r\n\r\n${SMUGGLED}`, 400);
  });
});

test('OPTIONS * is about the server, and no application sees it', async () => {
  target.seen.length = 0;
  const client = await target.connect();
  await client.send(request('OPTIONS *') + request('OPTIONS /a'));
  const response = await client.response();
  expect([response.status, response.framing]).toEqual([204, 'none']);
  expect(header(response, 'allow')).toContain('GET');
  expect((await client.response()).status).toBe(200);
  expect(target.seen.map(({ uri }) => uri)).toEqual(['/a']);
  client.close();
});
