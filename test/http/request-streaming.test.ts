// Request bodies that an application reads while the client sends them.

import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { serve, type Application, type Server } from '../../dist/index.js';
import { deferred } from './deferred.js';
import { RawClient, header } from './raw-client.js';
import { request } from './recording-server.js';

const MIB = 1024 * 1024;

async function streaming(application: Application): Promise<Server> {
  return serve({ port: 0, application, stream: true, limits: { body: 64 * MIB }, errorLog: { file: '/dev/null' } });
}

const hashing: Application = async (environ, startResponse) => {
  const hash = createHash('sha256');
  for await (const chunk of environ['wsgi.input']) hash.update(chunk);
  startResponse('200 OK', []);
  return hash.digest('hex');
};

describe('a streamed upload', () => {
  test('of 20 MiB arrives, counted and chunked, and the connection goes on', async () => {
    await using server = await streaming(hashing);
    const client = await RawClient.connect({ port: server.port as number });
    const data = Buffer.alloc(20 * MIB, randomBytes(65_537));
    const hash = createHash('sha256').update(data).digest('hex');
    await client.send(request('POST /a', `Content-Length: ${data.length}`));
    await client.send(data);
    expect((await client.response()).body.toString()).toBe(hash);
    await client.send(request('POST /a', 'Transfer-Encoding: chunked'));
    for (let at = 0; at < data.length; at += 777_777) {
      const piece = data.subarray(at, at + 777_777);
      await client.send(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
    }
    await client.send(`0\r\n\r\n${request('POST /b', 'Content-Length: 2')}hi`);
    expect((await client.response()).body.toString()).toBe(hash);
    expect((await client.response()).body.toString()).toBe(createHash('sha256').update('hi').digest('hex'));
    client.close();
  });

  test('may be answered while it comes', async () => {
    await using server = await streaming(async function* (environ, startResponse) {
      startResponse('200 OK', []);
      for await (const chunk of environ['wsgi.input']) yield `got ${Buffer.from(chunk).toString()}`;
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(request('POST /echo', 'Transfer-Encoding: chunked'));
    await client.send('3\r\none\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('got one');
    await client.send('3\r\ntwo\r\n');
    expect((await client.chunk()).toString()).toBe('got two');
    await client.send('0\r\n\r\n');
    expect((await client.chunk()).length).toBe(0);
    client.close();
  });

  test('many at once do not mix', async () => {
    await using server = await streaming(hashing);
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const client = await RawClient.connect({ port: server.port as number });
        const data = Buffer.alloc(700_000 + index, randomBytes(1009));
        await client.send(request('POST /a', `Content-Length: ${data.length}`));
        await client.send(data);
        const { body } = await client.response();
        expect(body.toString()).toBe(createHash('sha256').update(data).digest('hex'));
        client.close();
      }),
    );
  });

  test('W25 whose client leaves raises in the application', async () => {
    const seen = deferred<unknown>();
    await using server = await streaming(async (environ, startResponse) => {
      try {
        await environ['wsgi.input'].readAsync();
      } catch (error) {
        seen.resolve((error as { code: unknown }).code);
      }
      startResponse('200 OK', []);
      return '';
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(`${request('POST /a', 'Content-Length: 10')}hello`);
    client.close();
    expect(await seen.promise).toBe('GWM_CLIENT_DISCONNECTED');
  });

  test('W25 that is buffered and not complete reaches no application', async () => {
    let calls = 0;
    await using server = await serve({
      port: 0,
      errorLog: { file: '/dev/null' },
      application: (_environ, startResponse) => {
        calls += 1;
        startResponse('200 OK', []);
        return '';
      },
    });
    const address = { port: server.port as number };
    const client = await RawClient.connect(address);
    await client.send(`${request('POST /a', 'Content-Length: 10')}hello`);
    client.halfClose();
    expect(await client.closed()).toBe('end');
    const next = await RawClient.connect(address);
    await next.send(request('GET /'));
    expect((await next.response()).status).toBe(200);
    expect(calls).toBe(1);
    next.close();
  });
});

describe('W26 Expect: 100-continue', () => {
  test('is answered when the application first reads', async () => {
    const read = deferred();
    await using server = await streaming(async (environ, startResponse) => {
      await read.promise;
      const body = Buffer.from(await environ['wsgi.input'].readAsync());
      startResponse('200 OK', []);
      return body;
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(request('POST /a', 'Content-Length: 5', 'Expect: 100-continue'));
    read.resolve();
    expect((await client.response()).status).toBe(100);
    await client.send('hello');
    const response = await client.response();
    expect([response.status, response.body.toString(), header(response, 'connection')]).toEqual([
      200,
      'hello',
      undefined,
    ]);
    client.close();
  });

  test('is not when it answers without reading; the connection then ends', async () => {
    await using server = await streaming((_environ, startResponse) => {
      startResponse('401 Unauthorized', []);
      return 'no';
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(request('POST /a', 'Content-Length: 5', 'Expect: 100-continue'));
    const response = await client.response();
    expect([response.status, header(response, 'connection')]).toEqual([401, 'close']);
    expect(await client.closed()).toBe('end');
    client.close();
  });
});

test('W23 a body of 1 MiB that nobody reads: the answer, then the end of the connection', async () => {
  await using server = await streaming((_environ, startResponse) => {
    startResponse('200 OK', []);
    return 'unread';
  });
  const client = await RawClient.connect({ port: server.port as number });
  await client.send(request('POST /a', `Content-Length: ${MIB}`));
  await client.send(Buffer.alloc(MIB));
  const response = await client.response();
  expect([response.body.toString(), header(response, 'connection')]).toEqual(['unread', 'close']);
  client.halfClose();
  expect(await client.closed()).toBe('end');
  client.close();
});
