// Files that change between requests: what is cached is noticed to be old, and tag and content always belong together.

import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

/** What the cache promises is one second, and the look-up after it; the rest is for a machine that is busy. */
const SOON = { timeout: 15_000, interval: 20 };

const folder = new Folder();
let server: Gwanmun;

beforeAll(async () => {
  folder.write('site/index.html', 'x');
  // One thread: each has a cache of its own, and what one has seen another one sees up to a second later.
  server = await Gwanmun.start(folder, { threads: 1, mounts: [{ path: '/', files: './site' }] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  get(server.port, path, { headers });
const textOf = async (path: string): Promise<string> => (await ask(path)).body.toString();
const statusOf = async (path: string): Promise<number> => (await ask(path)).status;

describe('a small file', () => {
  test('that is rewritten is seen soon, with another tag', async () => {
    const path = 'site/small.txt';
    folder.write(path, 'first');
    const before = await ask('/small.txt');
    expect(before.body.toString()).toBe('first');
    folder.write(path, 'other');
    await expect.poll(() => textOf('/small.txt'), SOON).toBe('other');
    const after = await ask('/small.txt');
    expect(after.headers.etag).not.toBe(before.headers.etag);
    expect((await ask('/small.txt', { 'If-None-Match': before.headers.etag ?? '' })).status).toBe(200);
    expect((await ask('/small.txt', { 'If-None-Match': after.headers.etag ?? '' })).status).toBe(304);
  });

  test('that appears, goes and comes back is seen soon', async () => {
    expect(await statusOf('/new.txt')).toBe(404);
    folder.write('site/new.txt', 'new');
    await expect.poll(() => statusOf('/new.txt'), SOON).toBe(200);
    rmSync(folder.at('site/new.txt'));
    await expect.poll(() => statusOf('/new.txt'), SOON).toBe(404);
    mkdirSync(folder.at('site/new.txt'));
    await expect.poll(() => statusOf('/new.txt'), SOON).toBe(301);
  });

  test('grows over what is kept in memory, and shrinks again', async () => {
    for (const size of [10, 200_000, 20, 65_536, 65_537, 0]) {
      folder.write('site/sizes.bin', Buffer.alloc(size, String(size % 7)));
      await expect.poll(async () => (await ask('/sizes.bin')).body.length, SOON).toBe(size);
      const { headers, body } = await ask('/sizes.bin');
      expect(headers['content-length']).toBe(String(size));
      expect(body.equals(Buffer.alloc(size, String(size % 7)))).toBe(true);
    }
  });
});

describe('H82: a tag never comes with another version’s content', () => {
  test.each([
    ['small, replaced', 2000, replace],
    ['large, replaced', 100_000, replace],
    ['small, rewritten in place', 2000, rewrite],
    ['large, rewritten in place', 100_000, rewrite],
  ])('%s', async (name, size, change) => {
    const path = `/${name.replaceAll(/\W+/g, '-')}`;
    const file = folder.write(`site${path}`, Buffer.alloc(size, 'a'));
    const contents = new Map<string, string>();
    const seen = new Set<string>();
    let version = 0;
    const end = performance.now() + 1500;
    while (performance.now() < end || seen.size < 3) {
      // Nothing is being sent while the file changes: what is rewritten under a response cannot be whole.
      change(file, Buffer.alloc(size, 'abcdefghij'[(version += 1) % 10] as string));
      for (let asked = 0; asked < 3; asked++) {
        const { status, headers, body } = await ask(path);
        expect([status, body.length]).toEqual([200, size]);
        const letter = String.fromCharCode(body[0] as number);
        expect(body.equals(Buffer.alloc(size, letter))).toBe(true);
        // A small file's tag is of its content; a large one's of its times, and each version has its own.
        const tag = headers.etag ?? '';
        expect(contents.get(tag) ?? letter).toBe(letter);
        contents.set(tag, letter);
        seen.add(letter);
      }
    }
  });

  test('what has been compressed of a large file goes with it', async () => {
    const text = (letter: string): string => `${letter} and more of it\n`.repeat(5000);
    const gzip = { 'Accept-Encoding': 'gzip' };
    const file = folder.write('site/packed.txt', text('a'));
    for (const [letter, next] of ['ab', 'bc', 'cd']) {
      await expect.poll(async () => (await ask('/packed.txt', gzip)).headers['content-encoding'], SOON).toBe('gzip');
      expect(gunzipSync((await ask('/packed.txt', gzip)).body).toString()).toBe(text(letter as string));
      rewrite(file, Buffer.from(text(next as string)));
      const { headers, body } = await ask('/packed.txt', gzip);
      expect((headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString()).toBe(text(next as string));
    }
  });

  test('a large file beside another one, in a coding of it', async () => {
    folder.write('site/beside.txt', 'the file itself\n'.repeat(10_000));
    // Not made smaller: all versions have one length.
    const packed = (letter: string): Buffer => gzipSync(letter.repeat(100_000), { level: 0 });
    const file = folder.write('site/beside.txt.gz', packed('a'));
    const letters = new Map<string, string>();
    for (const letter of 'abcdefghij') {
      rewrite(file, packed(letter));
      for (let asked = 0; asked < 3; asked++) {
        const { headers, body } = await ask('/beside.txt', { 'Accept-Encoding': 'gzip' });
        expect(headers['content-encoding']).toBe('gzip');
        const text = gunzipSync(body).toString();
        expect(text).toBe(letter.repeat(100_000));
        const tag = headers.etag ?? '';
        expect(letters.get(tag) ?? letter).toBe(letter);
        letters.set(tag, letter);
      }
    }
  });

  function replace(file: string, content: Buffer): void {
    folder.write('next.bin', content);
    renameSync(folder.at('next.bin'), file);
  }

  /** The kernel's clock for time stamps ticks: two versions within one tick could not be told apart. */
  function rewrite(file: string, content: Buffer): void {
    const { ctimeNs } = statSync(file, { bigint: true });
    const fd = openSync(file, 'r+');
    do writeSync(fd, content, 0, content.length, 0);
    while (statSync(file, { bigint: true }).ctimeNs === ctimeNs);
    closeSync(fd);
  }
});
