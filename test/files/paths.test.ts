// Paths that must not lead out of the folder, nor to what is not meant to be seen (H67–H79).

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, get, statusOf } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const SECRET = 'the secret';

const folder = new Folder();
let server: Gwanmun;
let socket: Server;

beforeAll(async () => {
  folder.write('secret.txt', SECRET);
  folder.write('outside/secret.txt', SECRET);
  for (const name of [
    'site/.env',
    'site/.git/config',
    'site/a/.hidden',
    'site/page.html~',
    'site/old~/x.txt',
    'site/.well-known/.hidden',
    'site/a/.well-known/x.txt',
    'site/.Well-Known/x.txt',
    'site/.GIT/config',
  ]) {
    folder.write(name, SECRET);
  }
  folder.write('site/ok.txt', 'ok');
  folder.write('site/a/ok.txt', 'a ok');
  folder.write('site/a\\b.txt', SECRET);
  folder.write('site/%2e%2e/named.txt', 'named');
  folder.write('site/a;v=1', 'semicolon');
  folder.write('site/..data/page.txt', SECRET);
  folder.write('site/.well-known/security.txt', 'contact');
  folder.write('site/forbidden.txt', SECRET);
  chmodSync(folder.at('site/forbidden.txt'), 0o000);
  mkdirSync(folder.at('site/bare'));
  const link = (target: string, name: string) => symlinkSync(target, folder.at(`site/${name}`));
  link('ok.txt', 'inside');
  link('..data/page.txt', 'current.txt');
  link('a', 'folder-inside');
  link('../a/ok.txt', 'a/up');
  link('../secret.txt', 'outside-file');
  link(folder.at('secret.txt'), 'outside-absolute');
  link('../outside', 'outside-folder');
  link('/proc/self/root', 'root');
  link('/dev/zero', 'zero');
  link('loop', 'loop');
  link('gone', 'dangling');
  execFileSync('mkfifo', [folder.at('site/fifo')]);
  socket = createServer().listen(folder.at('site/socket'));
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', files: './site' },
      { path: '/dev', files: '/dev' },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  socket.close();
  folder[Symbol.dispose]();
});

/** The raw path as it is, which http clients would refuse to send. */
async function raw(path: string): Promise<{ status: number; text: string }> {
  const head = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 'latin1');
  const response = await exchange(server.port, head);
  return { status: statusOf(response), text: response.toString() };
}

