// Request heads: what is not by the grammar is refused, whatever it could be taken for.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { header } from './raw-client.js';
import { expectRefused, last, record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const get = (line: string): string => request('GET /a', line);

const REFUSED: [row: string, bytes: string, status?: number | number[]][] = [
  ['H14 LF after the request line', 'GET /a HTTP/1.1\nHost: a\r\n\r\n'],
  ['H14 LF after a header', 'GET /a HTTP/1.1\r\nHost: a\n\r\n'],
  ['H14 LF as the empty line', 'GET /a HTTP/1.1\r\nHost: a\r\n\n'],
  ['H14 LF everywhere', 'GET /a HTTP/1.1\nHost: a\n\n'],
  ['H14 LF before the request line', '\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['H14 LF in a value', get('A: b\nTransfer-Encoding: chunked')],
  ['H15 CR in a value', get('A: b\rc')],
  ['H15 CR before CRLF', get('A: b\r')],
  ['H15 CR as line end', 'GET /a HTTP/1.1\rHost: a\r\r'.padEnd(100, ' ')],
  ['H15 CR in the request line', 'GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['H16 folded with a space', get('A: b\r\n c')],
  ['H16 folded with a tab', get('A: b\r\n\tc')],
  ['H17 space before the colon', get('A : b')],
  ['H17 tab before the colon', get('A\t: b')],
  ['H18 space before the first header', 'GET /a HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['H18 tab before the first header', 'GET /a HTTP/1.1\r\n\tHost: a\r\n\r\n'],
  ['H19 empty name', get(': b')],
  ['H19 no colon', get('A')],
  ...['A B', 'A(B', 'A@', 'A/B', 'A"', 'A\\', 'A\x00', 'A\x7f', 'A\xe9', '{A}', 'A,B'].map((name): [string, string] => [
    `H19 name ${JSON.stringify(name)}`,
    get(`${name}: b`),
  ]),
  ...['\x00', '\x01', '\x08', '\x0b', '\x0c', '\x1b', '\x1f', '\x7f'].map((byte): [string, string] => [
    `H20 value with ${JSON.stringify(byte)}`,
    get(`A: b${byte}c`),
  ]),
  ['H23 no Host', 'GET /a HTTP/1.1\r\n\r\n'],
  ['H23 two Hosts', get('Host: b')],
  ['H23 the same Host twice', get('Host: a')],
  ...[
    '',
    ' ',
    'a, b',
    'user@a',
    'a/b',
    'a:b',
    'a:99999',
    'a b',
    '[::1',
    '::1',
    '[x]',
    'a?b',
    'a#b',
    '[fe80::1%25eth0]',
    'a\\b',
    'a:80:80',
  ].map((host): [string, string] => [`H23 Host: ${host}`, `GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`]),
  ['H26 CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', [405, 501]],
  ['H26 TRACE', request('TRACE /a'), [405, 501]],
  ['H27 a method of 33 bytes', request(`${'M'.repeat(33)} /a`), [400, 501]],
  ['H27 a method of 10 000 bytes', request(`${'M'.repeat(10_000)} /a`), [400, 501]],
  ['H27 a method that is no token', request('GE(T /a')],
  ['H28 two spaces before the target', request('GET  /a')],
  ['H28 two spaces behind the target', 'GET /a  HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['H28 a tab', 'GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['H28 a space at the end', 'GET /a HTTP/1.1 \r\nHost: a\r\n\r\n'],
  ['H28 a space at the start', ' GET /a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['H28 HTTP/0.9', 'GET /a\r\n'],
  ...[
    'HTTP/1.1x',
    'HTTP/01.1',
    'http/1.1',
    'HTTP/1.',
    'HTTP/1',
    'HTTP/1.10',
    'HTTP 1.1',
    'HTP/1.1',
    'HTTP/a.1',
    '',
  ].map((version): [string, string] => [`H28 version ${version}`, `GET /a ${version}\r\nHost: a\r\n\r\n`]),
  ...['HTTP/2.0', 'HTTP/0.9', 'HTTP/9.9'].map((version): [string, string, number] => [
    `H28 ${version}`,
    `GET /a ${version}\r\nHost: a\r\n\r\n`,
    505,
  ]),
  ['H29 the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400, 505]],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['many empty lines', '\r\n'.repeat(20) + get('A: b')],
  ['H33 an unknown expectation', get('Expect: 200-ok'), 417],
];

describe('refused', () => {
  test.each(REFUSED)('%s', async (_row, bytes, status = 400) => {
    await expectRefused(target, bytes + SMUGGLED, status);
  });

  test.each(REFUSED)('%s, byte by byte', async (_row, bytes, status = 400) => {
    const whole = bytes + SMUGGLED;
    const pieces = whole.length > 400 ? [whole.slice(0, 40), whole.slice(40)] : Array.from(whole);
    await expectRefused(target, pieces, status);
  });
});

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
