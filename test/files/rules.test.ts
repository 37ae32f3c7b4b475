// What a mount says of its files: other paths that are tried, types, headers, error pages, listings.

import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const folder = new Folder();
let server: Gwanmun;

const ask = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  get(server.port, path, { method, headers });

beforeAll(async () => {
  for (const root of ['site', 'plain']) {
    folder.write(`${root}/index.html`, '<p>index');
    folder.write(`${root}/about.html`, '<p>about');
    folder.write(`${root}/assets/app.1234.js`, 'script()');
    folder.write(`${root}/data.foo`, 'foo');
  }
  folder.write('plain/list/b <i>&".txt', 'b');
  folder.write('plain/list/a.txt', 'aa');
  folder.write('plain/list/sub/x', '');
  folder.write('plain/list/.hidden', '');
  folder.write('plain/list/javascript:alert(1)', '');
  symlinkSync('/etc', folder.at('plain/list/link'));
  folder.write('404.html', '<h1>Not here</h1>');
  folder.write('busy.json', '{"busy":true}');
  folder.write('app.mjs', 'export function application() { throw new Error("no"); }');
  server = await Gwanmun.start(folder, {
    limits: { body: 10 },
    mounts: [
      {
        path: '/',
        files: './site',
        tryFiles: ['$path', '$path.html', '/index.html'],
        types: { '.foo': 'application/x-foo' },
        cacheControl: { '/assets/*': '1y immutable', '*.html': 'no-cache', '*': '10m' },
        headers: { '*': { 'X-Frame-Options': 'DENY', 'X-Rule': 'all' }, '*.js': { 'X-Rule': 'script' } },
      },
      { path: '/plain', files: './plain', nosniff: false, listing: true, errorPages: { 404: './404.html' } },
      { path: '/app', app: './app.mjs', errorPages: { 413: './busy.json', 500: './busy.json' } },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

describe('tryFiles', () => {
  test.each([
    ['/', '<p>index'],
    ['/about.html', '<p>about'],
    ['/about', '<p>about'],
    ['/some/route', '<p>index'],
    ['/some/route/', '<p>index'],
    ['/assets/missing.js', '<p>index'],
  ])('%s', async (path, body) => {
    const answer = await ask(path);
    expect([answer.status, answer.body.toString(), answer.headers['content-type']]).toEqual([
      200,
      body,
      'text/html; charset=utf-8',
    ]);
  });

  test('a folder still gets its slash', async () => {
    const { status, headers } = await ask('/assets');
    expect([status, headers['location']]).toEqual([301, '/assets/']);
  });

  test('H85 what the path says is not expanded again', async () => {
    folder.write('site/$path', 'literal');
    expect((await ask('/$path')).body.toString()).toBe('literal');
    expect((await ask('/about$path')).body.toString()).toBe('<p>index');
  });

  test('what is never served is not found by another name', async () => {
    folder.write('site/.env.html', 'secret');
    expect((await ask('/.env')).status).toBe(404);
  });
});

test('RFC 9111: the first pattern of cacheControl that fits counts, also for a 304', async () => {
  const control = async (path: string): Promise<string | undefined> => (await ask(path)).headers['cache-control'];
  expect(await control('/assets/app.1234.js')).toBe('public, max-age=31536000, immutable');
  expect(await control('/about')).toBe('no-cache');
  expect(await control('/data.foo')).toBe('public, max-age=600');
  const { headers } = await ask('/data.foo');
  const again = await ask('/data.foo', { 'If-None-Match': headers.etag ?? '' });
  expect([again.status, again.headers['cache-control'], again.headers['x-frame-options']]).toEqual([
    304,
    'public, max-age=600',
    'DENY',
  ]);
});

test('types, headers and nosniff', async () => {
  const foo = (await ask('/data.foo')).headers;
  expect([foo['content-type'], foo['x-content-type-options'], foo['x-rule']]).toEqual([
    'application/x-foo',
    'nosniff',
    'all',
  ]);
  expect((await ask('/assets/app.1234.js')).headers['x-rule']).toBe('script');
  const plain = (await ask('/plain/data.foo')).headers;
  expect(plain).not.toHaveProperty('x-content-type-options');
  expect(plain['content-type']).toBe('application/octet-stream');
});

describe('errorPages', () => {
  test('a file that is not there', async () => {
    const { status, headers, body } = await ask('/plain/missing');
    expect([status, headers['content-type'], body.toString()]).toEqual([
      404,
      'text/html; charset=utf-8',
      '<h1>Not here</h1>',
    ]);
    const head = await ask('/plain/missing', {}, 'HEAD');
    expect([head.status, head.headers['content-length']]).toEqual([404, String(body.length)]);
  });

  test('an application that fails, and a body that is too large', async () => {
    for (const [method, status] of [
      ['GET', 500],
      ['POST', 413],
    ] as const) {
      const answer = await get(server.port, '/app', {
        method,
        ...(method === 'POST' ? { body: 'more than ten' } : {}),
      });
      expect([answer.status, answer.headers['content-type'], answer.body.toString()]).toEqual([
        status,
        'application/json; charset=utf-8',
        '{"busy":true}',
      ]);
    }
  });

  test('another mount’s errors are not concerned', async () => {
    expect((await ask('/app/x')).body.toString()).toBe('{"busy":true}');
    expect((await ask('/%00')).body.toString()).not.toContain('busy');
  });
});

describe('listing', () => {
  test('as JSON: folders first, nothing hidden, nothing behind links', async () => {
    const { status, headers, body } = await ask('/plain/list/');
    expect([status, headers['content-type'], headers['vary']]).toEqual([200, 'application/json', 'Accept']);
    const items = JSON.parse(body.toString()) as { name: string; type: string; size: number | null }[];
    expect(items.map(({ name, type, size }) => [name, type, size])).toEqual([
      ['sub', 'folder', null],
      ['a.txt', 'file', 2],
      ['b <i>&".txt', 'file', 1],
      ['javascript:alert(1)', 'file', 0],
    ]);
  });

  test('H83 as HTML: escaped, and links that stay in the folder', async () => {
    const { headers, body } = await ask('/plain/list/', { Accept: 'text/html,*/*' });
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['content-security-policy']).toBe("default-src 'none'; style-src 'unsafe-inline'");
    expect(headers['x-content-type-options']).toBe('nosniff');
    const page = body.toString();
    expect(page).toContain('<a href="./b%20%3Ci%3E%26%22.txt">b &lt;i&gt;&amp;&quot;.txt</a>');
    expect(page).toContain('<a href="./javascript%3Aalert%281%29">');
    expect(page).not.toContain('<i>');
    expect(page).not.toContain('hidden');
  });

  test('an index file wins, and without listing there is nothing', async () => {
    expect((await ask('/plain/')).body.toString()).toBe('<p>index');
    expect((await ask('/assets/')).body.toString()).toBe('<p>index');
  });
});

test('a folder that is replaced, or a link that is switched, is the new one within a second', async () => {
  folder.write('one/file.txt', 'one');
  folder.write('two/file.txt', 'two');
  symlinkSync('one', folder.at('current'));
  await using own = await Gwanmun.start(folder, { mounts: [{ path: '/', files: './current' }] });
  const read = async (): Promise<string> => {
    const { status, body } = await get(own.port, '/file.txt');
    return `${status} ${body.toString()}`;
  };
  expect(await read()).toBe('200 one');
  symlinkSync('two', folder.at('next'));
  renameSync(folder.at('next'), folder.at('current'));
  await expect.poll(read, { timeout: 5000 }).toBe('200 two');
  rmSync(folder.at('two'), { recursive: true });
  mkdirSync(folder.at('two'));
  folder.write('two/file.txt', 'built anew');
  await expect.poll(read, { timeout: 5000 }).toBe('200 built anew');
});

test.each([
  [{ tryFiles: ['index.html'] }, "mounts[0].tryFiles[0]: expected a path that begins with '/' or '$path'"],
  [{ cacheControl: { '*': 'for ever' } }, "expected '1y immutable'"],
  [{ cacheControl: { 'assets/*': '1y' } }, "expected a pattern such as '/assets/*'"],
  [{ headers: { '*': { 'X-A': 'a\r\nX-B: b' } } }, 'expected visible ASCII characters'],
  [{ headers: { '*': { ETag: 'x' } } }, 'the server sets this one itself'],
  [{ errorPages: { 200: './404.html' } }, 'expected a status from 400 to 599'],
  [{ errorPages: { 404: './403.html' } }, 'there is no file 403.html'],
  [{ types: { foo: 'a/b' } }, "expected an extension such as '.foo'"],
])('a fault is told: %j', async (rules, message) => {
  await expect(Gwanmun.start(folder, { mounts: [{ path: '/', files: './site', ...rules }] })).rejects.toThrow(message);
});
