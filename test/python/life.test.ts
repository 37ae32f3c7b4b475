// A Python worker's life: what its end costs, and that it ends when it has to.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Gwanmun } from '../workers/gwanmun-process.js';
import { Client, get } from '../workers/http-client.js';
import { startPython } from './python.js';

const release = (server: Gwanmun): void => writeFileSync(join(server.folder, 'release'), '');

describe('a worker that ends', () => {
  test('by SIGKILL: 502 for what it had begun, the rest is answered by the next one', async () => {
    await using server = startPython({ '/': 'contract' }, { config: { workers: 1, threads: 1 } });
    const port = await server.port();
    const [first, ...later] = await Promise.all(Array.from({ length: 6 }, () => Client.connect(port)));
    first?.get('/spin');
    for (const client of later) client.get('/pid');
    const [, pid] = await server.says(/spinning in (\d+)/);
    process.kill(Number(pid), 'SIGKILL');
    expect((await first?.answer())?.status).toBe(502);
    for (const client of later) {
      const answer = await client.answer();
      expect(answer.status).toBe(200);
      expect(answer.body.toString()).not.toBe(pid);
      client.destroy();
    }
    first?.destroy();
    await server.says(/worker 1 was ended by SIGKILL; a new one starts in 100 ms/);
  });

  test('and leaves a process behind that holds its links: the same', async () => {
    const helped = `
import os, signal, time

if os.fork() == 0:
    print("helper", os.getpid(), flush=True)
    while True:
        time.sleep(1)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        print("holding", flush=True)
        time.sleep(60)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
`;
    await using server = startPython(
      { '/': 'helped:application' },
      { config: { workers: 1, threads: 1 }, files: { 'helped.py': helped } },
    );
    const port = await server.port();
    const [first, second] = await Promise.all([Client.connect(port), Client.connect(port)]);
    first.get('/held');
    await server.says(/holding/);
    second.get('/next');
    const helpers = (): number[] => [...server.stderr.matchAll(/helper (\d+)/g)].map(([, pid]) => Number(pid));
    const worker = server.workers().find((pid) => !helpers().includes(pid));
    process.kill(worker ?? 0, 'SIGKILL');
    expect((await first.answer()).status).toBe(502);
    const answer = await second.answer();
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).not.toBe(String(worker));
    await expect.poll(() => helpers().length).toBe(2);
    for (const helper of helpers()) process.kill(helper, 'SIGKILL');
    for (const client of [first, second]) client.destroy();
  });

  test('by a segmentation fault: 502, and the connection goes on', async () => {
    await using server = startPython({ '/': 'contract' });
    const client = await Client.connect(await server.port());
    client.get('/segfault');
    expect((await client.answer()).status).toBe(502);
    client.get('/pid');
    expect((await client.answer()).status).toBe(200);
    await server.says(/worker 1 was ended by SIGSEGV/);
    client.destroy();
  });

  test('in the middle of a response: the connection is broken off', async () => {
    await using server = startPython({ '/': 'contract' });
    const client = await Client.connect(await server.port());
    client.get('/exits');
    const answer = await client.answer();
    expect([answer.body.toString(), answer.complete]).toEqual(['the first half', false]);
    await server.says(/worker 1 exited with code 3/);
    client.destroy();
  });

  test('under load: only what was begun fails, and only with 502', { timeout: 40_000 }, async () => {
    const requests = 3000;
    await using server = startPython({ '/': 'contract' }, { config: { workers: 2 } });
    const port = await server.port();
    const clients = await Promise.all(Array.from({ length: 32 }, () => Client.connect(port)));
    let sent = 0;
    let kills = 0;
    const failed: string[] = [];
    const killer = setInterval(() => {
      const [pid] = server.workers();
      if (pid === undefined || kills >= 4) return;
      kills += 1;
      process.kill(pid, 'SIGKILL');
    }, 200);
    await Promise.all(
      clients.map(async (client) => {
        while (sent < requests) {
          const number = String(sent++);
          client.get(`/later?${number}`);
          const answer = await client.answer();
          if (answer.status === 502) failed.push(number);
          else expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, number, true]);
        }
      }),
    ).finally(() => clearInterval(killer));
    expect(kills).toBeGreaterThan(1);
    const begun = new Set(readFileSync(join(server.folder, 'begun'), 'utf8').split('\n'));
    // Between the started mark and the application's first line lies one request of each worker that was killed.
    expect(failed.filter((number) => !begun.has(number)).length).toBeLessThanOrEqual(kills);
    for (const client of clients) client.destroy();
  });
});

