// Frameworks as modules of a configuration, in a worker process, and in this one.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer } from '../../dist/index.js';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

describe('as modules of mounts', () => {
  let gwanmun: Gwanmun;
  let url: string;
  beforeAll(async () => {
    gwanmun = new Gwanmun({
      config: {
        mounts: [
          { path: '/', app: fixture('express-app.mjs') },
          { path: '/koa', app: { node: fixture('koa.mjs') } },
          { path: '/hello', app: fixture('fastify.mjs') },
        ],
      },
    });
    [, url = ''] = await gwanmun.says(/listening on (http:\/\/127\.0\.0\.1:\d+)/);
  });
  afterAll(() => gwanmun[Symbol.asyncDispose]());

  test('Express', async () => {
    const response = await fetch(`${url}/`);
    expect([response.status, response.headers.get('x-powered-by'), await response.text()]).toEqual([
      200,
      'Express',
      'Hello from Express',
    ]);
    expect(response.headers.get('etag')).toMatch(/^W\//);
    // fetch() would say that it wants no cached answer.
    const fresh = get(url, { headers: { 'If-None-Match': response.headers.get('etag') ?? '' }, agent: false });
    const [{ statusCode }] = (await once(fresh, 'response')) as [IncomingMessage];
    expect(statusCode).toBe(304);
    const body = JSON.stringify({ a: ['b'.repeat(50_000)] });
    const echo = await fetch(`${url}/echo`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    expect(await echo.text()).toBe(body);
    expect(await (await fetch(`${url}/file`)).text()).toBe(readFileSync(fixture('express-app.mjs'), 'utf8'));
    expect((await fetch(`${url}/fail`)).status).toBe(500);
    expect((await fetch(`${url}/none`)).status).toBe(404);
  });

  test('a Node handler whose kind the exports say gets a body as it comes, and targets that are no path', async () => {
    const client = await RawClient.connect({ port: Number(new URL(url).port) });
    await client.send('POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
    expect((await client.until('a\r\n')).toString()).toContain('\r\n\r\n1\r\na');
    await client.send('0\r\n\r\n');
    await client.until('0\r\n\r\n');
    await client.send('GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(String((await client.response()).body)).toContain('Failed to decode param');
    client.close();
  });

  test('Koa', async () => {
    const response = await fetch(`${url}/koa/a?b=c`);
    expect(response.headers.get('x-ip')).toBe('127.0.0.1');
    expect(await response.json()).toEqual({ path: '/koa/a', query: { b: 'c' } });
  });

  test('Fastify', async () => {
    expect(await (await fetch(`${url}/hello/world`)).json()).toEqual({ hello: 'world' });
  });
});

test('Fastify with a serverFactory', async () => {
  const app = fastify({ serverFactory: (handler) => createServer(handler), forceCloseConnections: true });
  app.post('/echo', (request, reply) => void reply.send(request.body));
  const address = await app.listen({ port: 0 });
  const response = await fetch(`${address}/echo`, {
    method: 'POST',
    body: '{"a":1}',
    headers: { 'Content-Type': 'application/json' },
  });
  expect(await response.json()).toEqual({ a: 1 });
  await app.close();
});
