// What workers print and the errors that nobody catches: one event each, with worker and request.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { parsed, type LogLine } from './events.js';

const APP = `import { spawnSync } from 'node:child_process';

import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

console.log('loading');

const views = {
  levels() {
    console.debug('a debug');
    console.log('a log', { a: 1, b: [2] });
    console.info('an info\\nof two lines');
    console.warn('a warning');
    console.error('an error');
    process.stdout.write('written\\n');
    process.stderr.write(Buffer.from('bytes'));
  },
  async contexts(name) {
    console.log(name, 'sync');
    await sleep(1);
    console.log(name, 'await');
    await new Promise((resolve) => setTimeout(() => resolve(console.log(name, 'timer')), 1));
    queueMicrotask(() => console.log(name, 'microtask'));
    setTimeout(() => console.log(name, 'after the end'), 50);
  },
  json() {
    process.stdout.write('{"level":30,"msg":"from a logger"}\\n');
    writeSync(1, '{"level":40,"msg":"past the streams"}\\n');
  },
  child() {
    spawnSync('/bin/sh', ['-c', 'echo of a child; echo its error >&2'], { stdio: 'inherit' });
  },
  errors(_name, environ) {
    environ['wsgi.errors'].write('one\\ntwo\\n');
  },
  async uncaught() {
    setTimeout(() => { throw new Error('in a timer'); }, 1);
    await sleep(60_000);
  },
  async rejected() {
    void Promise.reject(Object.assign(new Error('not awaited'), { code: 'E_X' }));
    await sleep(60_000);
  },
  async survives() {
    process.once('uncaughtException', () => {});
    setTimeout(() => { throw new Error('survived'); }, 1);
    await sleep(20);
  },
};

export function application(environ, startResponse) {
  const view = views[environ.PATH_INFO.slice(1)];
  async function* body() {
    await view(environ.QUERY_STRING, environ);
    startResponse('200 OK', []);
    yield 'done';
    console.log(environ.QUERY_STRING, 'in the body');
  }
  return body();
}
`;

const folder = new Folder();

beforeAll(() => folder.write('app.mjs', APP));
afterAll(() => folder[Symbol.dispose]());

const start = (config: Record<string, unknown> = {}): Promise<Gwanmun> =>
  Gwanmun.start(folder, { errorLog: { format: 'json' }, mounts: [{ path: '/', app: './app.mjs' }], ...config });

const ask = (server: Gwanmun, path: string, id: string): ReturnType<typeof get> =>
  get(server.port, path, { headers: { 'X-Request-Id': id } });

async function eventsOf(server: Gwanmun, event = 'output'): Promise<LogLine[]> {
  await server.stop();
  return parsed(server.stderr).filter((line) => line.event === event);
}

