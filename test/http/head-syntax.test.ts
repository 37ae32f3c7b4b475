// Request heads: what of them reaches the application. What is refused is in cases.txt.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { header } from './raw-client.js';
import { last, record, request, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const get = (line: string): string => request('GET /a', line);

describe('accepted', () => {
  test('H41 a head that comes byte by byte', async () => {
    const client = await target.connect();
    for (const byte of request('GET /slow?q', 'A: b')) await client.send(byte);
    expect((await client.response()).status).toBe(200);
    expect(last(target)).toMatchObject({ uri: '/slow?q', environ: { HTTP_A: 'b', QUERY_STRING: 'q' } });
    client.close();
  });

  test('an empty line before the request line', async () => {
    expect((await target.ask(`\r\n${get('A: b')}`)).status).toBe(200);
  });

  test('H20 tabs, bytes above 0x7f, and white space around a value', async () => {
    await target.ask(get('A: \t b\tc \xe9\xff \t'));
    expect(last(target).environ['HTTP_A']).toBe('b\tc \xe9\xff');
  });

  test('H21 H22 names that could be taken for others, and Proxy, do not reach the application', async () => {
    await target.ask(
      request(
        'GET /a',
        'Content_Length: 5',
        'Transfer.Encoding: chunked',
        'X_Forwarded_For: 1.2.3.4',
        'X-Forwarded-For: 9.9.9.9',
        'Proxy: evil:1',
        'pROXY: evil:2',
      ),
    );
    const { environ } = last(target);
    expect(
      Object.keys(environ)
        .filter((key) => key.startsWith('HTTP_'))
        .toSorted(),
    ).toEqual(['HTTP_HOST', 'HTTP_X_FORWARDED_FOR']);
    expect(environ['HTTP_X_FORWARDED_FOR']).toBe('9.9.9.9');
    expect(environ['CONTENT_LENGTH']).toBeUndefined();
  });

  test('W06 repeated headers are joined, cookies by a semicolon', async () => {
    await target.ask(request('GET /a', 'A: 1', 'a: 2', 'Cookie: x=1', 'Cookie: y=2', 'Content-Type: text/plain'));
    expect(last(target).environ).toMatchObject({ HTTP_A: '1, 2', HTTP_COOKIE: 'x=1; y=2', CONTENT_TYPE: 'text/plain' });
  });

  test('H27 a method is case-sensitive and the application decides', async () => {
    await target.ask(request('get /a'));
    expect(last(target).method).toBe('get');
    await target.ask(request('PURGE /a'));
    expect(last(target).method).toBe('PURGE');
  });

  test('H28 a later HTTP/1 is answered as HTTP/1.1', async () => {
    const response = await target.ask('GET /a HTTP/1.2\r\nHost: a\r\n\r\n');
    expect(response.status).toBe(200);
    expect(last(target).environ['SERVER_PROTOCOL']).toBe('HTTP/1.1');
    expect(header(response, 'connection')).toBeUndefined();
  });

  test('names that JavaScript knows are headers like others', async () => {
    await target.ask(request('GET /a', '__proto__: x', 'constructor: y', 'toString: z'));
    expect(last(target).environ).toMatchObject({ HTTP_CONSTRUCTOR: 'y', HTTP_TOSTRING: 'z' });
  });
});