describe('a path is decoded once and never leaves the folder', () => {
  test.each([
    // H67
    ['/../secret.txt', 400],
    ['/a/../../secret.txt', 400],
    ['/%2e%2e/secret.txt', 400],
    ['/%2E%2E/secret.txt', 400],
    ['/.%2e/secret.txt', 400],
    ['/%2e./secret.txt', 400],
    ['/a/%2e%2e/%2e%2e/secret.txt', 400],
    ['/..', 400],
    ['/%2e%2e', 400],
    ['/./../secret.txt', 400],
    ['//../secret.txt', 400],
    ['/a/..%2f..%2fsecret.txt', 400],
    ['/..%2fsecret.txt', 400],
    ['/%2e%2e%2fsecret.txt', 400],
    ['/.../secret.txt', 404],
    ['/..a/secret.txt', 404],
    // H68
    ['/%252e%252e/secret.txt', 404],
    ['/%252e%252e%252fsecret.txt', 404],
    ['/%%32%65%%32%65/secret.txt', 400],
    ['/%2', 400],
    ['/%', 400],
    ['/%zz', 400],
    ['/%u002e%u002e/secret.txt', 400],
    // H69, H70
    ['/a%2fok.txt', 404],
    ['/a%2Fok.txt', 404],
    ['/a%5cok.txt', 404],
    ['/a%5cb.txt', 404],
    ['/..%5csecret.txt', 404],
    ['/..\\secret.txt', 400],
    ['/a\\..\\..\\secret.txt', 400],
    ['/\\..\\secret.txt', 400],
    // H71
    ['/ok.txt%00', 400],
    ['/secret.txt%00.html', 400],
    ['/%00', 400],
    // H72
    ['/%c0%ae%c0%ae/secret.txt', 404],
    ['/%c0%ae%c0%ae%c0%afsecret.txt', 404],
    ['/..%c0%afsecret.txt', 404],
    ['/%e0%80%ae%e0%80%ae/secret.txt', 404],
    ['/%ff', 404],
    ['/%ef%bc%8e%ef%bc%8e/secret.txt', 404],
    ['/\xff', 400],
    ['/%ff', 404],
    // H78
    ['/ok.txt::$DATA', 404],
    ['/ok.txt.', 404],
    ['/ok.txt%20', 404],
    ['/OK.TXT', 404],
    ['/C:/secret.txt', 404],
    // H75
    ['/outside-file', 404],
    ['/outside-absolute', 404],
    ['/outside-folder/secret.txt', 404],
    ['/outside-folder/', 404],
    ['/outside-folder', 404],
    ['/root/etc/passwd', 404],
    ['/root/', 404],
    ['/loop', 404],
    ['/dangling', 404],
    // H79: rules look at names as they are, whatever a file system takes for the same
    ['/.Well-Known/x.txt', 404],
    ['/.GIT/config', 404],
    // H77
    ['/.env', 404],
    ['/%2eenv', 404],
    ['/.git/config', 404],
    ['/.git/', 404],
    ['/.git', 404],
    ['/a/.hidden', 404],
    ['/page.html~', 404],
    ['/page.html%7e', 404],
    ['/old~/x.txt', 404],
    ['/..data/page.txt', 404],
    ['/.well-known/.hidden', 404],
    ['/a/.well-known/x.txt', 404],
    // Longer than a file system's names
    [`/${'n'.repeat(300)}`, 404],
    [`/${'n/'.repeat(3500)}`, 404],
  ])('%s', async (path, expected) => {
    const { status, text } = await raw(path);
    expect(text).not.toContain(SECRET);
    expect(status).toBe(expected);
  });

  test.each([
    ['/ok%2etxt', 'ok'],
    ['/%6f%6B.txt', 'ok'],
    ['/a/../ok.txt', 'ok'],
    ['/a/%2e%2e/ok.txt', 'ok'],
    ['/./ok.txt', 'ok'],
    ['//ok.txt', 'ok'],
    ['/a//ok.txt', 'a ok'],
    ['/%252e%252e/named.txt', 'named'],
    ['/a;v=1', 'semicolon'],
    ['/inside', 'ok'],
    ['/current.txt', SECRET],
    ['/folder-inside/ok.txt', 'a ok'],
    ['/a/up', 'a ok'],
    ['/.well-known/security.txt', 'contact'],
    ['http://other.test/ok.txt', 'ok'],
  ])('%s is within it', async (path, content) => {
    const { status, text } = await raw(path);
    expect(status).toBe(200);
    expect(text.endsWith(`\r\n\r\n${content}`)).toBe(true);
  });
});

describe('what is no regular file', () => {
  // H76: opened without O_NONBLOCK, a FIFO without a writer would hang.
  test.each([
    '/fifo',
    '/socket',
    '/zero',
    '/dev/zero',
    '/dev/null',
    '/dev/tty',
    '/dev/stdin',
    '/dev/fd/0',
    '/bare/',
    '/inside/',
  ])('%s is not found', async (path) => {
    expect((await get(server.port, path)).status).toBe(404);
  });
});

const isRoot = process.getuid?.() === 0;

test.skipIf(isRoot)('a file that may not be read is forbidden (skipped for root, who may read all)', async () => {
  const { status, body } = await get(server.port, '/forbidden.txt');
  expect(status).toBe(403);
  expect(body.toString()).not.toContain(SECRET);
});
