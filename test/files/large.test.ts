// Files that are sent from their descriptor: whole, slowly, many at once, and while they change.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  ftruncateSync,
  openSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected, exchange, get, rest } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';
import { reset } from '../transport/client.js';

const MEBIBYTE = 1 << 20;
const SIZE = 20 * MEBIBYTE;

const folder = new Folder();
const content = randomBytes(SIZE);
let server: Gwanmun;

beforeAll(async () => {
  folder.write('site/large.bin', content);
  server = await Gwanmun.start(folder, { mounts: [{ path: '/', files: './site' }] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const bodyOf = (response: Buffer): Buffer => response.subarray(response.indexOf('\r\n\r\n') + 4);
const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

/** A request whose response has begun, and of which nothing more is read until `rest`. */
async function begun(path: string): Promise<{ socket: Socket; first: Buffer }> {
  const socket = await connected(server.port);
  socket.write(request(path));
  const [first] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  return { socket, first };
}

describe('a large file', () => {
  test('arrives whole', async () => {
    const { headers, body } = await get(server.port, '/large.bin');
    expect(headers['content-length']).toBe(String(SIZE));
    expect(sha256(body)).toBe(sha256(content));
  });

  test('arrives whole twenty times at once', async () => {
    const bodies = await Promise.all(
      Array.from({ length: 20 }, async () => (await get(server.port, '/large.bin')).body),
    );
    for (const body of bodies) expect(body.equals(content)).toBe(true);
  });

  test('arrives whole between small answers of one connection', async () => {
    folder.write('site/small.txt', 'small');
    const small = 'GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n';
    const response = await exchange(
      server.port,
      small,
      'GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n',
      small,
      request('/small.txt'),
    );
    const start = response.indexOf(content.subarray(0, 64));
    expect(response.subarray(start, start + SIZE).equals(content)).toBe(true);
    expect(response.subarray(0, start).toString('latin1')).toContain('\r\n\r\nsmallHTTP/1.1 200 OK\r\n');
    expect(
      response
        .subarray(start + SIZE)
        .toString('latin1')
        .match(/\r\n\r\nsmall/g),
    ).toHaveLength(2);
  });

  test('waits for a slow reader, and holds up nobody meanwhile', async () => {
    const slow = await begun('/large.bin');
    for (let asked = 0; asked < 50; asked++) expect((await get(server.port, '/small.txt')).status).toBe(200);
    const chunks = [slow.first];
    // In sips, with turns of the event loop between them, then the rest.
    for (let sips = 0; sips < 100; sips++) {
      await new Promise<void>((resolve) => {
        slow.socket.once('data', (sip) => {
          slow.socket.pause();
          chunks.push(sip);
          resolve();
        });
        slow.socket.resume();
      });
      await new Promise(setImmediate);
    }
    chunks.push(await rest(slow.socket));
    expect(sha256(bodyOf(Buffer.concat(chunks)))).toBe(sha256(content));
  });

  test('does not come into memory', async () => {
    const readers = await Promise.all(Array.from({ length: 20 }, () => begun('/large.bin')));
    // A head and a little more for each of them.
    expect(server.held().clients).toBeLessThan(20 * 65_536);
    for (const { socket } of readers) socket.destroy();
  });

  test('may have holes', async () => {
    const fd = openSync(folder.at('site/sparse.bin'), 'w');
    ftruncateSync(fd, SIZE);
    writeSync(fd, 'end', SIZE - 3);
    closeSync(fd);
    const { body } = await get(server.port, '/sparse.bin');
    expect(body.length).toBe(SIZE);
    expect(body.subarray(0, SIZE - 3).every((byte) => byte === 0)).toBe(true);
    expect(body.subarray(SIZE - 3).toString()).toBe('end');
  });
});

describe('while a file is sent', () => {
  test('H81: one that shrinks cuts the connection, nothing is made up', async () => {
    const path = folder.write('site/shrinks.bin', content);
    const { socket, first } = await begun('/shrinks.bin');
    truncateSync(path, MEBIBYTE);
    const body = bodyOf(Buffer.concat([first, await rest(socket)]));
    expect(body.length).toBeLessThan(SIZE);
    // What was on its way in the kernel's own pages when they were cut off may be zeros; what is left is as it was.
    expect(body.length).toBeGreaterThanOrEqual(MEBIBYTE);
    expect(body.subarray(0, MEBIBYTE).equals(content.subarray(0, MEBIBYTE))).toBe(true);
    await server.says(/A file became shorter while it was sent/);
    expect((await get(server.port, '/small.txt')).status).toBe(200);
  });

  test('H82: one that is replaced arrives as it was', async () => {
    const path = folder.write('site/replaced.bin', content);
    const { socket, first } = await begun('/replaced.bin');
    renameSync(folder.write('site/next.bin', randomBytes(SIZE)), path);
    expect(bodyOf(Buffer.concat([first, await rest(socket)])).equals(content)).toBe(true);
  });

  test('one that grows arrives as long as it was', async () => {
    const path = folder.write('site/grows.bin', content);
    const { socket, first } = await begun('/grows.bin');
    writeFileSync(path, 'more', { flag: 'a' });
    expect(bodyOf(Buffer.concat([first, await rest(socket)])).equals(content)).toBe(true);
    expect(statSync(path).size).toBe(SIZE + 4);
  });

  test('the client may leave', async () => {
    for (let times = 0; times < 20; times++) reset((await begun('/large.bin')).socket);
    expect((await get(server.port, '/small.txt')).status).toBe(200);
  });
});
