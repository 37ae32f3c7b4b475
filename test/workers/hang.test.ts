// A worker that does nothing any more is found, says where it was, and is replaced.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ask, startPython } from '../python/python.js';
import { Gwanmun, type Settings } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const TIMEOUT = 1500;

/** An application whose file is in the server's folder, so that the places in it are known. */
const APP = `
import { pbkdf2Sync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { url } from 'node:inspector';
const forever = (): never => {
  for (;;) if (url() !== undefined) writeFileSync('inspector', String(url()));
};
const untold = (): never => {
  Error.prepareStackTrace = () => { throw new Error('no stack'); };
  return forever();
};

function handler(path: string): unknown {
  if (path === '/spin') return forever();
  if (path === '/untold') return untold();
  if (path === '/never') return new Promise(() => {});
  if (path === '/spin-later') setTimeout(() => forever(), 50);
  if (path === '/native') pbkdf2Sync('a', 'b', 2 ** 31 - 1, 64, 'sha512');
  return String(process.pid);
}

export async function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return handler(environ.PATH_INFO);
}
`;

function start({ config, ...settings }: Settings = {}): Gwanmun {
  return new Gwanmun({
    app: 'hang.ts',
    files: { 'hang.ts': APP },
    config: { timeout: TIMEOUT, ...config },
    ...settings,
  });
}

describe('a request that hangs', () => {
  test('gets a 504; the log has where, and requests that had not begun are answered by another worker', async () => {
    await using server = start({ config: { threads: 1, accessLog: { format: 'combined', file: 'access.log' } } });
    const port = await server.port();
    const [first, ...later] = await Promise.all(Array.from({ length: 4 }, () => Client.connect(port)));
    first?.get('/spin');
    for (const client of later) client.get('/pid');
    const answer = await first?.answer();
    expect([answer?.status, answer?.complete, answer?.headers.get('connection')]).toEqual([504, true, undefined]);
    const [, pid] = await server.says(/worker 1 \((\d+)\) hangs in GET \/spin, and is replaced; its code is at\n/);
    await server.says(/at forever \(.*\/hang\.ts:6:\d+\)$/m);
    expect(server.stderr).toMatch(/at handler \(.*hang\.ts:14:\d+\)/);
    expect(server.stderr).toMatch(/no response after 1\.5 s; the client got a 504/);
    expect(server.stderr).not.toMatch(/Debugger|node:internal|dist\//);
    const answers = await Promise.all(later.map((client) => client.answer()));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(({ body }) => body.toString())).has(String(pid))).toBe(false);
    await expect.poll(() => server.workers().map(String), { timeout: 10_000 }).not.toContain(pid);
    for (const client of [first, ...later]) client?.destroy();
  });

  test('opens no inspector, where other users could have it run code: neither to say where it is, nor by a signal to all', async () => {
    await using server = start();
    const port = await server.port();
    const pid = (await get(port, '/pid')).body.toString();
    for (const worker of server.workers()) process.kill(worker, 'SIGUSR1');
    expect((await get(port, '/pid')).body.toString()).toBe(pid);
    expect((await get(port, '/spin')).status).toBe(504);
    await server.says(/its code is at\n.*at forever/);
    expect(existsSync(join(server.folder, 'inspector'))).toBe(false);
    expect(server.stderr).not.toContain('Debugger');
  });

  test('in an application whose stacks cannot be had: it does not say where, and is replaced all the same', async () => {
    await using server = start();
    const port = await server.port();
    expect((await get(port, '/untold')).status).toBe(504);
    const [, pid] = await server.says(/worker 1 \((\d+)\) hangs in GET \/untold, .*; it did not say where its code is/);
    await expect.poll(() => server.workers().map(String), { timeout: 10_000 }).not.toContain(pid);
  });

  test('in a JSON log', async () => {
    await using server = start({ config: { errorLog: { format: 'json' }, requestId: true } });
    const [, port] = await server.says(/"msg":"[^"]*http:\/\/127\.0\.0\.1:(\d+)/);
    expect((await get(Number(port), '/spin')).status).toBe(504);
    const [line] = await server.says(/^.*"event":"worker-hung".*$/m);
    const event = JSON.parse(line) as Record<string, unknown>;
    expect(event).toMatchObject({ level: 'error', worker: 1 });
    expect(event['stack']).toMatch(/at forever \(.*hang\.ts:6:\d+\)/);
    const [request] = await server.says(/^.*"event":"request-timeout".*$/m);
    expect(JSON.parse(request)).toMatchObject({ level: 'error', worker: 1, method: 'GET', path: '/spin' });
  });

  test('in native code: it does not say where, and is replaced all the same', async () => {
    await using server = start();
    const port = await server.port();
    expect((await get(port, '/native')).status).toBe(504);
    const [, pid] = await server.says(
      /worker 1 \((\d+)\) hangs in GET \/native, and is replaced; it did not say where its code is/,
    );
    await expect.poll(() => server.workers().map(String), { timeout: 10_000 }).not.toContain(pid);
    expect((await get(port, '/pid')).status).toBe(200);
  });

  test('without keeping the event loop: the worker goes on, until what nobody waits for has not ended either', async () => {
    await using server = start();
    const port = await server.port();
    const pid = (await get(port, '/pid')).body.toString();
    const never = get(port, '/never');
    expect((await get(port, '/pid')).body.toString()).toBe(pid);
    expect((await never).status).toBe(504);
    expect((await get(port, '/pid')).body.toString()).toBe(pid);
    await server.says(/worker 1 \(\d+\) is replaced: GET \/never does not end, though nobody waits for it any more/);
    await expect.poll(async () => (await get(port, '/pid')).body.toString(), { timeout: 10_000 }).not.toBe(pid);
    expect(server.stderr).not.toContain('hangs in');
  });

  test('in Python: the log has the traceback', async () => {
    const app = `
import time

def stand_still():
    time.sleep(60)

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/sleep":
        stand_still()
    return [b"awake"]
`;
    await using server = startPython(
      { '/': 'sleeper:application' },
      { config: { timeout: TIMEOUT }, files: { 'sleeper.py': app } },
    );
    const port = await server.port();
    expect((await ask(port, 'GET /sleep')).status).toBe(504);
    await server.says(/worker 1 \(\d+\) hangs in GET \/sleep, and is replaced; its code is at\n/);
    await server.says(/sleeper\.py", line 5 in stand_still/);
    expect((await ask(port, 'GET /')).body.toString()).toBe('awake');
  });
});

test('a worker that spins without a request is found', async () => {
  await using server = start();
  const port = await server.port();
  const pid = (await get(port, '/spin-later')).body.toString();
  await server.says(/worker 1 \(\d+\) has been busy without a pause for [\d.]+ s, and is replaced; its code is at\n/);
  await server.says(/at forever \(.*hang\.ts:6:\d+\)/);
  await expect.poll(() => server.workers().map(String), { timeout: 10_000 }).not.toContain(pid);
  expect((await get(port, '/pid')).body.toString()).not.toBe(pid);
});
