/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test keeps what it uses beside it */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Application } from '../../src/gateway/types.js';
import type { Server } from '../../src/in-process.js';
import { serve } from '../../src/serve.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close({ graceMs: 0 });
});

async function serving(application: Application): Promise<Server> {
  const server = await serve({ application, port: 0, threads: 2 });
  servers.push(server);
  return server;
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('serve() with the real core', () => {
  test('answers a request, whose environ is true', async () => {
    const server = await serving((environ, startResponse) => {
      startResponse('200 OK', [['Content-Type', 'application/json']]);
      return JSON.stringify({ ...environ, 'wsgi.input': 0, 'wsgi.errors': 0 });
    });
    const response = await fetch(`${server.url}caf%C3%A9?a=%20b`, { headers: { 'X-Test': 'yes' } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      REQUEST_METHOD: 'GET',
      SCRIPT_NAME: '',
      PATH_INFO: '/caf\u00c3\u00a9',
      QUERY_STRING: 'a=%20b',
      REQUEST_URI: '/caf%C3%A9?a=%20b',
      SERVER_PORT: String(server.port),
      SERVER_PROTOCOL: 'HTTP/1.1',
      REMOTE_ADDR: '127.0.0.1',
      HTTP_X_TEST: 'yes',
      'wsgi.multiprocess': false,
    });
  });

  test('the environ stays true when the core names the headers by an id', async () => {
    const server = await serving((environ, startResponse) => {
      startResponse('200 OK', []);
      return `${environ.PATH_INFO} ${String(environ['HTTP_X_ONE'])} ${String(environ['HTTP_X_TWO'])}`;
    });
    for (let i = 0; i < 50; i++) {
      const response = await fetch(`${server.url}${i}`, { headers: { 'X-One': `a${i}`, 'X-Two': `b${i}` } });
      expect(await response.text()).toBe(`/${i} a${i} b${i}`);
    }
  });

  test.each([0, 1, 1000, 65_536, 65_537, 3_000_000])(
    'a body of %i bytes arrives whole and goes back whole',
    async (size) => {
      const server = await serving((environ, startResponse) => {
        const body = environ['wsgi.input'].bytes();
        startResponse('200 OK', [['X-Length', environ.CONTENT_LENGTH ?? 'none']]);
        return body;
      });
      const body = Buffer.alloc(size, 'abcdefg\n');
      const response = await fetch(server.url, { method: 'POST', body });
      expect(response.headers.get('x-length')).toBe(String(size));
      expect(response.headers.get('content-length')).toBe(String(size));
      expect(hash(new Uint8Array(await response.arrayBuffer()))).toBe(hash(body));
    },
  );

  test('C11 a chunked body has a CONTENT_LENGTH', async () => {
    const server = await serving((environ, startResponse) => {
      startResponse('200 OK', []);
      return `${environ.CONTENT_LENGTH} ${environ['wsgi.input'].text()}`;
    });
    const chunks = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('one '));
        controller.enqueue(new TextEncoder().encode('two'));
        controller.close();
      },
    });
    const response = await fetch(server.url, { method: 'POST', body: chunks, duplex: 'half' } as RequestInit);
    expect(await response.text()).toBe('7 one two');
  });

  test('W51 the client has a chunk before the next is made', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = await serving(async function* app(_environ, startResponse) {
      startResponse('200 OK', []);
      yield 'first';
      await held;
      yield 'second';
    });
    const reader = (await fetch(server.url)).body!.getReader();
    const text = new TextDecoder();
    expect(text.decode((await reader.read()).value)).toBe('first');
    release();
    expect(text.decode((await reader.read()).value)).toBe('second');
    expect((await reader.read()).done).toBe(true);
  });

  test('a slow client slows the generator down; all of it arrives in the end', async () => {
    let made = 0;
    const chunk = Buffer.alloc(50_000, 'x');
    const server = await serving(function* app(_environ, startResponse) {
      startResponse('200 OK', []);
      for (made = 0; made < 600; made++) yield chunk;
    });
    const [response] = (await once(httpRequest(server.url).end(), 'response')) as [IncomingMessage];
    response.pause();
    let before = -1;
    while (made !== before) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(made).toBeLessThan(600);
    let length = 0;
    for await (const piece of response) length += (piece as Buffer).length;
    expect(length).toBe(30_000_000);
  });

  test('W52 close() is called when the client goes', async () => {
    let closed = (): void => {};
    const closing = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const server = await serving((_environ, startResponse) => {
      startResponse('200 OK', []);
      const body = (async function* chunks() {
        yield 'first';
        await new Promise(() => {});
      })();
      return Object.assign(body, { close: closed });
    });
    const socket = connect(server.port!, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    socket.resetAndDestroy();
    await closing;
  });

  test('W61 W62 errors are a 500 before the headers and a broken connection after them', async () => {
    const server = await serving(function* app(environ, startResponse) {
      if (environ.PATH_INFO === '/early') throw new Error('expected by the test: early');
      startResponse('200 OK', []);
      yield 'part';
      throw new Error('expected by the test: late');
    });
    expect((await fetch(`${server.url}early`)).status).toBe(500);
    await expect(fetch(`${server.url}late`).then((response) => response.text())).rejects.toThrow();
    expect((await fetch(`${server.url}early`)).status).toBe(500);
  });

  test('W57 HEAD has the length that GET has', async () => {
    for (const size of [5, 200_000]) {
      const server = await serving((_environ, startResponse) => {
        startResponse('200 OK', []);
        return Buffer.alloc(size);
      });
      const response = await fetch(server.url, { method: 'HEAD' });
      expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([
        200,
        String(size),
        '',
      ]);
    }
  });

  test('many requests at once, of every kind, are answered', async () => {
    const server = await serving((environ, startResponse) => {
      startResponse('200 OK', [['X-Path', environ.PATH_INFO]]);
      const text = `${environ.PATH_INFO}:${environ['wsgi.input'].text()}`;
      switch (Number(environ.PATH_INFO.slice(1)) % 4) {
        case 0:
          return text;
        case 1:
          return [text].values();
        case 2:
          return Promise.resolve([text, '']);
        default:
          return (async function* chunks() {
            yield text;
          })();
      }
    });
    const answers = await Promise.all(
      Array.from({ length: 400 }, async (_, i) => {
        const response = await fetch(
          `${server.url}${i}`,
          i % 3 === 0 ? {} : { method: 'POST', body: 'b'.repeat(i * 100) },
        );
        return (await response.text()) === `/${i}:${i % 3 === 0 ? '' : 'b'.repeat(i * 100)}`;
      }),
    );
    expect(answers.every(Boolean)).toBe(true);
  });

  test('close() lets a request in progress finish', async () => {
    let arrived = (): void => {};
    let answer = (_text: string): void => {};
    const started = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = await serving((_environ, startResponse) => {
      startResponse('200 OK', []);
      arrived();
      return new Promise<string>((resolve) => {
        answer = resolve;
      });
    });
    const response = fetch(server.url);
    await started;
    const closed = server.close();
    answer('finished');
    expect(await (await response).text()).toBe('finished');
    await closed;
    await expect(fetch(server.url)).rejects.toThrow();
  });

  test('after close() the process ends by itself', async () => {
    const program = `
      import { serve } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
      const server = await serve({ port: 0, application: (environ, startResponse) => (startResponse('200 OK', []), 'ok') });
      const text = await (await fetch(server.url, { headers: { connection: 'close' } })).text();
      await server.close();
      process.stdout.write(text);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (data) => {
      output += String(data);
    });
    const [code] = (await once(child, 'close')) as [number];
    expect([code, output]).toEqual([0, 'ok']);
  });
});
