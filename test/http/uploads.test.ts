// Large request bodies: whole, in a temporary file, handed over as wsgi.input.

import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { serve, type InputStream, type Server } from '../../dist/index.js';
import { RawClient } from './raw-client.js';
import { last, record, request } from './recording-server.js';

const MIB = 1024 * 1024;

/** A server whose application answers with the length and the hash of what it read. */
function hashing(read: (input: InputStream) => Iterable<Uint8Array>): Promise<Server> {
  return serve({
    port: 0,
    limits: { body: 64 * MIB },
    errorLog: { file: '/dev/null' },
    application: (environ, startResponse) => {
      const hash = createHash('sha256');
      for (const piece of read(environ['wsgi.input'])) hash.update(piece);
      startResponse('200 OK', []);
      return `${environ.CONTENT_LENGTH} ${hash.digest('hex')} ${environ['wsgi.input'].read().length}`;
    },
  });
}

const inPieces = function* (input: InputStream): Generator<Uint8Array> {
  for (let piece = input.read(100_000); piece.length > 0; piece = input.read(100_000)) yield piece;
};

/** Random bytes that repeat with a period that divides no buffer's size. */
function body(size: number): Buffer {
  const pattern = randomBytes(65_537);
  return Buffer.alloc(size, pattern);
}

const answerTo = (data: Buffer): string => `${data.length} ${createHash('sha256').update(data).digest('hex')} 0`;

describe('an upload', () => {
  test.each<[row: string, read: (input: InputStream) => Iterable<Uint8Array>]>([
    ['read at once', (input) => [input.bytes()]],
    ['read in pieces', inPieces],
    ['read by lines', (input) => input],
  ])('of 30 MiB arrives, counted and chunked, %s', async (_row, read) => {
    const server = await hashing(read);
    const client = await RawClient.connect({ port: server.port as number });
    const data = body(30 * MIB);
    await client.send(request('POST /a', `Content-Length: ${data.length}`));
    await client.send(data);
    expect((await client.response()).body.toString()).toBe(answerTo(data));
    await client.send(request('POST /a', 'Transfer-Encoding: chunked'));
    for (let at = 0; at < data.length; at += 777_777) {
      const piece = data.subarray(at, at + 777_777);
      await client.send(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
    }
    await client.send(`0\r\n\r\n${request('POST /b', 'Content-Length: 2')}hi`);
    expect((await client.response()).body.toString()).toBe(answerTo(data));
    expect((await client.response()).body.toString()).toBe(answerTo(Buffer.from('hi')));
    client.close();
    await server.close();
  });

  test.each([65_535, 65_536, 65_537, 131_072, 262_143, 262_144, 262_145, 327_680, 327_681])(
    'of %i bytes, at the edge of memory and file',
    async (size) => {
      const server = await hashing(inPieces);
      const client = await RawClient.connect({ port: server.port as number });
      const data = body(size);
      await client.send(
        Buffer.concat([
          Buffer.from(request('POST /a', `Content-Length: ${size}`)),
          data,
          Buffer.from(request('GET /next')),
        ]),
      );
      expect((await client.response()).body.toString()).toBe(answerTo(data));
      expect((await client.response()).body.toString()).toMatch(/^undefined /);
      client.close();
      await server.close();
    },
  );

  test('many at once do not mix', async () => {
    const server = await hashing(inPieces);
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const client = await RawClient.connect({ port: server.port as number });
        const data = body(500_000 + index);
        await client.send(Buffer.concat([Buffer.from(request('POST /a', `Content-Length: ${data.length}`)), data]));
        expect((await client.response()).body.toString()).toBe(answerTo(data));
        client.close();
      }),
    );
    await server.close();
  });
});

test('a client that closes its sending side right behind a large body gets its answer', async () => {
  await using target = await record();
  const body = 'x'.repeat(300_000);
  for (let round = 0; round < 20; round += 1) {
    const bytes = `${request('POST /a', `Content-Length: ${body.length}`)}${body}`;
    const client = RawClient.connectAndSend({ port: target.port }, bytes);
    expect((await client.response()).status).toBe(200);
    expect(last(target).body.length).toBe(body.length);
    client.close();
  }
});
