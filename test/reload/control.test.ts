// The control socket, and the commands that ask over it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { ServerStatus } from '../../src/supervisor/status.js';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** Of their own, so that servers of others are not seen. */
const runtime = mkdtempSync(join(tmpdir(), 'gwanmun-control-'));
const env = { XDG_RUNTIME_DIR: runtime };
afterAll(() => rmSync(runtime, { recursive: true, force: true }));

const start = (settings: Settings = {}): Gwanmun => new Gwanmun({ env, ...settings });
/** How a server is named. */
const of = (server: Gwanmun): string => `process ${server.child.pid} in ${server.folder}`;
const socketOf = (server: Gwanmun): string => join(runtime, 'gwanmun', `${server.child.pid}.sock`);

async function gwanmun(cwd: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...process.env, ...env, NO_COLOR: '1' } });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += String(text)));
  child.stderr.on('data', (text) => (stderr += String(text)));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

test('status shows the server and its workers, for people and for programs', async () => {
  await using server = start({ config: { workers: 2 } });
  const port = await server.port();
  const client = await RawClient.connect({ port });
  await client.send('GET /pid HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.response();
  await expect
    .poll(async () => (await gwanmun(server.folder, 'status')).stdout.match(/\bready\b/g)?.length, { timeout: 10_000 })
    .toBe(2);
  const { stdout, code } = await gwanmun(server.folder, 'status');
  expect(code).toBe(0);
  expect(stdout).toMatch(/serving for \d+ s/);
  expect(stdout).toContain(`listening    http://127.0.0.1:${port}`);
  expect(stdout).toMatch(/connections {2}1\n/);
  const status = JSON.parse((await gwanmun(server.folder, 'status', '--json')).stdout) as {
    pid: number;
    workers: { pid: number; requests: number; memory: number }[];
  };
  expect(status.pid).toBe(server.child.pid);
  expect(status.workers.map(({ pid }) => pid).toSorted()).toEqual(server.workers().toSorted());
  expect(status.workers.reduce((sum, { requests }) => sum + requests, 0)).toBe(1);
  expect(status.workers.every(({ memory }) => memory > 1_000_000)).toBe(true);
  client.close();
});

test('reload ends when the new workers serve, and tells what does not load', async () => {
  const app = (text: string): string =>
    `export function application(environ, startResponse) { startResponse('200 OK', []); return '${text}'; }`;
  await using server = start({ app: './app.mjs', files: { 'app.mjs': app('old') } });
  const port = await server.port();
  writeFileSync(join(server.folder, 'app.mjs'), app('new'));
  const reloaded = await gwanmun(server.folder, 'reload');
  expect([reloaded.code, reloaded.stdout]).toEqual([0, expect.stringContaining('configuration 2')]);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('new');
  writeFileSync(join(server.folder, 'app.mjs'), 'syntax error(');
  const failed = await gwanmun(server.folder, 'reload');
  expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(/GWM_APP_SYNTAX[^]*app\.mjs:1/)]);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('new');
});

test('restart-worker replaces one or all, each after its successor is ready', async () => {
  await using server = start({ config: { workers: 2 } });
  await server.port();
  await expect.poll(() => server.workers().length).toBe(2);
  const before = server.workers();
  expect((await gwanmun(server.folder, 'restart-worker', '2')).stdout).toBe(`✓ replaced worker 2 of ${of(server)}\n`);
  await expect.poll(() => server.workers().filter((pid) => before.includes(pid)).length).toBe(1);
  expect((await gwanmun(server.folder, 'restart-worker')).stdout).toBe(`✓ replaced workers 1, 2 of ${of(server)}\n`);
  await expect.poll(() => server.workers().filter((pid) => before.includes(pid)).length).toBe(0);
  const unknown = await gwanmun(server.folder, 'restart-worker', '9');
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('There is no worker 9')]);
});

test('stop finishes what is in progress and ends when the server has', async () => {
  await using server = start();
  await server.port();
  const { code, stdout } = await gwanmun(server.folder, 'stop');
  expect([code, stdout]).toEqual([0, `✓ stopped ${of(server)}\n`]);
  expect(await server.exit()).toBe(0);
  expect(existsSync(socketOf(server))).toBe(false);
});

