// What systemd does to a service and wants of it, with a stand-in for systemd.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { takeInheritance } from '../../src/supervisor/inheritance.js';
import { APP } from '../workers/gwanmun-process.js';
import { get } from '../workers/http-client.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Node has no datagrams over Unix sockets. */
const RECEIVER = `
import os, socket, sys
own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
own.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(repr(own.recv(4096).decode()), flush=True)
`;

let folder: string;
let receiver: ChildProcess;
let told = '';
const started: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-systemd-'));
  told = '';
  receiver = spawn('python3', ['-c', RECEIVER, join(folder, 'notify')], { stdio: ['ignore', 'pipe', 'inherit'] });
  receiver.stdout?.setEncoding('utf8').on('data', (text: string) => (told += text));
  await vi.waitFor(() => expect(told).toContain('bound'), { timeout: 10_000 });
});

afterEach(() => {
  receiver.kill('SIGKILL');
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

interface Service {
  readonly child: ChildProcess;
  readonly said: () => string;
}

/** As systemd starts it: the sockets from descriptor 3 on, and the process's own id in the environment. */
function start(sockets: readonly Server[], env: Record<string, string> = {}): Service {
  const fds = sockets.map((socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd);
  const script = `LISTEN_PID=$$ LISTEN_FDS=${fds.length} exec "$0" "$@"`;
  const child = spawn('sh', ['-c', script, process.execPath, MAIN, APP, '--port', '0'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', ...fds],
    env: { ...process.env, FOLDER: folder, NOTIFY_SOCKET: join(folder, 'notify'), ...env },
  });
  started.push(child);
  // Else this process would accept too. The file of a Unix socket would go with it.
  for (const socket of sockets) if (typeof socket.address() === 'object') socket.close();
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => (text += part));
  return { child, said: () => text };
}

async function isTold(...lines: string[]): Promise<void> {
  const expected = lines.join('\\n');
  await vi.waitFor(() => expect(told).toContain(expected), { timeout: 10_000, interval: 10 });
}

async function listen(where: number | string): Promise<Server> {
  const server = createServer();
  server.listen(typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where });
  await once(server, 'listening');
  return server;
}

describe('under systemd', () => {
  test('it serves at the sockets that were passed, and says how it is', async () => {
    const tcp = await listen(0);
    const unix = await listen(join(folder, 'site.sock'));
    const { port } = tcp.address() as { port: number };
    const { child, said } = start([tcp, unix], { WATCHDOG_USEC: '200000' });
    const pid = child.pid ?? 0;
    await isTold('READY=1', 'STATUS=serving', `MAINPID=${pid}`);
    expect(said()).toContain(`http://127.0.0.1:${port}`);
    expect(said()).toContain('site.sock');
    expect((await get(port, '/pid')).status).toBe(200);
    await isTold('WATCHDOG=1');

    told = '';
    child.kill('SIGHUP');
    await isTold('RELOADING=1', 'MONOTONIC_USEC=');
    await isTold('READY=1', 'STATUS=serving');
    const [, usec] = /MONOTONIC_USEC=(\d+)/.exec(told) ?? [];
    expect(Math.abs(Number(usec) / 1e6 - Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]))).toBeLessThan(60);

    // Applications do not see what is not for them.
    const { body } = await get(port, '/pid');
    const environ = readFileSync(`/proc/${body.toString()}/environ`, 'latin1');
    expect(environ).not.toMatch(/LISTEN_|NOTIFY_SOCKET|WATCHDOG|GWANMUN_SOCKETS/);

    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await isTold('STOPPING=1');
    expect(await exit).toEqual([0, null]);
    // It is systemd's.
    expect(existsSync(join(folder, 'site.sock'))).toBe(true);
    unix.close();
  });

  test('an upgrade keeps the sockets, and tells the new main process', async () => {
    const tcp = await listen(0);
    const { port } = tcp.address() as { port: number };
    const { child } = start([tcp]);
    await isTold('READY=1');
    const exit = once(child, 'exit');
    child.kill('SIGUSR2');
    const pid = await vi.waitFor(
      () => {
        const [, found] = [...told.matchAll(/MAINPID=(\d+)/g)].find(([, id]) => id !== String(child.pid)) ?? [];
        expect(found).toBeDefined();
        return Number(found);
      },
      { timeout: 10_000 },
    );
    expect((await get(port, '/pid')).status).toBe(200);
    expect(await exit).toEqual([0, null]);
    expect((await get(port, '/pid')).status).toBe(200);
    told = '';
    process.kill(pid, 'SIGTERM');
    await isTold('STOPPING=1');
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 10_000 });
  });

  test('a descriptor that is no listening socket is an error', async () => {
    const script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3</dev/null';
    const child = spawn('sh', ['-c', script, process.execPath, MAIN, APP], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(said).toContain('Descriptor 3, which was passed to be listened on, is not a listening socket.');
  });
});

test('what is passed to another process is not taken', () => {
  const env: NodeJS.ProcessEnv = { LISTEN_PID: '1', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', OTHER: 'x' };
  expect(takeInheritance(env, 2)).toBeUndefined();
  expect(env).toEqual({ OTHER: 'x' });
  expect(takeInheritance({ LISTEN_PID: '2', LISTEN_FDS: '2' }, 2)).toEqual({
    sockets: [3, 4],
    isActivated: true,
    predecessor: undefined,
  });
  expect(takeInheritance({ GWANMUN_SOCKETS: 'activated:4,5', GWANMUN_PREDECESSOR: '7' }, 2)).toEqual({
    sockets: [4, 5],
    isActivated: true,
    predecessor: 7,
  });
});
