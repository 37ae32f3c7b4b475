// Chunked request bodies as the application gets them. What is refused is in cases.txt.

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

test.each([
  ['H11 many extensions', `${`1;${'x'.repeat(200)}\r\na\r\n`.repeat(2000)}0\r\n\r\n`],
  ['H13 200 000 chunks of one byte', '1\r\na\r\n'.repeat(200_000) + '0\r\n\r\n'],
])('refused: %s', async (_row, body) => {
  await expectRefused(target, HEAD + body + SMUGGLED, 400);
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