describe('in a folder without a server', () => {
  test.each([['stop'], ['reload'], ['upgrade'], ['restart-worker'], ['scale', '2']])(
    '%s does nothing to the only one of another folder, and names it',
    async (...words) => {
      await using server = start();
      await server.port();
      const pid = String(server.child.pid);
      const { code, stderr } = await gwanmun(runtime, ...words);
      expect([code, stderr]).toEqual([1, expect.stringContaining('✗ GWM_CONTROL  No gwanmun runs in this folder\n')]);
      const config = join(server.folder, 'gwanmun.config.mjs');
      expect(stderr).toMatch(new RegExp(`gwanmun ${words.join(' ')} --pid ${pid} +# ${config}\n`));
      const status = JSON.parse((await gwanmun(runtime, 'status', '--json')).stdout) as ServerStatus;
      expect(status).toMatchObject({ pid: server.child.pid, generation: 1, directory: server.folder });
      expect(status.workers).toMatchObject([{ restarts: 0, generation: 'current', state: 'ready' }]);
      expect(status.workers[0]?.pid).toBe(server.workers()[0]);
    },
  );

  test('--pid says which', async () => {
    await using server = start();
    await server.port();
    const pid = ['--pid', String(server.child.pid)];
    const { stdout } = await gwanmun(runtime, 'reload', ...pid);
    expect(stdout).toBe(`✓ reloaded ${of(server)}: 1 worker, configuration 2\n`);
    expect((await gwanmun(runtime, 'scale', '2', ...pid)).stdout).toMatch(`✓ scaled ${of(server)}: `);
    expect((await gwanmun(runtime, 'stop', ...pid)).stdout).toBe(`✓ stopped ${of(server)}\n`);
    expect(await server.exit()).toBe(0);
  });

  test('the one whose configuration is there is meant', async () => {
    const site = mkdtempSync(join(tmpdir(), 'gwanmun-site-'));
    const file = join(site, 'gwanmun.config.mjs');
    writeFileSync(file, "export default { mounts: [{ path: '/', files: '.' }], listen: { port: 0 }, threads: 1 };\n");
    await using server = start({ args: ['--config', file] });
    await server.port();
    expect((await gwanmun(site, 'stop')).stdout).toBe(`✓ stopped ${of(server)}\n`);
    rmSync(site, { recursive: true });
  });

  test('one that does not answer holds nobody up', async () => {
    await using hung = start();
    await using server = start();
    await Promise.all([hung.port(), server.port()]);
    hung.child.kill('SIGSTOP');
    expect((await gwanmun(server.folder, 'stop')).stdout).toBe(`✓ stopped ${of(server)}\n`);
    const { code, stderr } = await gwanmun(hung.folder, 'stop');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^✗ GWM_CONTROL {2}The server of .*sock does not answer/),
    ]);
    hung.child.kill('SIGCONT');
  });
});

test('the server of the folder is meant; several have to be told apart', async () => {
  await using first = start();
  await using second = start();
  await Promise.all([first.port(), second.port()]);
  for (const server of [first, second]) {
    const { stdout } = await gwanmun(server.folder, 'status', '--json');
    expect((JSON.parse(stdout) as { pid: number }).pid).toBe(server.child.pid);
  }
  const { code, stderr } = await gwanmun(runtime, 'status');
  expect([code, stderr]).toEqual([1, expect.stringContaining('Several servers are running')]);
  expect(stderr).toContain(`--pid ${first.child.pid}`);
  const chosen = await gwanmun(runtime, 'status', '--json', '--pid', String(second.child.pid));
  expect((JSON.parse(chosen.stdout) as { pid: number }).pid).toBe(second.child.pid);
});

test('the socket is its user’s alone, and one that a dead server left is removed', async () => {
  await using server = start();
  await server.port();
  await expect.poll(() => existsSync(socketOf(server))).toBe(true);
  expect(statSync(socketOf(server)).mode & 0o777).toBe(0o600);
  expect(statSync(join(runtime, 'gwanmun')).mode & 0o777).toBe(0o700);
  server.child.kill('SIGKILL');
  await server.exit();
  expect(existsSync(socketOf(server))).toBe(true);
  await gwanmun(server.folder, 'status');
  expect(existsSync(socketOf(server))).toBe(false);
});

test('the socket of a process that runs is never removed: it may be about to listen', async () => {
  await using server = start();
  await server.port();
  await expect.poll(() => existsSync(socketOf(server))).toBe(true);
  server.child.kill('SIGKILL');
  await server.exit();
  const refusing = join(runtime, 'gwanmun', `${process.pid}.sock`);
  renameSync(socketOf(server), refusing);
  await gwanmun(server.folder, 'status');
  expect(existsSync(refusing)).toBe(true);
  rmSync(refusing);
});

test('a folder that is open to others is not used, and the server serves all the same', async () => {
  const open = mkdtempSync(join(tmpdir(), 'gwanmun-open-'));
  mkdirSync(join(open, 'gwanmun'), { mode: 0o777 });
  const { chmodSync } = await import('node:fs');
  chmodSync(join(open, 'gwanmun'), 0o777);
  await using server = start({ env: { XDG_RUNTIME_DIR: open } });
  await server.port();
  await server.says(/its control socket could not be opened[^\n]*is not this user's alone/);
  rmSync(open, { recursive: true });
});

test.each([
  ['no JSON', 'status\n'],
  ['no object', 'null\n'],
  ['an unknown command', '{"command":"explode"}\n'],
  ['a worker that is no number', '{"command":"restart-worker","worker":"1"}\n'],
  ['a line without end', 'x'.repeat(100_000)],
])('%s gets an error, and the server goes on', async (_, text) => {
  await using server = start();
  await server.port();
  await expect.poll(() => existsSync(socketOf(server))).toBe(true);
  const socket = connect(socketOf(server));
  socket.on('error', () => {});
  socket.write(text);
  let answer = '';
  socket.on('data', (part) => (answer += String(part)));
  await once(socket, 'close');
  expect(answer).toMatch(/^\{"error":\{[^\n]*GWM_CONTROL[^\n]*\n$/);
  expect((await gwanmun(server.folder, 'status')).code).toBe(0);
});
