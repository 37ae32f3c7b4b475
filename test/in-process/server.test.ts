// serve() as a program uses it, with the real core.

import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Application, ApplicationResult, StartResponse } from '../../src/gateway/types.js';
import type { Server } from '../../src/in-process.js';
import { serve, type ServeOptions } from '../../src/serve.js';
import { header, RawClient } from '../http/raw-client.js';
import { Client, get } from '../workers/http-client.js';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 0 })));
});

async function serving(
  application: Application,
  options: ServeOptions = {},
): Promise<{ server: Server; port: number }> {
  const server = await serve({ application, port: 0, hostname: '127.0.0.1', threads: 2, ...options });
  servers.push(server);
  return { server, port: server.port as number };
}

/** An application that answers when the test says so. */
function held(): { application: Application; begun: Promise<void>; release: () => void } {
  let release = (): void => {};
  let begin = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const application: Application = async (_environ, startResponse) => {
    startResponse('200 OK', []);
    begin();
    await released;
    return 'released';
  };
  return { application, begun, release };
}

const isRefused = async (port: number): Promise<boolean> =>
  Client.connect(port).then(
    (client) => {
      client.destroy();
      return false;
    },
    () => true,
  );

describe('closing', () => {
  test('by an AbortSignal', async () => {
    const controller = new AbortController();
    const { server, port } = await serving(() => [], { signal: controller.signal });
    controller.abort();
    await server.close();
    expect(await isRefused(port)).toBe(true);
  });

  test('by await using', async () => {
    let port: number;
    {
      await using server = await serve({ application: held().application, port: 0, hostname: '127.0.0.1' });
      port = server.port as number;
      expect(await isRefused(port)).toBe(false);
    }
    expect(await isRefused(port)).toBe(true);
  });

  test('waits for a request in progress, and takes no new ones', async () => {
    const { application, begun, release } = held();
    const { server, port } = await serving(application);
    const client = await Client.connect(port);
    client.get('/');
    await begun;
    let isClosed = false;
    const closed = server.close().then(() => (isClosed = true));
    await expect.poll(() => isRefused(port)).toBe(true);
    expect(isClosed).toBe(false);
    release();
    expect(await client.answer()).toMatchObject({ status: 200, complete: true });
    await closed;
  });

  test('answers every request of a pipeline that has come', async () => {
    let release = (): void => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    let allBegun = (): void => {};
    const begun = new Promise<void>((resolve) => (allBegun = resolve));
    let count = 0;
    const { server, port } = await serving(
      async ({ PATH_INFO }, startResponse) => {
        startResponse('200 OK', []);
        count += 1;
        if (count === 3) allBegun();
        await released;
        return PATH_INFO;
      },
      { threads: 1 },
    );
    const client = await RawClient.connect({ port });
    await client.send(['/1', '/2', '/3'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
    await begun;
    const closed = server.close();
    while (!(await isRefused(port))) await turn();
    release();
    const answers = [await client.response(), await client.response(), await client.response()];
    expect(answers.map((answer) => [String(answer.body), header(answer, 'connection')])).toEqual([
      ['/1', undefined],
      ['/2', undefined],
      ['/3', 'close'],
    ]);
    client.close();
    await closed;
  });

  test('with graceMs 0 cuts it', async () => {
    const { application, begun } = held();
    const { server, port } = await serving(application);
    const client = await Client.connect(port);
    client.get('/');
    await begun;
    await server.close({ graceMs: 0 });
    await client.closed();
    await expect(client.answer()).rejects.toThrow('no response');
  });

  test('ends idle connections at once', async () => {
    const { server, port } = await serving((_environ, startResponse) => {
      startResponse('200 OK', []);
      return 'x';
    });
    const clients = await Promise.all(Array.from({ length: 10 }, () => Client.connect(port)));
    for (const client of clients.slice(0, 5)) {
      client.get('/');
      await client.answer();
    }
    await server.close();
    for (const client of clients) {
      await client.closed();
      expect(client.error).toBeUndefined();
    }
  });

  test('one server leaves another alone', async () => {
    const answering =
      (body: string): Application =>
      (_environ, startResponse) => {
        startResponse('200 OK', []);
        return body;
      };
    const [first, second] = [await serving(answering('first')), await serving(answering('second'))];
    const client = await Client.connect(second.port);
    client.get('/');
    expect((await client.answer()).body.toString()).toBe('second');
    expect((await get(first.port, '/')).body.toString()).toBe('first');
    await first.server.close();
    client.get('/');
    expect((await client.answer()).body.toString()).toBe('second');
    expect(await isRefused(first.port)).toBe(true);
    client.destroy();
  });
});

test('AsyncLocalStorage does not leak from one request of a batch into the next', async () => {
  const storage = new AsyncLocalStorage<string>();
  const faults: string[] = [];
  const check = (when: string, wanted: string | undefined): void => {
    if (storage.getStore() !== wanted) faults.push(`${when}: ${storage.getStore()} instead of ${wanted}`);
  };
  const { port } = await serving((environ, startResponse) => {
    const path = environ.PATH_INFO;
    check('at the start', undefined);
    if (Number(path.slice(1)) % 2 === 1) {
      return storage.run(path, async () => {
        await turn();
        check('in run, after a wait', path);
        startResponse('200 OK', []);
        return path;
      });
    }
    storage.enterWith(path);
    startResponse('200 OK', []);
    if (Number(path.slice(1)) % 3 === 0) return path;
    return (async function* () {
      check('in the generator', path);
      await turn();
      check('after a wait', path);
      yield path;
      check('after a flush', path);
    })();
  });
  const clients = await Promise.all(Array.from({ length: 8 }, () => Client.connect(port)));
  for (let round = 0; round < 10; round++) {
    for (const [index, client] of clients.entries()) {
      const request = (number: number): string => `GET /${number} HTTP/1.1\r\nHost: t\r\n\r\n`;
      client.socket.write(Array.from({ length: 20 }, (_, i) => request(round * 1000 + index * 100 + i)).join(''));
    }
    for (const [index, client] of clients.entries()) {
      for (let i = 0; i < 20; i++)
        expect((await client.answer()).body.toString()).toBe(`/${round * 1000 + index * 100 + i}`);
    }
  }
  expect(faults).toEqual([]);
  for (const client of clients) client.destroy();
});

describe('an application may return', () => {
  const text = 'héllo wörld';
  const parts = ['hé', 'llo ', '', 'wörld'];
  const bytes = (part: string): Uint8Array => new TextEncoder().encode(part);
  async function* later(): AsyncGenerator<string> {
    for (const part of parts) {
      await turn();
      yield part;
    }
  }
  function* pieces(): Generator<string | Uint8Array> {
    for (const [index, part] of parts.entries()) yield index % 2 === 0 ? part : bytes(part);
  }
  const results: [string, (startResponse: StartResponse) => ApplicationResult][] = [
    ['a string', () => text],
    ['a Uint8Array', () => bytes(text)],
    ['a Buffer', () => Buffer.from(text)],
    ['an array', () => parts],
    ['an array of bytes', () => parts.map(bytes)],
    ['a Set', () => new Set(parts)],
    ['a generator', () => pieces()],
    ['an async generator', () => later()],
    ['a ReadableStream', () => ReadableStream.from(parts)],
    ['a promise of a string', async () => text],
    ['a promise of a Uint8Array', async () => bytes(text)],
    ['a promise of an array', async () => parts],
    ['a promise of a generator', async () => pieces()],
    ['a promise of an async generator', async () => later()],
  ];
  test.each(results)('%s', async (_name, result) => {
    const { port } = await serving((environ, startResponse) => {
      startResponse('200 OK', [['Content-Type', 'text/plain; charset=utf-8']]);
      return result(startResponse);
    });
    const client = await Client.connect(port);
    for (let i = 0; i < 3; i++) {
      client.get('/');
      const answer = await client.answer();
      expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, text, true]);
    }
    client.destroy();
  });

  test('nothing but what it gave write()', async () => {
    const { port } = await serving((_environ, startResponse) => {
      const write = startResponse('200 OK', []);
      for (const part of parts) write(part);
      return [];
    });
    const answer = await get(port, '/');
    expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, text, true]);
  });

  test('more after write(), also later', async () => {
    const { port } = await serving(async (_environ, startResponse) => {
      const write = startResponse('200 OK', []);
      write('hé');
      await turn();
      write('llo ');
      return 'wörld';
    });
    expect((await get(port, '/')).body.toString()).toBe(text);
  });
});
