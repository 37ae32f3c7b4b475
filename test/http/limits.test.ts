// Limits: what is too large is refused before it costs anything.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  expectRefusal,
  expectRefused,
  expectAlive,
  last,
  record,
  request,
  SMUGGLED,
  type RecordingServer,
} from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record({ limits: { body: 100_000 } })));
afterAll(() => target[Symbol.asyncDispose]());

const lines = (count: number): string[] => Array.from({ length: count }, (_, index) => `A${index}: b`);
const chunk = (length: number): string => `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`;

describe('refused', () => {
  test.each<[row: string, bytes: string, status: number]>([
    ['H30 a request line of 9 KiB', request(`GET /${'a'.repeat(9 * 1024)}`), 414],
    ['H30 a query of 9 KiB', request(`GET /?${'a'.repeat(9 * 1024)}`), 414],
    ['H30 a request line of 1 MiB', request(`GET /${'a'.repeat(1024 * 1024)}`), 414],
    ['H31 a header of 17 KiB', request('GET /a', `A: ${'b'.repeat(17 * 1024)}`), 431],
    [
      'H31 headers of 17 KiB together',
      request('GET /a', ...Array.from({ length: 17 }, () => `A: ${'b'.repeat(1024)}`)),
      431,
    ],
    ['H31 a header name of 17 KiB', request('GET /a', `${'A'.repeat(17 * 1024)}: b`), 431],
    ['H31 headers of 1 MiB', request('GET /a', `A: ${'b'.repeat(1024 * 1024)}`), 431],
    ['H31 101 headers', request('GET /a', ...lines(100)), 431],
    ['H31 5000 short headers', request('GET /a', ...Array.from({ length: 3000 }, () => 'A:')), 431],
    ['H56 a body over the limit, announced', request('POST /a', 'Content-Length: 100001'), 413],
    ['H56 GET with such a body', request('GET /a', 'Content-Length: 100001'), 413],
    [
      'H56 a chunked body over the limit',
      `${request('POST /a', 'Transfer-Encoding: chunked')}${chunk(60_000)}${chunk(40_001)}0\r\n\r\n`,
      413,
    ],
    [
      'H56 one chunk over the limit',
      `${request('POST /a', 'Transfer-Encoding: chunked')}${chunk(100_001)}0\r\n\r\n`,
      413,
    ],
  ])('%s', async (_row, bytes, status) => {
    await expectRefused(target, bytes + SMUGGLED, status);
  });

  test('H56 a body that is announced too large is refused before a byte of it comes', async () => {
    const client = await target.connect();
    await client.send(request('POST /a', 'Content-Length: 100001'));
    await expectRefusal(client, 413);
    client.close();
    await expectAlive(target);
  });

  test('H56 a client that sends on and on after the refusal is cut off', async () => {
    const client = await target.connect();
    await client.send(request('POST /a', 'Content-Length: 1000000000'));
    const piece = Buffer.alloc(64 * 1024);
    let sent = 0;
    for (; !client.socket.destroyed && sent < 1_000_000_000; sent += piece.length) await client.send(piece);
    expect(sent).toBeLessThan(1_000_000_000);
    await expectAlive(target);
  });
});

describe('accepted', () => {
  test('H30 a request line of 8000 bytes', async () => {
    const uri = `/${'a'.repeat(7986)}`;
    expect((await target.ask(request(`GET ${uri}`))).status).toBe(200);
    expect(last(target).uri).toBe(uri);
  });

  test('H31 100 headers, and 16 KiB of them', async () => {
    expect((await target.ask(request('GET /a', ...lines(99)))).status).toBe(200);
    expect(last(target).environ['HTTP_A98']).toBe('b');
    expect((await target.ask(request('GET /a', `A: ${'b'.repeat(16_000)}`))).status).toBe(200);
  });

  test('H56 a body as long as the limit, either way', async () => {
    expect((await target.ask(request('POST /a', 'Content-Length: 100000') + 'x'.repeat(100_000))).status).toBe(200);
    expect(
      (await target.ask(`${request('POST /a', 'Transfer-Encoding: chunked')}${chunk(100_000)}0\r\n\r\n`)).status,
    ).toBe(200);
    expect(last(target).body.length).toBe(100_000);
  });
});
