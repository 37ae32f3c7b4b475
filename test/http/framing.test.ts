// Where a request ends: Content-Length, Transfer-Encoding, and never a second request out of a body.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient } from './raw-client.js';
import {
  expectAlive,
  expectRefused,
  last,
  record,
  request,
  SMUGGLED,
  type RecordingServer,
} from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const post = (...headers: string[]): string => request('POST /a', ...headers);

const REFUSED: [row: string, request: string, status: number | number[]][] = [
  [
    'H1 Content-Length and Transfer-Encoding',
    `${post('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    400,
  ],
  ['H1 the same the other way round', `${post('Transfer-Encoding: chunked', 'Content-Length: 5')}0\r\n\r\n`, 400],
  [
    'H1 Content-Length 0 and Transfer-Encoding',
    `${post('Content-Length: 0', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    400,
  ],
  ['H2 Transfer-Encoding in HTTP/1.0', 'POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ...['chunked, gzip', 'identity', 'xchunked', 'gzip', 'chunked;x', '', '"chunked"'].map(
    (value): (typeof REFUSED)[0] => [
      `H3 Transfer-Encoding: ${value}`,
      `${post(`Transfer-Encoding: ${value}`)}0\r\n\r\n`,
      [400, 501],
    ],
  ),
  ['H3 gzip, chunked', `${post('Transfer-Encoding: gzip, chunked')}0\r\n\r\n`, 501],
  [
    'H4 two Transfer-Encoding lines',
    `${post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    400,
  ],
  [
    'H4 identity, then chunked',
    `${post('Transfer-Encoding: identity', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    [400, 501],
  ],
  ...['chunked, chunked', ', chunked', 'chunked,', 'chunked ,', 'chunked chunked'].map((value): (typeof REFUSED)[0] => [
    `H4 Transfer-Encoding: ${value}`,
    `${post(`Transfer-Encoding: ${value}`)}0\r\n\r\n`,
    400,
  ]),
  ...[
    '\x0bchunked',
    '\x0cchunked',
    '\x00chunked',
    'chunked\x00',
    '\xa0chunked',
    'chunked\x0b',
    '\r\n chunked',
    '\n chunked',
  ].map((value): (typeof REFUSED)[0] => [
    `H5 Transfer-Encoding: ${JSON.stringify(value)}`,
    `${post(`Transfer-Encoding: ${value}`)}0\r\n\r\n`,
    400,
  ]),
  ...[
    'Transfer-Encoding : chunked',
    '\tTransfer-Encoding: chunked',
    'Transfer-Encoding\x00: chunked',
    'Transfer-Encoding\r: chunked',
  ].map((line): (typeof REFUSED)[0] => [`H5 ${JSON.stringify(line)}`, `${post(line)}0\r\n\r\n`, 400]),
  ['H6 two lengths that differ', `${post('Content-Length: 0', 'Content-Length: 44')}`, 400],
  ['H6 the same length twice', `${post('Content-Length: 5', 'Content-Length: 5')}hello`, 400],
  ['H6 a list of lengths', `${post('Content-Length: 5, 6')}hello`, 400],
  ['H6 a list of the same length', `${post('Content-Length: 5, 5')}hello`, 400],
  ...[
    '',
    '+5',
    '-0',
    '-5',
    '0x5',
    '5 5',
    '1_0',
    '5;',
    '5,',
    '5.0',
    '5e0',
    '\u00b2',
    '9223372036854775808',
    '18446744073709551621',
    '9'.repeat(60),
  ].map((value): (typeof REFUSED)[0] => [
    `H7 Content-Length: ${value}`,
    `${post(`Content-Length: ${value}`)}hello`,
    400,
  ]),
  ['H55 the largest Content-Length', post('Content-Length: 9223372036854775807'), 413],
];

describe('refused', () => {
  test.each(REFUSED)('%s', async (_row, bytes, status) => {
    await expectRefused(target, bytes + SMUGGLED, status);
  });
});

describe('a body never becomes a request', () => {
  test.each<[row: string, request: string]>([
    ['H32 GET with a body', request('GET /a', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
    ['H32 HEAD with a body', request('HEAD /a', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
    ['H32 OPTIONS with a body', request('OPTIONS /a', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
    ['H32 OPTIONS * with a body', request('OPTIONS *', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
    [
      'H32 GET with a chunked body',
      `${request('GET /a', 'Transfer-Encoding: chunked')}${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ],
    [
      'H5 white space around the coding',
      `${post('Transfer-Encoding: \t chunked \t')}${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ],
    ['W23 POST', post(`Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
  ])('%s', async (_row, bytes) => {
    target.seen.length = 0;
    const client = await target.connect();
    await client.send(bytes + request('GET /next'));
    await client.response(bytes.slice(0, 4) === 'HEAD' ? 'HEAD' : 'GET');
    expect((await client.response()).status).toBe(200);
    expect(target.seen.map(({ uri }) => uri).filter((uri) => uri !== '/a')).toEqual(['/next']);
    client.close();
  });
});

describe('wsgi.input ends where the body ends', () => {
  test('W22 with a length, though the next request is there already', async () => {
    const client = await target.connect();
    await client.send(post('Content-Length: 5') + 'hello' + request('GET /next'));
    expect([(await client.response()).status, (await client.response()).status]).toEqual([200, 200]);
    expect(target.seen.at(-2)).toMatchObject({ body: Buffer.from('hello'), environ: { CONTENT_LENGTH: '5' } });
    expect(last(target).uri).toBe('/next');
    client.close();
  });

  test('W22 over-reading gives nothing, again and again', async () => {
    const reads: number[][] = [];
    await using own = await record({
      answer: (environ, startResponse) => {
        const input = environ['wsgi.input'];
        reads.push([input.read().length, input.read(100).length, input.readline().length, input.bytes().length]);
        startResponse('200 OK', []);
        return [];
      },
    });
    const client = await own.connect();
    await client.send(post('Content-Length: 5') + 'hello' + request('GET /next'));
    await client.response();
    await client.response();
    expect(reads).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ]);
    client.close();
  });

  test('W23 a body of 1 MB that the application ignores does not disturb the connection', async () => {
    const seen: string[] = [];
    const server = await serve({
      port: 0,
      application: (environ, startResponse) => {
        seen.push(environ.REQUEST_URI);
        startResponse('200 OK', []);
        return 'ok';
      },
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(post('Content-Length: 1000000') + SMUGGLED.padEnd(1_000_000, 'x') + request('GET /next'));
    expect([(await client.response()).status, (await client.response()).status]).toEqual([200, 200]);
    expect(seen).toEqual(['/a', '/next']);
    client.close();
    await server.close();
  });

  test('a length of 0 is a body that is there and empty', async () => {
    await target.ask(post('Content-Length: 0'));
    expect(last(target)).toMatchObject({ body: Buffer.alloc(0), environ: { CONTENT_LENGTH: '0' } });
    await expectAlive(target);
  });
});