describe('a stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s to all lets a request in progress finish', async (signal) => {
    await using server = startPython({ '/': 'contract' }, { group: true });
    const client = await Client.connect(await server.port());
    client.get('/hold');
    await server.says(/holding in/);
    process.kill(-(server.child.pid as number), signal);
    await sleep(50); // Nothing tells that a signal did nothing.
    release(server);
    const answer = await client.answer();
    expect([answer.status, answer.complete]).toEqual([200, true]);
    expect(await server.exit()).toBe(0);
    await server.leavesNobody();
    client.destroy();
  });

  test('a worker that spins is stopped too', async () => {
    await using server = startPython({ '/': 'contract' }, { config: { shutdownTimeout: 100 } });
    const client = await Client.connect(await server.port());
    client.get('/spin');
    await server.says(/spinning in/);
    server.child.kill('SIGTERM');
    expect(await server.exit()).toBe(0);
    await server.leavesNobody();
    client.destroy();
  });

  test('a killed main process takes its workers along, also one that spins', async () => {
    await using server = startPython({ '/': 'contract' }, { config: { workers: 2 } });
    const client = await Client.connect(await server.port());
    client.get('/spin');
    await server.says(/spinning in/);
    server.child.kill('SIGKILL');
    await server.leavesNobody();
    client.destroy();
  });
});

test('what one prints goes line by line to standard error and nowhere else', async () => {
  await using server = startPython({ '/': 'contract' });
  const answer = await get(await server.port(), '/prints');
  expect(answer.body.toString()).toBe('printed');
  for (const line of ['one', 'two', 'no endHTTP/1.1 200 OK', 'error line'])
    await server.says(new RegExp(`^\\S+Z info \\[worker 1\\] ${line}\r?$`, 'm'));
  expect(server.stdout).not.toMatch(/one|two|end/);
});

test('a response is not held back by a slow request that is answered next', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { threads: 1 } });
  const port = await server.port();
  for (let i = 0; i < 3; i++) await get(port, '/pid');
  const [first, quick, last] = await Promise.all([Client.connect(port), Client.connect(port), Client.connect(port)]);
  first.get('/waits?a');
  await server.says(/waiting for a/);
  quick.get('/pid');
  last.get('/waits?b');
  writeFileSync(join(server.folder, 'a'), '');
  expect((await first.answer()).body.toString()).toBe('waited');
  expect((await quick.answer()).status).toBe(200);
  writeFileSync(join(server.folder, 'b'), '');
  expect((await last.answer()).body.toString()).toBe('waited');
  for (const client of [first, quick, last]) client.destroy();
});

test('a slow client of a large response that is complete holds up nobody', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { threads: 1 } });
  const port = await server.port();
  const slow = await Client.connect(port);
  slow.socket.pause();
  slow.get('/body?huge');
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(port, '/pid')));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  slow.socket.resume();
  const answer = await slow.answer();
  expect([answer.body.length, answer.complete]).toEqual([16_000_000, true]);
  slow.destroy();
});

test('Python applications and modules run side by side, each in workers of its own', async () => {
  await using server = startPython(
    {},
    {
      files: {
        'app.mjs': `export const application = (environ, start) => { start('200 OK', []); return 'module ' + process.pid; };`,
        'local.py': `import os\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'local %d' % os.getpid()]\n`,
      },
      config: {
        workers: 2,
        mounts: [
          { path: '/', app: './app.mjs' },
          { path: '/contract', wsgi: 'contract:application' },
          { path: '/local', wsgi: 'local' },
          { path: '/again', wsgi: 'local' },
        ],
      },
    },
  );
  const port = await server.port();
  await server.says(/ · 6 workers · /);
  expect((await get(port, '/')).body.toString()).toMatch(/^module \d/);
  expect((await get(port, '/contract/pid')).body.toString()).toMatch(/^\d/);
  expect((await get(port, '/local/x')).body.toString()).toMatch(/^local \d/);
  expect((await get(port, '/again')).body.toString()).toMatch(/^local \d/);
  await expect.poll(() => server.workers().length).toBe(6);
});
