// A worker that ends takes with it only the requests that it had begun.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

describe('workers', () => {
  test('share the requests', async () => {
    await using server = new Gwanmun({ config: { workers: 3 } });
    const port = await server.port();
    await expect.poll(() => server.workers().length).toBe(3);
    // The first is ready; a request in each of the others shows that they are too.
    const clients: Client[] = [];
    const seen = new Set<string>();
    while (seen.size < 3) {
      const client = await Client.connect(port);
      clients.push(client);
      client.get('/hold');
      const pids = (): string[] => [...server.stderr.matchAll(/holding in (\d+)/g)].map(([, pid]) => pid as string);
      await expect.poll(() => pids().length, { timeout: 10_000 }).toBe(clients.length);
      for (const pid of pids()) seen.add(pid);
      expect(clients.length).toBeLessThan(200);
    }
    expect(new Set(server.workers().map(String))).toEqual(seen);
    for (const pid of server.workers()) process.kill(pid, 'SIGUSR2');
    for (const client of clients) {
      expect((await client.answer()).status).toBe(200);
      client.destroy();
    }
  });

  test('one that is killed in a request: 502 for its client, nothing for the others, and a new worker', async () => {
    await using server = new Gwanmun({ config: { workers: 2 } });
    const port = await server.port();
    const client = await Client.connect(port);
    client.get('/hold');
    const [, pid] = await server.says(/holding in (\d+)/);
    const others = Promise.all(Array.from({ length: 8 }, () => load(port, 50)));
    process.kill(Number(pid), 'SIGKILL');
    const answer = await client.answer();
    expect([answer.status, answer.complete, answer.headers.get('connection')]).toEqual([502, true, undefined]);
    // The connection outlives the worker.
    client.get('/pid');
    expect((await client.answer()).status).toBe(200);
    expect(new Set((await others).flat())).toEqual(new Set([200]));
    await server.says(/worker [12] was ended by SIGKILL; a new one starts in 100 ms/);
    await expect.poll(() => server.workers().length).toBe(2);
    client.destroy();
  });

  test('requests that a hung worker had not begun are answered by the next one', async () => {
    await using server = new Gwanmun({ config: { workers: 1, threads: 1 } });
    const port = await server.port();
    const [first, ...later] = await Promise.all(Array.from({ length: 6 }, () => Client.connect(port)));
    // In one go, so that they are sent to the worker before it is known to hang; what comes later waits in the queue.
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
  });

  test('one that exits in the middle of a response breaks the connection off', async () => {
    await using server = new Gwanmun();
    const client = await Client.connect(await server.port());
    client.get('/half-exit');
    const answer = await client.answer();
    expect(answer).toMatchObject({ status: 200, complete: false });
    expect(answer.body.toString()).toBe('the first half');
    await client.closed();
    expect(client.error).toBeUndefined();
    await server.says(/worker 1 exited with code 3/);
  });

  test('a new one that never gets ready is given up after startTimeout, and another is started', async () => {
    const app = fileURLToPath(new URL('fixtures/fails-once.ts', import.meta.url));
    await using server = new Gwanmun({ app, config: { startTimeout: 1500 } });
    const port = await server.port();
    const before = (await get(port, '/')).body.toString();
    process.kill(Number(before), 'SIGKILL');
    await server.says(/GWM_WORKER_TIMEOUT {2}Worker 1 was not ready after 1500 ms/);
    const after = await get(port, '/');
    expect(after.status).toBe(200);
    expect(after.body.toString()).not.toBe(before);
    expect(readFileSync(join(server.folder, 'starts'), 'utf8')).toBe('...');
  });

  test('what one prints goes line by line to standard error and nowhere else', async () => {
    await using server = new Gwanmun();
    const port = await server.port();
    const answer = await get(port, '/print');
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.toString()).toBe('printed');
    for (const line of ['one', 'two', 'no endHTTP/1.1 200 OK', 'error line'])
      await server.says(new RegExp(`^\\S+Z info \\[worker 1\\] ${line}\r?$`, 'm'));
    await server.prints(/GET \/print HTTP\/1\.1/);
    expect(server.stdout).not.toMatch(/worker|one|two|end/);
    expect((await get(port, '/pid')).status).toBe(200);
  });
});

describe('under load', () => {
  test('workers that are killed fail only what they had begun, and only with 502', { timeout: 40_000 }, async () => {
    const requests = 5000;
    await using server = new Gwanmun({ config: { workers: 2, concurrency: 32 } });
    const port = await server.port();
    const clients = await Promise.all(Array.from({ length: 64 }, () => Client.connect(port)));
    let sent = 0;
    let kills = 0;
    const isEnough = (): boolean => sent >= requests && kills >= 3;
    const failed: string[] = [];
    const work = Promise.all(
      clients.map(async (client) => {
        while (!isEnough()) {
          const number = String(sent++);
          client.get(`/later?${number}`);
          const answer = await client.answer();
          expect(answer.complete).toBe(true);
          if (answer.status === 502) failed.push(number);
          else expect([answer.status, answer.body.toString()]).toEqual([200, number]);
        }
      }),
    );
    const killer = setInterval(() => {
      const [pid] = server.workers();
      // Each death doubles the wait for the next worker: a few of them suffice.
      if (pid === undefined || kills >= 8) return;
      kills += 1;
      process.kill(pid, 'SIGKILL');
    }, 200);
    try {
      await work;
    } finally {
      clearInterval(killer);
    }
    expect(kills).toBeGreaterThan(2);
    expect(clients.map((client) => client.error ?? client.ended)).toEqual(clients.map(() => false));
    const begun = new Set(readFileSync(join(server.folder, 'begun'), 'utf8').split('\n'));
    // Between the started mark and the application's first line lies one request of each worker that was killed.
    expect(failed.filter((number) => !begun.has(number)).length).toBeLessThanOrEqual(kills);
    expect(failed.length).toBeLessThanOrEqual(kills * 32);
    for (const client of clients) client.destroy();
  });
});

/** Statuses of `count` requests, one after the other on one connection. */
async function load(port: number, count: number): Promise<number[]> {
  const client = await Client.connect(port);
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) {
    client.get('/pid');
    statuses.push((await client.answer()).status);
  }
  client.destroy();
  return statuses;
}

test('a worker that ends again and again leaves 503 with Retry-After, and files are served all the while', async () => {
  const app = `
setTimeout(() => process.exit(9), 150);
export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return 'never mind';
}
`;
  await using server = new Gwanmun({
    config: {
      mounts: [
        { path: '/', app: './app.mjs' },
        { path: '/files', files: './files' },
      ],
      queue: { timeout: 300 },
    },
    files: { 'app.mjs': app, 'files/a.txt': 'a file' },
  });
  const port = await server.port();
  // The waits double: soon one is longer than a request waits for a worker.
  await server.says(/worker 1 exited with code 9; a new one starts in 800 ms/);
  const answer = await get(port, '/');
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  expect((await get(port, '/files/a.txt')).body.toString()).toBe('a file');
  await server.says(/A request was refused with 503: no worker was free in time/);
});
