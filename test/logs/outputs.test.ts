// Where the logs go, and what happens when that place is gone.

import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const folder = new Folder();
const mounts = [{ path: '/', files: './site' }];

beforeAll(() => {
  folder.write('site/file.txt', 'the file');
  folder.write('logs/.keep', '');
});
afterAll(() => folder[Symbol.dispose]());

const read = (name: string): string => readFileSync(folder.at(name), 'utf8');

describe('a log file', () => {
  test('gets the access lines, appended, and standard output none', async () => {
    folder.write('logs/access.log', 'an earlier line\n');
    await using server = await Gwanmun.start(folder, { mounts, accessLog: { file: 'logs/access.log' } });
    await get(server.port, '/file.txt');
    await get(server.port, '/missing');
    expect(await server.stop()).toBe(0);
    const lines = read('logs/access.log').split('\n');
    expect(lines).toEqual([
      'an earlier line',
      expect.stringContaining('"GET /file.txt HTTP/1.1" 200 8 '),
      expect.stringContaining('"GET /missing HTTP/1.1" 404 '),
      '',
    ]);
    expect(server.stdout).toBe('');
  });

  test('is written while the server runs, in the format asked for', async () => {
    await using server = await Gwanmun.start(folder, {
      mounts,
      accessLog: { format: 'short', file: 'logs/short.log' },
    });
    await get(server.port, '/file.txt');
    await expect
      .poll(() => read('logs/short.log'), { timeout: 5000, interval: 20 })
      .toMatch(/^\S+ 200 GET \/file\.txt \S+ 8B file\n$/);
    // What clients ask for is not everybody's to read.
    expect(statSync(folder.at('logs/short.log')).mode & 0o007).toBe(0);
  });

  test('gets the errors, and standard error none', async () => {
    await using server = await Gwanmun.start(folder, { mounts, errorLog: { file: 'logs/error.log' } });
    await exchange(server.port, 'nonsense\r\n\r\n');
    expect(await server.stop()).toBe(0);
    expect(read('logs/error.log')).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info client 127\.0\.0\.1: 400: .+\n$/m,
    );
    expect(server.stderr).not.toContain('client');
  });

  test('whose folder is missing is told at the start', async () => {
    const start = Gwanmun.start(folder, { mounts, accessLog: { file: 'nowhere/access.log' } });
    await expect(start).rejects.toThrow(/exited with \d: .*accessLog\.file: there is no folder nowhere/s);
    expect(existsSync(folder.at('nowhere'))).toBe(false);
  });

  test.skipIf(process.getuid?.() === 0)(
    'that may not be written is told at the start (skipped for root, who may write all)',
    async () => {
      chmodSync(folder.write('logs/locked.log', ''), 0o400);
      const start = Gwanmun.start(folder, { mounts, accessLog: { file: 'logs/locked.log' } });
      await expect(start).rejects.toThrow(/exited with \d: .*locked\.log/s);
    },
  );

  test.each([
    ['access log', { accessLog: { file: '/dev/full' }, errorLog: { file: 'logs/beside.log' } }, 'logs/beside.log'],
    ['access log', { accessLog: { file: '/dev/full' } }, undefined],
    ['error log', { accessLog: { file: 'logs/beside.log' }, errorLog: { file: '/dev/full' } }, undefined],
    ['log', { accessLog: { file: '/dev/full' }, errorLog: { file: '/dev/full' } }, undefined],
  ])('on a full disk: the %s costs lines and not requests, and that is told at once', async (name, logs, place) => {
    await using server = await Gwanmun.start(folder, { mounts, ...logs });
    await exchange(server.port, 'nonsense\r\n\r\n');
    const told = (): string => (place === undefined ? server.stderr : read(place));
    const full = `error ${name}: cannot be written: No space left on device (os error 28); lines are lost until it can\n`;
    await expect.poll(told, { timeout: 5000, interval: 20 }).toContain(full);
    for (let asked = 0; asked < 200; asked++) expect((await get(server.port, '/file.txt')).status).toBe(200);
    expect(await server.stop()).toBe(0);
    expect(told().split(full)).toHaveLength(2);
  });
});

describe('standard output', () => {
  test('that is closed does not end the server', async () => {
    await using server = await Gwanmun.start(folder, { mounts, accessLog: 'combined' });
    server.child.stdout.destroy();
    for (let asked = 0; asked < 200; asked++) expect((await get(server.port, '/file.txt')).status).toBe(200);
    expect(server.child.exitCode).toBeNull();
    expect(await server.stop()).toBe(0);
  });

  test('that nobody reads does not hold up requests', async () => {
    await using server = await Gwanmun.start(folder, { mounts, accessLog: 'combined' });
    server.child.stdout.pause();
    // Far more than a pipe holds.
    const request = `GET /file.txt?${'x'.repeat(2000)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const last = 'GET /file.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    for (let asked = 0; asked < 20; asked++) {
      expect((await exchange(server.port, request.repeat(100), last)).toString().match(/200 OK/g)).toHaveLength(101);
    }
    server.child.stdout.resume();
    expect(await server.stop()).toBe(0);
  });
});

describe('standard error', () => {
  test('that is closed does not end the server', async () => {
    await using server = await Gwanmun.start(folder, { mounts });
    server.child.stderr.destroy();
    for (let asked = 0; asked < 50; asked++) await exchange(server.port, 'nonsense\r\n\r\n');
    expect((await get(server.port, '/file.txt')).status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  test('has the errors of the core, and standard output none of them', async () => {
    await using server = await Gwanmun.start(folder, { mounts, accessLog: 'combined' });
    await exchange(server.port, 'GET / HTTP/1.1\r\n\r\n');
    await server.says(/^\S+Z info client 127\.0\.0\.1: 400: .*host.*$/im);
    await server.stop();
    expect(server.stdout.split('\n')).toHaveLength(2);
  });
});
