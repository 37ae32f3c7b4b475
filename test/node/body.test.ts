// What a Node handler reads of a request's body.

import type { IncomingMessage } from 'node:http';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { header } from '../http/raw-client.js';
import { request, serving } from './serving.js';

const MIB = 1024 * 1024;
const POST = (body: string, ...headers: string[]): string =>
  request('POST /', `Content-Length: ${Buffer.byteLength(body)}`, ...headers) + body;

const ways: Record<string, (req: IncomingMessage) => Promise<string>> = {
  data: (req) =>
    new Promise((resolve, reject) => {
      let body = '';
      req.setEncoding('utf8');
      req.on('data', (piece: string) => (body += piece));
      req.on('end', () => resolve(body));
      req.on('error', reject);
    }),
  readable: (req) =>
    new Promise((resolve) => {
      let body = '';
      req.on('readable', () => {
        for (let piece = req.read() as Buffer | null; piece !== null; piece = req.read() as Buffer | null)
          body += String(piece);
      });
      req.on('end', () => resolve(body));
    }),
  'for await': text,
};

describe.each([true, false])('streamed: %s', (stream) => {
  test.each(Object.keys(ways))('read by %s', async (way) => {
    const read = ways[way] as (req: IncomingMessage) => Promise<string>;
    await using target = await serving(async (req, res) => res.end(`${await read(req)} ${req.complete}`), { stream });
    const client = await target.connect();
    await client.send(POST('first') + POST('second') + request('GET /'));
    for (const body of ['first true', 'second true', ' true'])
      expect(String((await client.response()).body)).toBe(body);
    client.close();
  });

  test('a chunked one looks like a body to frameworks', async () => {
    await using target = await serving(
      async (req, res) => {
        const { 'content-length': length, 'transfer-encoding': coding } = req.headers;
        res.end(JSON.stringify({ length, coding, body: await text(req) }));
      },
      { stream },
    );
    const response = await target.ask(
      `${request('POST /', 'Transfer-Encoding: chunked')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
    );
    expect(JSON.parse(String(response.body))).toEqual(
      stream ? { coding: 'chunked', body: 'abcde' } : { length: '5', body: 'abcde' },
    );
  });

  test('a large one arrives whole', async () => {
    await using target = await serving(
      (req, res) => {
        const hash = createHash('sha256');
        req.on('data', (piece: Buffer) => hash.update(piece)).on('end', () => res.end(hash.digest('hex')));
      },
      { stream },
    );
    const body = Buffer.alloc(8 * MIB, 'abcdefg');
    const client = await target.connect();
    await client.send(request('PUT /', `Content-Length: ${body.length}`));
    await client.send(body);
    expect(String((await client.response()).body)).toBe(createHash('sha256').update(body).digest('hex'));
    client.close();
  });

  test('one that nobody reads does not disturb the next request', async () => {
    await using target = await serving((req, res) => void res.end(req.method), { stream });
    const client = await target.connect();
    await client.send(POST('unread') + request('GET /'));
    expect(String((await client.response()).body)).toBe('POST');
    expect(String((await client.response()).body)).toBe('GET');
    client.close();
  });
});

describe('a streamed one', () => {
  test('comes as the client sends it', async () => {
    let piece: (text: string) => void = () => {};
    await using target = await serving((req, res) => {
      req.on('data', (bytes: Buffer) => piece(String(bytes)));
      req.on('end', () => res.end('done'));
    });
    const client = await target.connect();
    await client.send(request('POST /', 'Content-Length: 4'));
    for (const half of ['ab', 'cd']) {
      const came = new Promise<string>((resolve) => (piece = resolve));
      await client.send(half);
      expect(await came).toBe(half);
    }
    expect(String((await client.response()).body)).toBe('done');
    client.close();
  });

  test('that is not read holds the client back', async () => {
    let req: IncomingMessage | undefined;
    await using target = await serving(
      (incoming, res) => {
        if (incoming.url === '/other') {
          res.end();
          return;
        }
        req = incoming;
        res.write('waiting');
        incoming.on('end', () => res.end());
      },
      { limits: { body: 64 * MIB } },
    );
    const client = await target.connect();
    await client.send(request('POST /', `Content-Length: ${64 * MIB}`));
    await client.until('waiting\r\n');
    let sent = false;
    const sending = client.send(Buffer.alloc(64 * MIB)).then(() => (sent = true));
    // Whatever the kernel buffers, it is less than that, however many others are served meanwhile.
    for (let i = 0; i < 20; i++) await target.ask(request('GET /other'));
    expect(sent).toBe(false);
    req?.resume();
    await sending;
    expect(await client.chunk()).toHaveLength(0);
    client.close();
  });

  test('that is still read when the response is written is read to its end', async () => {
    let body = 0;
    let ended: () => void = () => {};
    const end = new Promise<void>((resolve) => (ended = resolve));
    await using target = await serving((req, res) => {
      req.on('data', (piece: Buffer) => (body += piece.length));
      req.on('end', () => ended());
      res.end('thanks');
    });
    const client = await target.connect();
    await client.send(request('POST /', `Content-Length: ${2 * MIB}`));
    await client.send(Buffer.alloc(2 * MIB));
    expect(String((await client.response()).body)).toBe('thanks');
    await end;
    expect(body).toBe(2 * MIB);
    client.close();
  });

  test('that a slow pipe reads is read to its end, though the response is written', async () => {
    const seen: number[] = [];
    let ended: () => void = () => {};
    const end = new Promise<void>((resolve) => (ended = resolve));
    await using target = await serving((req, res) => {
      const slow = new Writable({
        highWaterMark: 1,
        write: (piece: Buffer, _encoding, callback) => {
          seen.push(piece.length);
          setImmediate(callback);
        },
        final: (callback) => {
          ended();
          callback();
        },
      });
      req.pipe(slow);
      res.end('thanks');
    });
    const client = await target.connect();
    await client.send(request('POST /', `Content-Length: ${2 * MIB}`));
    await client.send(Buffer.alloc(2 * MIB));
    expect(String((await client.response()).body)).toBe('thanks');
    await end;
    expect(seen.reduce((sum, length) => sum + length, 0)).toBe(2 * MIB);
    client.close();
  });

  test('whose reader stops does not hold the response back', async () => {
    await using target = await serving((req, res) => {
      req.once('data', () => {
        req.pause();
        res.writeHead(413).end('enough');
      });
    });
    const client = await target.connect();
    await client.send(request('POST /', `Content-Length: ${8 * MIB}`) + 'x'.repeat(MIB));
    const response = await client.response();
    expect([response.status, String(response.body)]).toEqual([413, 'enough']);
    client.close();
  });

  test('is not asked for until the handler reads: 100 Continue', async () => {
    await using target = await serving((req, res) => {
      if (req.url === '/no') res.writeHead(401).end();
      else if (req.url === '/continue') {
        res.writeContinue();
        req.on('data', () => {}).on('end', () => res.end('got it'));
      } else req.on('data', () => {}).on('end', () => res.end('got it'));
    });
    for (const path of ['/yes', '/continue']) {
      const client = await target.connect();
      await client.send(request(`POST ${path}`, 'Content-Length: 2', 'Expect: 100-continue'));
      expect((await client.response()).status).toBe(100);
      await client.send('ab');
      expect(String((await client.response()).body)).toBe('got it');
      client.close();
    }
    const response = await target.ask(request('POST /no', 'Content-Length: 2', 'Expect: 100-continue'));
    expect([response.status, header(response, 'connection')]).toEqual([401, 'close']);
  });
});
