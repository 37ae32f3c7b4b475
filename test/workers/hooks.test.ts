// What a configuration and an application are told of their server's life.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

const CONFIG = `
import { appendFileSync } from 'node:fs';
const told = (name) => (info) => appendFileSync('told', JSON.stringify([name, info]) + '\\n');
export default {
  listen: { host: '127.0.0.1', port: 0 },
  mounts: [{ path: '/', app: './app.ts' }],
  workers: 2,
  hooks: {
    onReady: told('ready'),
    onWorkerStart: told('start'),
    onWorkerExit: told('exit'),
    onReload: async (info) => {
      told('reload')(info);
      throw new Error('a hook of no use');
    },
  },
};
`;

const APP = `
import { appendFileSync } from 'node:fs';
let state = 'new';
export async function start() {
  await new Promise((resolve) => setTimeout(resolve, 20));
  state = 'started';
}
export async function stop() {
  await new Promise((resolve) => setTimeout(resolve, 20));
  appendFileSync('stopped', process.pid + '\\n');
}
export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return state + ' ' + process.pid;
}
`;

function start(app: string): Gwanmun {
  return new Gwanmun({ args: ['--config', 'own.config.mjs'], files: { 'own.config.mjs': CONFIG, 'app.ts': app } });
}

type Told = [name: string, info: Record<string, unknown>];

function lines(server: Gwanmun, name: string): string[] {
  try {
    return readFileSync(join(server.folder, name), 'utf8').trim().split('\n');
  } catch {
    return [];
  }
}

const told = (server: Gwanmun): Told[] => lines(server, 'told').map((line) => JSON.parse(line) as Told);
const names = (server: Gwanmun): string[] => told(server).map(([name]) => name);

describe('hooks', () => {
  test('are called when the server is ready, a worker starts or ends, and a configuration is taken over', async () => {
    await using server = start(APP);
    const port = await server.port();
    await expect.poll(() => names(server).toSorted()).toEqual(['ready', 'start', 'start']);
    const ready = told(server).find(([name]) => name === 'ready')?.[1];
    expect(ready).toEqual({ pid: server.child.pid, addresses: [{ kind: 'tcp', host: '127.0.0.1', port }] });
    const starts = told(server).filter(([name]) => name === 'start');
    expect(starts.map(([, info]) => info['pid']).toSorted()).toEqual(server.workers().toSorted());

    const [victim = 0] = server.workers();
    process.kill(victim, 'SIGKILL');
    await expect.poll(() => names(server).filter((name) => name === 'start').length).toBe(3);
    const exit = told(server).find(([name]) => name === 'exit');
    expect(exit?.[1]).toMatchObject({ pid: victim, code: null, signal: 'SIGKILL', expected: false });

    server.child.kill('SIGHUP');
    await server.says(/configuration 2 is in use/);
    await expect
      .poll(() => told(server).filter(([name]) => name === 'reload'))
      .toEqual([['reload', { generation: 2 }]]);
    await server.says(/the hook onReload failed: Error: a hook of no use\n.*own\.config\.mjs/);
    await expect.poll(() => names(server).filter((name) => name === 'exit').length).toBe(3);
    expect(
      told(server)
        .filter(([name]) => name === 'exit')
        .slice(1)
        .map(([, info]) => info['expected']),
    ).toEqual([true, true]);
  });
});

describe('an application', () => {
  test('is started before its first request, and stopped after its last one', async () => {
    await using server = start(APP);
    const answer = (await get(await server.port(), '/')).body.toString();
    expect(answer).toMatch(/^started \d+$/);
    await expect.poll(() => server.workers().length).toBe(2);
    await expect.poll(() => names(server).filter((name) => name === 'start').length).toBe(2);
    const workers = server.workers().map(String);
    server.child.kill('SIGTERM');
    expect(await server.exit()).toBe(0);
    expect(lines(server, 'stopped').toSorted()).toEqual(workers.toSorted());
  });

  test('whose start fails does not load, and its place is told', async () => {
    await using server = start(`${APP.replace("state = 'started'", "throw new Error('no database')")}`);
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toMatch(/GWM_APP_FAILED {2}app\.ts: .*no database/);
    expect(server.stderr).toMatch(/app\.ts:6/);
  });
});
