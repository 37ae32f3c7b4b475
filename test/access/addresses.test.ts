// Who may enter, by address: one guard in front of every kind of mount.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { RawClient } from '../http/raw-client.js';
import { KINDS, site } from './site.js';

const from = (address: string): { headers: Record<string, string> } => ({ headers: { 'X-Forwarded-For': address } });

describe('allow and deny', () => {
  const folder = new Folder();
  let server: Gwanmun;
  beforeAll(async () => {
    const own = { allow: ['192.0.2.0/24', '2001:db8::/32'], deny: ['192.0.2.128/25'] };
    server = await site(folder, own, { trustedProxies: ['127.0.0.1'] });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test.each(KINDS)('A82 A85 are asked before anything else: %s', async (path) => {
    for (const address of ['192.0.2.7', '2001:db8::7', '::ffff:192.0.2.7'])
      expect((await get(server.port, path, from(address))).status, address).toBeLessThan(400);
    for (const address of ['192.0.2.200', '198.51.100.1', '2001:db9::1', '127.0.0.1'])
      expect((await get(server.port, path, from(address))).status, address).toBe(403);
    // The proxy itself is no client of theirs.
    expect((await get(server.port, path)).status).toBe(403);
  });

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS', 'BREW', 'get'])('A2 A26 hold for %s', async (method) => {
    for (const path of KINDS)
      expect((await get(server.port, path, { ...from('198.51.100.1'), method })).status, path).toBe(403);
  });

  // A9–A14, A18, A22: however the path is written, the guard is that of the mount that would answer.
  test.each([
    '/./files/',
    '/x/../files/',
    '/%2e/files/',
    '/x/%2e%2e/files/',
    '/files/.',
    '/%66iles/',
    '/file%73/index.html',
    '/files%2F',
    '/files%2findex.html',
    '//files/',
    '/files//index.html',
  ])('A9–A11 hold for %s', async (path) => {
    const { status } = await get(server.port, path, from('198.51.100.1'));
    expect([400, 403, 404]).toContain(status);
    if (status !== 403) expect((await get(server.port, path, from('192.0.2.7'))).status).not.toBe(200);
  });

  test('A13 hold for the absolute form', async () => {
    const client = await RawClient.connect({ port: server.port });
    await client.send('GET http://x/files/ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n');
    expect((await client.response()).status).toBe(403);
    client.close();
  });

  test('a body is not waited for', async () => {
    const client = await RawClient.connect({ port: server.port });
    await client.send('POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n');
    expect((await client.response()).status).toBe(403);
    client.close();
  });
});

test('A5 a mount has the guards of those around it, and of the whole; allow: "all" opens it', async () => {
  using folder = new Folder();
  const mount = (path: string, rules: Record<string, unknown> = {}): Record<string, unknown> => ({
    path,
    respond: path,
    ...rules,
  });
  await using server = await Gwanmun.start(folder, {
    trustedProxies: ['127.0.0.1'],
    deny: ['203.0.113.0/24'],
    mounts: [
      mount('/'),
      mount('/admin', { allow: ['192.0.2.0/24'] }),
      mount('/admin/deep', { deny: ['192.0.2.9'] }),
      mount('/admin/open', { allow: 'all' }),
      mount('/admin/open/again', { allow: ['198.51.100.0/24'] }),
      mount('/administrator'),
    ],
  });
  const statuses = async (address: string): Promise<number[]> => {
    const paths = ['/', '/admin/x', '/admin/deep', '/admin/open', '/admin/open/again', '/administrator'];
    return Promise.all(paths.map(async (path) => (await get(server.port, path, from(address))).status));
  };
  expect(await statuses('192.0.2.1')).toEqual([200, 200, 200, 200, 403, 200]);
  expect(await statuses('192.0.2.9')).toEqual([200, 200, 403, 200, 403, 200]);
  expect(await statuses('198.51.100.1')).toEqual([200, 403, 403, 200, 200, 200]);
  expect(await statuses('203.0.113.1')).toEqual([403, 403, 403, 200, 403, 403]);
});

test('the whole has a guard in front of what is no mount, and of OPTIONS *', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    allow: ['192.0.2.1'],
    mounts: [{ path: '/a', respond: 'a' }],
  });
  expect((await get(server.port, '/none')).status).toBe(403);
  expect((await get(server.port, '*', { method: 'OPTIONS' })).status).toBe(403);
});

test('A137 the access log says why', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    accessLog: 'json',
    mounts: [{ path: '/', respond: 'a', deny: ['127.0.0.0/8'] }],
  });
  expect((await get(server.port, '/')).status).toBe(403);
  const [line] = await server.prints(/^\{.*"status":403.*\}$/m);
  expect(JSON.parse(line)).toMatchObject({ status: 403, reason: 'the address is denied' });
});
