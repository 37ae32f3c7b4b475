// Clients that leave, handlers that hang up, and handlers that fail.

import { finished } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { request, serving } from './serving.js';

test('a client that leaves: aborted and close on the request, close on the response and the socket', async () => {
  const events: string[] = [];
  let come: (pair: [IncomingMessage, ServerResponse]) => void = () => {};
  const came = new Promise<[IncomingMessage, ServerResponse]>((resolve) => (come = resolve));
  await using target = await serving((req, res) => {
    req.on('aborted', () => events.push('req aborted'));
    req.on('error', (error: NodeJS.ErrnoException) => events.push(`req error ${error.code}`));
    req.on('close', () => events.push('req close'));
    res.on('close', () => events.push('res close'));
    res.on('finish', () => events.push('res finish'));
    req.socket.on('close', () => events.push('socket close'));
    come([req, res]);
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  const [req, res] = await came;
  client.reset();
  await new Promise((resolve) => req.once('close', resolve));
  expect(events.toSorted()).toEqual(['req aborted', 'req close', 'req error ECONNRESET', 'res close', 'socket close']);
  expect([req.destroyed, req.aborted, res.destroyed, res.writableFinished, req.socket.destroyed]).toEqual([
    true,
    true,
    true,
    false,
    true,
  ]);
  // What is written now goes nowhere, and harms nothing.
  expect(res.write('late')).toBe(false);
  res.end();
});

test('a client that leaves within its body: the reader gets an error', async () => {
  let outcome: (error: unknown) => void = () => {};
  const failed = new Promise<unknown>((resolve) => (outcome = resolve));
  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  await using target = await serving((req) => {
    req.on('data', begin);
    finished(req).then(() => outcome('no error'), outcome);
  });
  const client = await target.connect();
  await client.send(`${request('POST /', 'Content-Length: 10')}half`);
  await begun;
  client.reset();
  expect(await failed).toMatchObject({ code: 'ECONNRESET' });
});

test.each([
  ['request.destroy()', (req: IncomingMessage) => void req.destroy()],
  ['response.destroy()', (_req: IncomingMessage, res: ServerResponse) => void res.destroy()],
  ['socket.destroy()', (req: IncomingMessage) => void req.socket.destroy()],
])('%s closes the connection without an answer', async (_what, hangUp) => {
  let closed: () => void = () => {};
  const close = new Promise<void>((resolve) => (closed = resolve));
  await using target = await serving((req, res) => {
    res.on('close', () => closed());
    hangUp(req, res);
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  await client.closed();
  await close;
});

test('destroy() within a body breaks the connection off', async () => {
  await using target = await serving((_req, res) => {
    res.write('part');
    setImmediate(() => res.destroy());
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  await client.until('part\r\n');
  await client.closed();
});

test.each([
  [
    'throws',
    () => {
      throw new Error('no');
    },
  ],
  ['rejects', () => Promise.reject(new Error('no'))],
])('a handler that %s is a 500, and the next request is answered', async (_what, fail) => {
  await using target = await serving((req, res) => (req.url === '/fail' ? fail() : void res.end('fine')));
  expect((await target.ask(request('GET /fail'))).status).toBe(500);
  expect(String((await target.ask(request('GET /'))).body)).toBe('fine');
});

test('a handler that throws within a body breaks the connection off', async () => {
  await using target = await serving(async (_req, res) => {
    res.write('part');
    await turn();
    throw new Error('no');
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  await client.until('part\r\n');
  await client.closed();
});

test('a timeout that nobody hears hangs up; one that is heard is the listener’s', async () => {
  await using target = await serving((req, res) => {
    if (req.url === '/heard') res.setTimeout(10, () => res.end('late'));
    else req.socket.setTimeout(10);
  });
  expect(String((await target.ask(request('GET /heard'))).body)).toBe('late');
  const client = await target.connect();
  await client.send(request('GET /unheard'));
  await client.closed();
});

test('AsyncLocalStorage does not leak from one request of a batch into the next', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: string[] = [];
  await using target = await serving((req, res) => {
    const before = storage.getStore();
    storage.enterWith(req.url as string);
    res.on('finish', () => seen.push(`${req.url} ${storage.getStore()} ${before}`));
    setImmediate(() => res.end('x'));
  });
  const client = await target.connect();
  await client.send(Array.from({ length: 20 }, (_, i) => request(`GET /${i}`)).join(''));
  for (let i = 0; i < 20; i++) await client.response();
  client.close();
  expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => `/${i} /${i} undefined`));
});

test('a client that ends its side has left', async () => {
  let come: (res: ServerResponse) => void = () => {};
  const came = new Promise<ServerResponse>((resolve) => (come = resolve));
  await using target = await serving((_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    come(res);
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  const res = await came;
  await client.until('\r\n\r\n');
  client.halfClose();
  await new Promise((resolve) => res.once('close', resolve));
  await client.closed();
});

test('a client that ends its side at once still gets what the handler has ready in that turn', async () => {
  await using target = await serving(async (_req, res) => {
    await Promise.resolve();
    res.end('ready');
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  client.halfClose();
  expect(String((await client.response()).body)).toBe('ready');
});

test('the error of socket.destroy(error) is told to those who listen', async () => {
  let told: (error: unknown) => void = () => {};
  const error = new Promise<unknown>((resolve) => (told = resolve));
  await using target = await serving((req) => {
    req.socket.on('error', told);
    req.socket.destroy(new Error('boom'));
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  expect(await error).toMatchObject({ message: 'boom' });
  await client.closed();
});
