// Mounts that the core answers itself: fixed answers and redirects.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const folder = new Folder();
let server: Gwanmun;
beforeAll(async () => {
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/robots.txt', respond: 'User-agent: *\n' },
      { path: '/gone', respond: { status: 410, headers: { 'Content-Type': 'text/html' }, body: '<p>gone' } },
      { path: '/nothing', respond: { status: 204 } },
      { path: '/ä', respond: { body: 'ä' } },
      { path: '/old', redirect: '/new' },
      { path: '/moved', redirect: 'https://www.example.org' },
      { path: '/into', redirect: { to: 'https://www.example.org/a/', status: 302 } },
      { path: '/query', redirect: '/find?q=1' },
      { path: '/top', redirect: '/' },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

describe('respond', () => {
  test('is a text, or a status with fields and a body', async () => {
    const robots = await get(server.port, '/robots.txt');
    expect([robots.status, robots.body.toString()]).toEqual([200, 'User-agent: *\n']);
    expect(robots.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'content-length': '14' });
    const gone = await get(server.port, '/gone/deep?a=b');
    expect([gone.status, gone.body.toString(), gone.headers['content-type']]).toEqual([410, '<p>gone', 'text/html']);
    const nothing = await get(server.port, '/nothing');
    expect([nothing.status, nothing.headers['content-length']]).toEqual([204, undefined]);
    expect((await get(server.port, '/%C3%A4')).body.toString()).toBe('ä');
  });

  test('answers every method, and HEAD without the body', async () => {
    for (const method of ['POST', 'DELETE', 'BREW'])
      expect((await get(server.port, '/robots.txt', { method, body: 'x' })).status).toBe(200);
    const head = await get(server.port, '/robots.txt', { method: 'HEAD' });
    expect([head.headers['content-length'], head.body.length]).toEqual(['14', 0]);
  });
});

describe('redirect', () => {
  test.each([
    ['/old', '/new'],
    ['/old/', '/new/'],
    ['/old/a/b?c=d%20e', '/new/a/b?c=d%20e'],
    ['/moved', 'https://www.example.org/'],
    ['/moved/a', 'https://www.example.org/a'],
    ['/into/b', 'https://www.example.org/a/b'],
    ['/query/rest?x=y', '/find?q=1'],
    ['/top', '/'],
    ['/top/a', '/a'],
  ])('A126 keeps what follows the mount, and the query: %s', async (path, location) => {
    const answer = await get(server.port, path);
    expect(answer.headers.location).toBe(location);
    expect(answer.status).toBe(path.startsWith('/into') ? 302 : 308);
    expect(answer.headers['cache-control']).toBe(path.startsWith('/into') ? undefined : 'max-age=86400');
  });

  // A124: what a client writes becomes no authority, no field and no line.
  test.each([
    '/top//evil.example',
    '/top/%2f%2fevil.example',
    '/top/%5cevil.example',
    '/top/%0d%0aX: y',
    '/top/@evil.example',
  ])('A124 stays where the configuration says: %s', async (path) => {
    const answer = await get(server.port, path.replaceAll(' ', '%20'));
    expect(answer.headers['x']).toBeUndefined();
    if (answer.status !== 308) return;
    expect(answer.headers.location).toMatch(/^\/[^/\\]/);
  });
});
