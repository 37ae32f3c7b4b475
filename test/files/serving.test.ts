// What a folder of files answers: content, types, index files, redirects, methods.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, get, statusOf } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const APP = `export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return [\`app \${environ.REQUEST_METHOD} \${environ.SCRIPT_NAME}|\${environ.PATH_INFO}|\${environ['wsgi.input'].read()}\`];
}
`;

const folder = new Folder();
let server: Gwanmun;
let port: number;

beforeAll(async () => {
  folder.write('app.mjs', APP);
  folder.write('site/index.html', '<p>front page');
  folder.write('site/a/index.html', '<p>a');
  folder.write('site/a/b.txt', 'text of b');
  folder.write('site/bare/x.txt', 'x');
  folder.write('site/a space/é.txt', 'accent');
  folder.write('site/empty', '');
  folder.write('other/home.htm', 'other home');
  folder.write('other/index.html', 'other index');
  folder.write('static/s.txt', 's');
  folder.write('both/file.txt', 'the file');
  folder.write('both/dir/index.html', 'the index');
  for (const name of Object.keys(TYPES)) folder.write(`site/types/${name}`, 'x');
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', files: './site' },
      { path: '/other', files: './other', index: ['missing.html', 'home.htm'] },
      { path: '/none', files: './other', index: [] },
      { path: '/static', files: './static' },
      { path: '/both', files: './both', app: './app.mjs' },
    ],
  });
  port = server.port;
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const TYPES = {
  'a.html': 'text/html; charset=utf-8',
  'a.css': 'text/css; charset=utf-8',
  'a.js': 'text/javascript; charset=utf-8',
  'a.mjs': 'text/javascript; charset=utf-8',
  'a.json': 'application/json; charset=utf-8',
  'a.svg': 'image/svg+xml; charset=utf-8',
  'a.txt': 'text/plain; charset=utf-8',
  'A.PNG': 'image/png',
  'a.jpg': 'image/jpeg',
  'a.webp': 'image/webp',
  'a.woff2': 'font/woff2',
  'a.wasm': 'application/wasm',
  'a.pdf': 'application/pdf',
  'a.mp4': 'video/mp4',
  'a.tar.gz': 'application/gzip',
  'a.unheardof': 'application/octet-stream',
  README: 'application/octet-stream',
};

describe('a file', () => {
  test('is answered whole with its length and validators', async () => {
    const { status, headers, body } = await get(port, '/a/b.txt');
    expect(status).toBe(200);
    expect(body.toString()).toBe('text of b');
    expect(headers['content-length']).toBe('9');
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(headers.etag).toMatch(/^"[\x21\x23-\x7e]+"$/);
    expect(headers['last-modified']).toMatch(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    expect(headers['accept-ranges']).toBe('bytes');
    expect(headers.date).toBeDefined();
    expect(headers).not.toHaveProperty('transfer-encoding');
  });

  test('has the same head for HEAD, and no body', async () => {
    const full = await get(port, '/a/b.txt');
    // Twice on one connection: a body behind the first head would spoil the second.
    const request = 'HEAD /a/b.txt HTTP/1.1\r\nHost: a\r\n';
    const raw = (await exchange(port, `${request}\r\n${request}Connection: close\r\n\r\n`)).toString();
    const heads = raw.split('\r\n\r\n');
    expect(heads).toHaveLength(3);
    expect(heads[2]).toBe('');
    for (const head of heads.slice(0, 2)) {
      expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(head).toContain('Content-Length: 9');
      expect(head).toContain(`ETag: ${full.headers.etag}`);
    }
  });

  test('may be empty', async () => {
    const { status, headers, body } = await get(port, '/empty');
    expect([status, headers['content-length'], body.length]).toEqual([200, '0', 0]);
  });

  test('may have spaces and letters beyond ASCII in its name', async () => {
    expect((await get(port, '/a%20space/%C3%A9.txt')).body.toString()).toBe('accent');
    expect((await get(port, '/a%20space/%c3%a9.txt?query=1')).body.toString()).toBe('accent');
  });

  test.each(Object.entries(TYPES))('%s is %s', async (name, type) => {
    expect((await get(port, `/types/${name}`)).headers['content-type']).toBe(type);
  });

  test('is answered as often as it is asked for on one connection', async () => {
    const one = 'GET /a/b.txt HTTP/1.1\r\nHost: a\r\n';
    const raw = (await exchange(port, `${one}\r\n`.repeat(50), `${one}Connection: close\r\n\r\n`)).toString();
    expect(raw.match(/HTTP\/1\.1 200 OK\r\n/g)).toHaveLength(51);
    expect(raw.match(/\r\n\r\ntext of b/g)).toHaveLength(51);
  });

  test('with a slash behind it is not found', async () => {
    expect((await get(port, '/a/b.txt/')).status).toBe(404);
    expect((await get(port, '/a/b.txt/c')).status).toBe(404);
  });
});

describe('a folder', () => {
  test('is answered by its index file', async () => {
    const { status, headers, body } = await get(port, '/');
    expect([status, headers['content-type'], body.toString()]).toEqual([
      200,
      'text/html; charset=utf-8',
      '<p>front page',
    ]);
    expect((await get(port, '/a/')).body.toString()).toBe('<p>a');
  });

  test('takes the first index file that is there', async () => {
    expect((await get(port, '/other/')).body.toString()).toBe('other home');
    expect((await get(port, '/none/')).status).toBe(404);
  });

  test('without its slash is redirected to it, with the query', async () => {
    for (const [path, location] of [
      ['/a', '/a/'],
      ['/a?x=1&y=/', '/a/?x=1&y=/'],
      ['/other', '/other/'],
      ['/other?q', '/other/?q'],
      ['/a%20space', '/a%20space/'],
      ['/bare', '/bare/'],
    ] as const) {
      const { status, headers } = await get(port, path);
      expect([path, status, headers.location]).toEqual([path, 301, location]);
    }
  });

  test('H80: a redirect never leads to another host', async () => {
    for (const path of ['//a', '///a', '/./a', '//a?//evil.test', '/%2e/a', '//other']) {
      const { status, headers } = await get(port, path);
      expect([path, status]).toEqual([path, 301]);
      expect(headers.location).toMatch(/^\/(?:a|other)\/(?:\?|$)/);
    }
    for (const path of ['//evil.test/..', '//evil.test/%2e%2e', '/%5cevil.test/..', '/\\evil.test/..']) {
      const { headers } = await get(port, path);
      expect(headers.location ?? '/').toMatch(/^\/(?:[^/\\]|$)/);
    }
  });

  test('without an index is not found, and is not listed', async () => {
    const { status, body } = await get(port, '/bare/');
    expect(status).toBe(404);
    expect(body.toString()).not.toContain('x.txt');
  });
});

describe('what is not there', () => {
  test('is a 404 with a page, and the connection goes on', async () => {
    const one = 'GET /missing HTTP/1.1\r\nHost: a\r\n';
    const raw = (await exchange(port, `${one}\r\n`, `${one}Connection: close\r\n\r\n`)).toString();
    expect(raw.match(/HTTP\/1\.1 404 Not Found\r\n/g)).toHaveLength(2);
    expect(raw.match(/<h1>404 Not Found<\/h1>/g)).toHaveLength(2);
  });

  test('has no body for HEAD', async () => {
    const raw = (await exchange(port, 'HEAD /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toString();
    expect(raw).toMatch(/^HTTP\/1\.1 404 /);
    expect(raw.endsWith('\r\n\r\n')).toBe(true);
    expect(raw.split('\r\n\r\n')).toHaveLength(2);
  });
});

describe('other methods', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])('%s is not allowed', async (method) => {
    const { status, headers } = await get(port, '/a/b.txt', { method });
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  test('a body that comes with one is read past', async () => {
    const post = 'POST /a/b.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\nGET /x HTTP/1.1\r\n\r\n';
    const raw = (
      await exchange(port, post, 'GET /a/b.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    ).toString();
    expect(raw.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 405', 'HTTP/1.1 200']);
  });
});

describe('mounts', () => {
  test('H74: a prefix ends where a segment does', async () => {
    expect((await get(port, '/static/s.txt')).body.toString()).toBe('s');
    expect((await get(port, '/staticx/s.txt')).status).toBe(404);
    expect((await get(port, '/statics.txt')).status).toBe(404);
    expect(
      statusOf(await exchange(port, 'GET /static../app.mjs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')),
    ).toBe(404);
  });

  test('a dot segment leaves a mount before it is looked for', async () => {
    expect((await get(port, '/static/../a/b.txt')).body.toString()).toBe('text of b');
    expect((await get(port, '/a/../static/s.txt')).body.toString()).toBe('s');
  });

  test('a file wins over the application of its mount', async () => {
    expect((await get(port, '/both/file.txt')).body.toString()).toBe('the file');
    expect((await get(port, '/both/dir/')).body.toString()).toBe('the index');
    expect((await get(port, '/both/dir')).headers.location).toBe('/both/dir/');
  });

  test('what is no file is the application’s', async () => {
    expect((await get(port, '/both/missing?x')).body.toString()).toBe('app GET /both|/missing|');
    expect((await get(port, '/both')).body.toString()).toBe('app GET /both||');
    expect((await get(port, '/both/')).body.toString()).toBe('app GET /both|/|');
    expect((await get(port, '/both/.hidden')).body.toString()).toBe('app GET /both|/.hidden|');
    expect((await get(port, '/both/file.txt%2f')).body.toString()).toMatch(/^app GET /);
  });

  test('another method on a file’s path is the application’s, with its body', async () => {
    const { status, body } = await get(port, '/both/file.txt', { method: 'POST', body: 'form' });
    expect([status, body.toString()]).toEqual([200, 'app POST /both|/file.txt|form']);
    expect((await get(port, '/both/file.txt', { method: 'DELETE' })).body.toString()).toBe(
      'app DELETE /both|/file.txt|',
    );
    expect((await get(port, '/both/file.txt', { method: 'HEAD' })).headers['content-length']).toBe('8');
  });
});
