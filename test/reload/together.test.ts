// A reload, and what is asked for at the same time: no worker is left over, and none is missing.

import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { controlFolder } from '../../src/supervisor/control.js';
import type { ServerStatus } from '../../src/supervisor/status.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { get } from '../workers/http-client.js';

/** An application whose loading takes until there is no file `hold`, and that says how often it was loaded. */
const HELD = `
import { existsSync } from 'node:fs';
console.log('loading in', process.pid);
while (existsSync('hold')) await new Promise((resolve) => setTimeout(resolve, 10));
export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return String(process.pid);
}
`;

class Site extends Gwanmun {
  constructor(config: Record<string, unknown> = {}) {
    super({
      app: './app.mjs',
      files: { 'app.mjs': HELD },
      config: { accessLog: false, drainTimeout: 5000, ...config },
    });
  }

  hold(): void {
    writeFileSync(join(this.folder, 'hold'), '');
  }

  release(): void {
    rmSync(join(this.folder, 'hold'));
  }

  /** Waits until so many processes have begun to load the application. */
  async loads(count: number): Promise<void> {
    await expect.poll(() => this.stderr.split('loading in').length - 1, { timeout: 10_000 }).toBe(count);
  }

  /** Asks on the control socket. Gives the answer. */
  async ask(request: object): Promise<{ result?: unknown; error?: { message: string } }> {
    const socket = connect(join(controlFolder(), `${this.child.pid}.sock`));
    socket.write(`${JSON.stringify(request)}\n`);
    let text = '';
    for await (const part of socket.setEncoding('utf8')) text += String(part);
    return JSON.parse(text) as { result?: unknown; error?: { message: string } };
  }

  async status(): Promise<ServerStatus> {
    return (await this.ask({ command: 'status' })).result as ServerStatus;
  }

  /** There are so many workers, they serve, and the server knows them. */
  async has(count: number): Promise<void> {
    await expect.poll(() => this.workers().length, { timeout: 10_000 }).toBe(count);
    // That a process has ended is seen here before the server has heard all of it.
    await expect
      .poll(async () => (await this.status()).workers.map(({ state, generation }) => `${generation} ${state}`), {
        timeout: 10_000,
      })
      .toEqual(Array.from({ length: count }, () => 'current ready'));
    const { workers } = await this.status();
    expect(workers.map(({ pid }) => pid).toSorted()).toEqual(this.workers().toSorted());
    expect((await get(await this.port(), '/')).status).toBe(200);
  }
}

test('a worker that was being replaced when a reload took over is not left behind', async () => {
  await using site = new Site({ workers: 1 });
  await site.port();
  site.hold();
  const restarting = site.ask({ command: 'restart-worker' });
  await site.loads(2);
  const reloading = site.ask({ command: 'reload' });
  await site.loads(3);
  site.release();
  expect(await reloading).toHaveProperty('result');
  expect(await restarting).toEqual({ result: [1] });
  await site.has(1);
});

test('what is asked for during a reload is for the workers that come of it', async () => {
  await using site = new Site({ workers: 2 });
  await site.port();
  site.hold();
  const reloading = site.ask({ command: 'reload' });
  await site.loads(4);
  const scaling = site.ask({ command: 'scale', workers: 3 });
  const restarting = site.ask({ command: 'restart-worker', worker: 2 });
  expect((await site.status()).state).toBe('reloading');
  site.release();
  expect(await reloading).toHaveProperty('result');
  expect(await scaling).toEqual({ result: [3] });
  expect(await restarting).toEqual({ result: [2] });
  await site.has(3);
});

test('a pool that was growing when a reload took over leaves nobody behind', async () => {
  await using site = new Site({ workers: 1 });
  await site.port();
  site.hold();
  const scaling = site.ask({ command: 'scale', workers: 3 });
  await site.loads(2);
  const reloading = site.ask({ command: 'reload' });
  await site.loads(3);
  site.release();
  expect(await reloading).toHaveProperty('result');
  expect(await scaling).toHaveProperty('result');
  await expect
    .poll(async () => (await site.status()).workers.every(({ generation }) => generation === 'current'))
    .toBe(true);
  await site.has((await site.status()).workers.length);
});

test('thirty that ask for a reload at once get two', async () => {
  await using site = new Site({ workers: 1 });
  await site.port();
  site.hold();
  const first = site.ask({ command: 'reload' });
  await site.loads(2);
  const others = Array.from({ length: 30 }, () => site.ask({ command: 'reload' }));
  // It answers in the order in which it was asked.
  expect((await site.status()).state).toBe('reloading');
  site.release();
  expect(((await first).result as ServerStatus).generation).toBe(2);
  const answers = await Promise.all(others);
  expect(answers.map(({ result }) => (result as ServerStatus).generation)).toEqual(answers.map(() => 3));
  await site.has(1);
  expect((await site.status()).generation).toBe(3);
});

test('a server that is stopped while workers come leaves nobody', async () => {
  await using site = new Site({ workers: 2, shutdownTimeout: 1000 });
  await site.port();
  site.hold();
  const asked = [site.ask({ command: 'restart-worker' })];
  await site.loads(3);
  asked.push(site.ask({ command: 'reload' }));
  await site.loads(5);
  site.child.kill('SIGTERM');
  expect(await site.exit()).toBe(0);
  await site.leavesNobody();
  await Promise.allSettled(asked);
});
