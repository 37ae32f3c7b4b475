// A handler that hangs up after it has written: what was written goes out first, as with Node, whose kernel has it by then.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { request, serving } from './serving.js';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

const HUNG_UP: [string, Handler][] = [
  ['end(…), then request.destroy()', (req, res) => (res.end('whole'), req.destroy())],
  ['end(…), then response.destroy()', (_req, res) => (res.end('whole'), res.destroy())],
  ['end(…), then socket.destroy()', (req, res) => (res.end('whole'), req.socket.destroy())],
  ['end(…), then socket.destroySoon()', (req, res) => (res.end('whole'), req.socket.destroySoon())],
  ['end(…), then socket.end()', (req, res) => (res.end('whole'), req.socket.end())],
  ['socket.destroy() in the callback of end', (req, res) => res.end('whole', () => req.socket.destroy())],
  ['socket.end() in a listener of finish', (req, res) => (res.on('finish', () => req.socket.end()), res.end('whole'))],
  [
    'a later end, then socket.destroy()',
    async (req, res) => {
      res.write('wh');
      await turn();
      res.end('ole');
      req.socket.destroy();
    },
  ],
  [
    'a later end of a known length, then socket.end()',
    async (req, res) => {
      res.writeHead(200, { 'Content-Length': 5 });
      res.write('wh');
      await turn();
      res.end('ole');
      req.socket.end();
    },
  ],
  [
    'an answer by hand, then socket.destroy()',
    (req) => {
      req.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole');
      req.socket.destroy();
    },
  ],
  ['a long response, then socket.end()', (req, res) => (res.end('whole'.repeat(100_000)), req.socket.end())],
];

test.each(HUNG_UP)('%s: the client has the response, and its connection ends', async (_what, handler) => {
  await using target = await serving(handler);
  for (const head of [request('GET /'), `${request('POST /', 'Content-Length: 5')}hello`]) {
    const client = await target.connect();
    await client.send(head);
    const { status, body } = await client.response();
    expect([status, String(body).slice(0, 10)]).toEqual([200, expect.stringMatching(/^(whole)+$/)]);
    await client.closed();
  }
});

test('what was written of a body goes out before the connection breaks off', async () => {
  await using target = await serving((_req, res) => {
    res.flushHeaders();
    res.destroy();
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  await client.until('\r\n\r\n');
  await client.closed();
});

test('what was written in the same tick does not, if it is not all: with Node it would not have left the process', async () => {
  await using target = await serving((_req, res) => {
    res.write('part');
    res.destroy();
  });
  const client = await target.connect();
  await client.send(request('GET /'));
  await client.closed();
});

test('a response ends a connection whose upload goes nowhere: nobody waits for the rest', async () => {
  let handled: (req: IncomingMessage) => void = () => {};
  const handling = new Promise<IncomingMessage>((resolve) => (handled = resolve));
  await using target = await serving((req, res) => {
    res.end('ok');
    res.on('finish', () => handled(req));
  });
  const client = await target.connect();
  await client.send(`${request('POST /', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`);
  expect(String((await client.response()).body)).toBe('ok');
  (await handling).destroy();
  await client.closed();
});

test('the rest of an upload that comes in time leaves the connection as it is', async () => {
  await using target = await serving((_req, res) => res.end('ok'));
  const client = await target.connect();
  for (let i = 0; i < 2; i++) {
    await client.send(`${request('POST /', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`);
    expect(String((await client.response()).body)).toBe('ok');
    await client.send('0\r\n\r\n');
  }
  client.close();
});

test.each([
  ['with its head', `${request('POST /', 'Content-Length: 5')}hello`, ''],
  ['behind its head', request('POST /', 'Content-Length: 5'), 'hello'],
  ['in chunks', request('POST /', 'Transfer-Encoding: chunked'), '5\r\nhello\r\n0\r\n\r\n'],
])('a body that nobody reads and that comes %s: the request is complete', async (_what, head, rest) => {
  await using target = await serving(async (req, res) => {
    const before = req.complete;
    while (!req.complete) await turn();
    req.setEncoding('utf8');
    const [text] = (await once(req, 'data')) as [string];
    res.end(`${before} ${text}`);
  });
  const client = await target.connect();
  await client.send(head);
  await turn();
  if (rest !== '') await client.send(rest);
  expect(String((await client.response()).body)).toBe('false hello');
  client.close();
});

test('the socket of a request closes with it', async () => {
  const open = new Set<Socket>();
  const seen: string[] = [];
  await using target = await serving((req, res) => {
    open.add(req.socket);
    req.socket.once('close', (failed) => {
      open.delete(req.socket);
      seen.push(`socket ${failed}`);
    });
    res.on('close', () => seen.push('response'));
    if (req.url === '/read') req.resume().on('end', () => res.end());
    else setImmediate(() => res.end());
  });
  const client = await target.connect();
  for (const head of [request('GET /'), `${request('POST /read', 'Content-Length: 2')}ab`]) {
    await client.send(head);
    await client.response();
  }
  await turn();
  expect(seen).toEqual(['response', 'socket false', 'response', 'socket false']);
  expect(open.size).toBe(0);
  client.close();
});

test('what has come of a body can be read when the client has left', async () => {
  let handled: (req: IncomingMessage) => void = () => {};
  const handling = new Promise<IncomingMessage>((resolve) => (handled = resolve));
  await using target = await serving((req) => handled(req));
  const client = await target.connect();
  await client.send(`${request('POST /', 'Content-Length: 5')}hello`);
  const req = await handling;
  while (!req.complete) await turn();
  req.on('error', () => {});
  client.reset();
  await new Promise((resolve) => req.once('close', resolve));
  expect(String(req.read())).toBe('hello');
});
