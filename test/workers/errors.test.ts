// What an application does wrong: what its client sees, and what its log says.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { APP, Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

/** `app.ts:LINE` of the line that holds a text: what a stack has to name. */
function place(text: string): string {
  const line =
    readFileSync(APP, 'utf8')
      .split('\n')
      .findIndex((line) => line.includes(text)) + 1;
  return `fixtures/app\\.ts:${line}:\\d+`;
}

test('W61 an error before the headers is a 500 that tells nothing, and a stack in the log', async () => {
  await using server = new Gwanmun();
  const port = await server.port();
  const client = await Client.connect(port);
  client.get('/throw?token=1');
  const answer = await client.answer();
  expect([answer.status, answer.complete]).toEqual([500, true]);
  expect(`${[...answer.headers].join()}${answer.body.toString()}`).not.toMatch(/secret|\.ts|Error:|at /);
  await server.says(/GET \/throw\?token=1.*Error: a secret reason\n/);
  await server.says(new RegExp(`at application \\(.*${place('a secret reason')}`));
  client.get('/pid');
  expect((await client.answer()).status).toBe(200);
  client.destroy();
});

test('W62 an error after the headers breaks the connection off, and is in the log', async () => {
  await using server = new Gwanmun();
  const client = await Client.connect(await server.port());
  client.get('/half-throw');
  expect(await client.answer()).toMatchObject({ status: 200, complete: false });
  await client.closed();
  expect(client.error).toBeUndefined();
  await server.says(/GET \/half-throw.*Error: half is enough\n/);
  await server.says(new RegExp(place('half is enough')));
});

test('H63 a full queue is a 503 with Retry-After at once', async () => {
  await using server = new Gwanmun({ config: { threads: 1, concurrency: 1, queue: { length: 1 } } });
  const port = await server.port();
  const first = await Client.connect(port);
  first.get('/hold');
  const [, pid] = await server.says(/holding in (\d+)/);
  const later = await Promise.all([Client.connect(port), Client.connect(port)]);
  for (const client of later) client.get('/pid');
  const refused = await Promise.race(later.map(async (client) => ({ client, answer: await client.answer() })));
  expect(refused.answer.status).toBe(503);
  expect(Number(refused.answer.headers.get('retry-after'))).toBeGreaterThan(0);
  await server.says(/queue for the workers is full/);
  process.kill(Number(pid), 'SIGUSR2');
  expect((await first.answer()).body.toString()).toBe(`held ${pid}`);
  // The one that was queued has had its turn, and so has the refused client now.
  refused.client.get('/pid');
  expect((await refused.client.answer()).body.toString()).toBe(pid);
  expect((await get(port, '/pid')).status).toBe(200);
  for (const client of [first, ...later]) client.destroy();
});

test('a request that waits longer than the queue allows is a 503', async () => {
  await using server = new Gwanmun({ config: { concurrency: 1, queue: { timeout: 200 } } });
  const port = await server.port();
  const first = await Client.connect(port);
  first.get('/hold');
  const [, pid] = await server.says(/holding in (\d+)/);
  const answer = await get(port, '/pid');
  expect([answer.status, answer.headers.has('retry-after')]).toEqual([503, true]);
  process.kill(Number(pid), 'SIGUSR2');
  expect((await first.answer()).status).toBe(200);
  first.destroy();
});

test.each([
  ['/timer', 'from a timer'],
  ['/reject', 'nobody waits'],
])(
  'an uncaught error (%s) ends the worker as it ends any Node program; a new one takes over',
  async (path, message) => {
    await using server = new Gwanmun();
    const port = await server.port();
    const before = (await get(port, '/pid')).body.toString();
    expect([200, 502]).toContain((await get(port, path)).status);
    await server.says(new RegExp(`^\\S+Z info \\[worker 1\\] .*Error: ${message}\n(?:.*\n)*?.*${place(message)}`, 'm'));
    await server.says(/worker 1 exited with code 1; a new one starts in 100 ms/);
    const after = await get(port, '/pid');
    expect(after.status).toBe(200);
    expect(after.body.toString()).not.toBe(before);
  },
);