describe('what an application prints', () => {
  test('is one event a call, with its level, worker and request', async () => {
    await using server = await start({ errorLog: { format: 'json', level: 'debug' } });
    await ask(server, '/levels', 'r-1');
    const [loading, ...lines] = await eventsOf(server);
    const pid = loading?.['pid'];
    expect(loading).toMatchObject({ msg: 'loading', worker: 1, pid: expect.any(Number) as number, stream: 'stdout' });
    expect(loading).not.toHaveProperty('request_id');
    for (const line of lines) expect(line).toMatchObject({ request_id: 'r-1', worker: 1, pid, path: '/levels' });
    expect(lines.map(({ level, stream, msg }) => [level, stream, msg])).toEqual([
      ['debug', 'stdout', 'a debug'],
      ['info', 'stdout', 'a log { a: 1, b: [ 2 ] }'],
      ['info', 'stdout', 'an info\nof two lines'],
      ['warn', 'stderr', 'a warning'],
      ['error', 'stderr', 'an error'],
      ['info', 'stdout', 'written'],
      ['info', 'stderr', 'bytes'],
      ['info', 'stdout', ' in the body'],
    ]);
  });

  test('is its own request’s, wherever the code is, and with many at once', async () => {
    await using server = await start({ workers: 1 });
    const names = Array.from({ length: 40 }, (_, n) => `r${n}`);
    await Promise.all(names.map((name) => ask(server, `/contexts?${name}`, name)));
    for (const name of names) await server.says(new RegExp(`"${name} after the end"`));
    const lines = await eventsOf(server);
    for (const name of names) {
      const own = lines.filter((line) => line['request_id'] === name).map(({ msg }) => msg);
      const places = ['sync', 'await', 'timer', 'microtask', 'in the body', 'after the end'];
      expect(own).toEqual(places.map((place) => `${name} ${place}`));
    }
    expect(lines).toHaveLength(1 + 40 * 6);
  });

  test('keeps its fields if it is JSON', async () => {
    await using server = await start();
    await ask(server, '/json', 'r-1');
    await server.says(/past the streams/);
    const data = (await eventsOf(server)).filter((line) => 'data' in line);
    expect(data.map((line) => [line['request_id'], line['data']])).toEqual(
      expect.arrayContaining([
        ['r-1', { level: 30, msg: 'from a logger' }],
        [undefined, { level: 40, msg: 'past the streams' }],
      ]),
    );
  });

  test('has the worker alone if a child process printed it', async () => {
    await using server = await start();
    await ask(server, '/child', 'r-1');
    await server.says(/its error/);
    const lines = (await eventsOf(server)).filter(({ msg }) => / child| its |its error/.test(String(msg)));
    expect(lines.map(({ msg, stream, worker }) => [msg, stream, worker])).toEqual(
      expect.arrayContaining([
        ['of a child', 'stdout', 1],
        ['its error', 'stderr', 1],
      ]),
    );
  });

  test('to wsgi.errors is one event too', async () => {
    await using server = await start();
    await ask(server, '/errors', 'r-1');
    expect((await eventsOf(server)).find(({ stream }) => stream === 'wsgi.errors')).toMatchObject({
      request_id: 'r-1',
      msg: 'one\ntwo',
      worker: 1,
    });
  });

  test('carries the id in text as well', async () => {
    await using server = await start({ errorLog: { format: 'text' }, requestId: true });
    await ask(server, '/levels', 'r-1');
    await server.stop();
    expect(server.stderr).toMatch(/^\S+Z info \[worker 1\] loading$/m);
    expect(server.stderr).toMatch(/^\S+Z info \[worker 1 r-1\] an info\n\tof two lines$/m);
  });

  test('has time and level in a text file', async () => {
    await using server = await start({ errorLog: { file: 'errors.log' }, requestId: true });
    await ask(server, '/levels', 'r-1');
    await server.stop();
    const { readFileSync } = await import('node:fs');
    const log = readFileSync(folder.at('errors.log'), 'utf8');
    expect(log).toMatch(/^\S+Z info \[worker 1\] loading$/m);
    expect(log).toMatch(/^\S+Z warn \[worker 1 r-1\] a warning$/m);
  });
});

describe('an error that nobody catches', () => {
  test.each([
    ['/uncaught', 'Error: in a timer', /app\.mjs:\d+/],
    ['/rejected', 'Error: not awaited', /app\.mjs:\d+[^]*code: 'E_X'/],
  ])('%s is one event with stack and request, and the worker is replaced', async (path, msg, stack) => {
    await using server = await start();
    const answer = await ask(server, path, 'r-1');
    expect(answer.status).toBe(502);
    await server.says(/"worker-exited"[^]*"loading"/);
    expect((await ask(server, '/levels', 'r-2')).status).toBe(200);
    await server.stop();
    const lines = parsed(server.stderr);
    expect(lines.filter(({ event }) => event === 'uncaught-error')).toMatchObject([
      { level: 'error', request_id: 'r-1', worker: 1, path, msg, stack: expect.stringMatching(stack) as string },
    ]);
    // Node does not tell it a second time.
    expect(lines.filter((line) => JSON.stringify(line).includes(msg))).toHaveLength(1);
  });

  test('but that the application handles, is told and no more', async () => {
    await using server = await start();
    expect((await ask(server, '/survives', 'r-1')).status).toBe(200);
    expect(await eventsOf(server, 'uncaught-error')).toMatchObject([{ msg: 'Error: survived', request_id: 'r-1' }]);
    expect(server.stderr).not.toContain('worker-exited');
  });
});
