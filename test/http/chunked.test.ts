// Chunked request bodies: decoded by the letter, however they are split.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
beforeAll(async () => void (target = await record({ limits: { body: 4 * 1024 * 1024 } })));
afterAll(() => target[Symbol.asyncDispose]());

const HEAD = request('POST /a', 'Transfer-Encoding: chunked');

const REFUSED: [row: string, body: string, status?: number][] = [
  ['H8 empty size', '\r\nhello\r\n0\r\n\r\n'],
  ...[
    '0x5',
    '+5',
    '-1',
    '1_0',
    ' 5',
    '5 ',
    '\t5',
    'g',
    '5.',
    '"5"',
    '11111111111111111',
    '00000000000000005',
    'ffffffffffffffff',
    '8000000000000000',
  ].map((size): [string, string] => [`H8 size ${JSON.stringify(size)}`, `${size}\r\nhello\r\n0\r\n\r\n`]),
  ['H9 data longer than its size', '5\r\nhello!\r\n0\r\n\r\n'],
  ['H9 data shorter than its size', '5\r\nhell\r\n0\r\n\r\n'],
  ['H9 data without line end', '5\r\nhello0\r\n\r\n'],
  ['H9 data ends in LF', '5\r\nhello\n0\r\n\r\n'],
  ['H9 data ends in CR', '5\r\nhello\r0\r\n\r\n'],
  ['H9 size ends in LF', '5\nhello\r\n0\r\n\r\n'],
  ['H9 size ends in CR', '5\rhello\r\n0\r\n\r\n'],
  ['H9 last chunk ends in LF', '0\n\r\n'],
  ['H9 body ends in LF', '0\r\n\n'],
  ['H9 body ends in CR', '0\r\n\rX'],
  ['H10 bare ;', '5;\r\nhello\r\n0\r\n\r\n'],
  ['H10 extension without a name', '5;=x\r\nhello\r\n0\r\n\r\n'],
  ['H10 extension without its value', '5;a=\r\nhello\r\n0\r\n\r\n'],
  ['H10 no token', '5;a@b\r\nhello\r\n0\r\n\r\n'],
  ['H10 NUL', '5;a=\x00\r\nhello\r\n0\r\n\r\n'],
  ['H10 NUL in quotes', '5;a="\x00"\r\nhello\r\n0\r\n\r\n'],
  ['H10 LF in an extension', '5;a\nhello\r\n0\r\n\r\n'],
  ['H10 CR in an extension', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
  ['H10 CRLF in quotes', '5;a="\r\n"\r\nhello\r\n0\r\n\r\n'],
  ['H10 quotes that do not end', '5;a="b\r\nhello\r\n0\r\n\r\n'],
  ['H11 a chunk line of 300 bytes', `5;a=${'b'.repeat(300)}\r\nhello\r\n0\r\n\r\n`],
  ['H11 many extensions', `${`1;${'x'.repeat(200)}\r\na\r\n`.repeat(2000)}0\r\n\r\n`],
  ['H12 folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
  ['H12 trailer without colon', '0\r\nA\r\n\r\n'],
  ['H12 trailer with NUL', '0\r\nA: \x00\r\n\r\n'],
  ['H12 trailer that ends in LF', '0\r\nA: b\n\r\n'],
  ['H12 101 trailers', `0\r\n${'A: b\r\n'.repeat(101)}\r\n`, 431],
  ['H12 trailers of 17 KiB', `0\r\nA: ${'b'.repeat(17 * 1024)}\r\n\r\n`, 431],
  ['H13 200 000 chunks of one byte', '1\r\na\r\n'.repeat(200_000) + '0\r\n\r\n'],
];

describe('refused', () => {
  test.each(REFUSED)('%s', async (_row, body, status = 400) => {
    await expectRefused(target, HEAD + body + SMUGGLED, status);
  });

  test('H9 wherever the bytes are split', async () => {
    const bytes = '5\r\nhello!\r\n0\r\n\r\n' + SMUGGLED;
    for (let at = 1; at < 12; at += 1) await expectRefused(target, [HEAD + bytes.slice(0, at), bytes.slice(at)], 400);
  });
});

describe('accepted', () => {
  const BODY =
    '5;name;other=token;third="quoted \\" text"\r\nhello\r\n00a\r\n, my world\r\nA\r\n0123456789\r\n0\r\nContent-Length: 3\r\nCookie: a=b\r\n\r\n';
  const DECODED = 'hello, my world0123456789';

  test('H10 H12 W24 extensions and trailers are thrown away; CONTENT_LENGTH is there', async () => {
    expect((await target.ask(HEAD + BODY)).status).toBe(200);
    const { body, environ } = last(target);
    expect(body.toString()).toBe(DECODED);
    expect(environ['CONTENT_LENGTH']).toBe(String(DECODED.length));
    expect(Object.keys(environ).filter((key) => key.startsWith('HTTP_'))).toEqual(['HTTP_HOST']);
  });

  test('W24 whatever two pieces it comes in, and what follows is the next request', async () => {
    const client = await target.connect();
    const bytes = HEAD + BODY;
    for (let at = HEAD.length - 3; at < bytes.length; at += 1) {
      await client.send(bytes.slice(0, at));
      await client.send(bytes.slice(at) + request(`GET /after/${at}`));
      await client.response();
      await client.response();
      expect(target.seen.at(-2)?.body.toString(), `split at ${at}`).toBe(DECODED);
      expect(last(target).uri).toBe(`/after/${at}`);
    }
    client.close();
  });

  test('W24 byte by byte', async () => {
    const client = await target.connect();
    for (const byte of HEAD + BODY) await client.send(byte);
    await client.response();
    expect(last(target).body.toString()).toBe(DECODED);
    client.close();
  });

  test('H13 some chunks of one byte', async () => {
    expect((await target.ask(`${HEAD}${'1\r\na\r\n'.repeat(10_000)}0\r\n\r\n`)).status).toBe(200);
    expect(last(target).body.equals(Buffer.alloc(10_000, 'a'))).toBe(true);
    await expectAlive(target);
  });

  test('an empty body', async () => {
    expect((await target.ask(`${HEAD}0\r\n\r\n`)).status).toBe(200);
    expect(last(target)).toMatchObject({ body: Buffer.alloc(0), environ: { CONTENT_LENGTH: '0' } });
  });
});
