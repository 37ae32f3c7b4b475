// What a Node handler sees of a request.

import { IncomingMessage, type IncomingHttpHeaders, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { request, serving } from './serving.js';

test('request and response are genuine objects of Node', async () => {
  let genuine: unknown;
  await using target = await serving((req, res) => {
    genuine = [req instanceof IncomingMessage, res instanceof ServerResponse, res.req === req];
    res.end();
  });
  await target.ask(request('GET /'));
  expect(genuine).toEqual([true, true, true]);
});

test('the head is as the client sent it', async () => {
  const seen: unknown[] = [];
  await using target = await serving((req, res) => {
    seen.push(req.method, req.url, req.httpVersion, req.rawHeaders);
    res.end();
  });
  await target.ask(request('GET /a/../b%2Fc/d?x=%zz&y', 'X-One: 1', 'x-ONE:  2 '));
  expect(seen).toEqual(['GET', '/a/../b%2Fc/d?x=%zz&y', '1.1', ['Host', 'a', 'X-One', '1', 'x-ONE', '2']]);
});

test('headers are joined as Node joins them', async () => {
  let headers: IncomingHttpHeaders = {};
  let distinct: unknown;
  await using target = await serving((req, res) => {
    ({ headers } = req);
    distinct = req.headersDistinct['x-one'];
    res.end();
  });
  await target.ask(
    request(
      'GET /',
      'X-One: 1',
      'X-One: 2',
      'Cookie: a=1',
      'Cookie: b=2',
      'User-Agent: x',
      'User-Agent: y',
      'Set-Cookie: s',
    ),
  );
  expect(headers).toEqual({
    host: 'a',
    'x-one': '1, 2',
    cookie: 'a=1; b=2',
    'user-agent': 'x',
    'set-cookie': ['s'],
  });
  expect(distinct).toEqual(['1', '2']);
});

test('the same header names as before give the values of this request', async () => {
  const seen: unknown[] = [];
  await using target = await serving((req, res) => {
    seen.push([req.headers['x-one'], req.rawHeaders.at(-2)]);
    res.end();
  });
  const client = await target.connect();
  for (const line of ['X-One: 1', 'X-One: 2', 'X-ONE: 3', 'x-one: 4']) {
    await client.send(request('GET /', line));
    await client.response();
  }
  client.close();
  expect(seen).toEqual([
    ['1', 'X-One'],
    ['2', 'X-One'],
    ['3', 'X-ONE'],
    ['4', 'x-one'],
  ]);
});

test('the socket tells who asks, and takes what people do to it', async () => {
  let seen: unknown;
  await using target = await serving((req, res) => {
    const { socket } = req;
    socket.setNoDelay(true).setKeepAlive(true, 1000).setTimeout(0).ref().unref();
    seen = {
      remoteAddress: socket.remoteAddress,
      remoteFamily: socket.remoteFamily,
      hasPort: typeof socket.remotePort === 'number',
      localPort: socket.localPort,
      encrypted: 'encrypted' in socket,
      same: [req.connection === socket, res.socket === socket],
      readyState: socket.readyState,
    };
    res.end();
  });
  await target.ask(request('GET /'));
  expect(seen).toEqual({
    remoteAddress: '127.0.0.1',
    remoteFamily: 'IPv4',
    hasPort: true,
    localPort: target.port,
    encrypted: false,
    same: [true, true],
    readyState: 'open',
  });
});

test('a handler on a mount sees the whole URL', async () => {
  const seen: (string | undefined)[] = [];
  const node = (req: IncomingMessage, res: ServerResponse): void => {
    seen.push(req.url);
    res.end();
  };
  await using target = await serving(node, { node: undefined, mounts: [{ path: '/api', node }] });
  // As they came, whatever the mount was found by; of bytes beyond ASCII each is a character, as on Node's own server.
  const urls = ['/api/users?x=1', '//api//users/%2F', '/%61pi/caf\u00c3\u00a9?\u00ea\u00b4\u0080', '/x/../api'];
  for (const url of urls) await target.ask(request(`GET ${url}`));
  expect(seen).toEqual(urls);
  for (const url of ['/api/\u00e9', '/api?\u00c0\u00af', '/api//../x', '/x/.//api']) {
    expect((await target.ask(request(`GET ${url}`))).status).toBe(400);
  }
  expect(seen).toEqual(urls);
  expect((await target.ask(request('GET /other'))).status).toBe(404);
});
