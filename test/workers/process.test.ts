// The main process among other processes: as root, as number 1, and asked to end at once.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const isRoot = process.getuid?.() === 0;
const canUnshare = isRoot && spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;

const APP = `
import { spawn } from 'node:child_process';
export function application(environ, startResponse) {
  startResponse('200 OK', []);
  if (environ.PATH_INFO === '/spin') for (;;);
  // Its parent ends before it does.
  if (environ.PATH_INFO === '/orphan') spawn('sh', ['-c', 'sleep 0.2 & exit 0'], { stdio: 'ignore' });
  return String(process.pid);
}
`;

/** What the kernel says of a process: the effective number of a kind. */
function effective(pid: number, kind: 'Uid' | 'Gid'): number {
  const [, id] = new RegExp(`^${kind}:\\s+\\d+\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(id);
}

describe.runIf(isRoot)('as root', () => {
  test('it warns, unless another user is named', async () => {
    await using server = new Gwanmun();
    await server.port();
    await server.says(/the server and its applications run as root; name another user/);
  });

  test('the main process, its threads and its workers become that user', async () => {
    const id = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
    // A port that only root may have, if the system says so.
    await using server = new Gwanmun({
      args: ['--config', 'own.config.mjs'],
      files: {
        'app.mjs': APP,
        'own.config.mjs': `export default { listen: { host: '127.0.0.1', port: 0 }, user: 'nobody', umask: 0o027, accessLog: false,
          mounts: [{ path: '/', app: './app.mjs' }] };`,
      },
    });
    chmodSync(server.folder, 0o755);
    const port = await server.port();
    const worker = Number((await get(port, '/')).body.toString());
    for (const pid of [server.child.pid ?? 0, worker]) {
      expect([effective(pid, 'Uid'), effective(pid, 'Gid')]).toEqual([id('-u'), id('-g')]);
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        expect(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')).toMatch(
          new RegExp(`^Uid:\\s+${id('-u')}\\s`, 'm'),
        );
      }
      expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Umask:\s+0027$/m);
      expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(new RegExp(`^Groups:\\s+${id('-g')} ?$`, 'm'));
    }
    expect(server.stderr).not.toContain('run as root');
    server.child.kill('SIGHUP');
    await server.says(/configuration 2 is in use/);
    expect((await get(port, '/')).status).toBe(200);
  });
});

describe.runIf(canUnshare)('as process 1', () => {
  test('orphans leave the process table, and an upgrade is refused', async () => {
    await using server = new Gwanmun({ app: './app.mjs', files: { 'app.mjs': APP } });
    // Another one, in a namespace of its own, with the configuration of the first.
    await server.port();
    const child = spawn(
      'unshare',
      ['--pid', '--fork', '--mount-proc', '--kill-child', process.execPath, MAIN, '--config', 'gwanmun.config.mjs'],
      { cwd: server.folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    try {
      await expect.poll(() => said, { timeout: 10_000 }).toMatch(/listening on http:\/\/127\.0\.0\.1:\d+/);
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
      await get(port, '/orphan');
      const [main = 0] = childrenOf(child.pid ?? 0);
      await expect.poll(() => childrenOf(main).length, { timeout: 5000 }).toBeGreaterThan(1);
      await expect.poll(() => childrenOf(main).length, { timeout: 10_000 }).toBe(1);
      process.kill(main, 'SIGUSR2');
      await expect
        .poll(() => said, { timeout: 5000 })
        .toContain('GWM_SUCCESSOR  Process 1 cannot hand over to another process');
    } finally {
      child.kill('SIGKILL');
    }
  });
});

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

test('SIGQUIT ends it at once, with a report of what it was doing', async () => {
  await using server = new Gwanmun({ app: './app.mjs', files: { 'app.mjs': APP } });
  const port = await server.port();
  const client = await Client.connect(port);
  client.get('/spin');
  await expect
    .poll(async () => (await status(server)).workers[0]?.eventLoopDelay, { timeout: 5000 })
    .toBeGreaterThan(500);
  server.child.kill('SIGQUIT');
  expect(await server.exit()).toBe(131);
  expect(server.stderr).toMatch(/ended by SIGQUIT: \{"pid":\d+,.*"inFlight":1,/);
  expect(server.stderr).toMatch(/worker 1 \(\d+\): \n\s+at application \(.*app\.mjs:5:/);
  await server.leavesNobody();
  client.destroy();
});

async function status(server: Gwanmun): Promise<{ workers: { eventLoopDelay?: number }[] }> {
  const { stdout } = spawnSync(process.execPath, [MAIN, 'status', '--json', '--pid', String(server.child.pid)]);
  return JSON.parse(stdout.toString()) as { workers: { eventLoopDelay?: number }[] };
}
