// The whole way: command line, core, worker processes, signals.

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const APP = `interface Environ { PATH_INFO: string }
type StartResponse = (status: string, headers: [string, string][]) => void;

console.log('loading in', process.pid);

export async function application(environ: Environ, startResponse: StartResponse): Promise<string[]> {
  if (environ.PATH_INFO === '/exit') process.exit(7);
  if (environ.PATH_INFO === '/throw') throw new Error('no such guest');
  if (environ.PATH_INFO === '/slow') await new Promise((resolve) => setTimeout(resolve, 700));
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return [String(process.pid)];
}
`;

let directory: string;
const running = new Set<Gwanmun>();

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-serve-')));
  mkdirSync(join(directory, 'site'));
  writeFileSync(join(directory, 'site/index.html'), 'the page\n');
  writeFileSync(join(directory, 'app.ts'), APP);
  writeFileSync(join(directory, 'throws.ts'), "type A = string;\n\nthrow new Error('no database' as A);\n");
  writeFileSync(join(directory, 'misspelt.ts'), 'export const aplication = () => [];\n');
  writeFileSync(join(directory, 'exits.ts'), 'process.exit(9);\n');
  writeFileSync(
    join(directory, 'hangs.config.mjs'),
    "export default { startTimeout: 300, listen: 0, mounts: [{ path: '/', app: './hangs.mjs' }] };\n",
  );
  writeFileSync(join(directory, 'hangs.mjs'), 'for (;;);\n');
  writeFileSync(
    join(directory, 'both.config.ts'),
    "export default { listen: 0, mounts: [{ path: '/', files: './site', app: './app.ts' }] };\n",
  );
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => {
  for (const { child } of running) child.kill('SIGKILL');
  running.clear();
});

/** A gwanmun process and what it has printed. */
class Gwanmun {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  stdout = '';
  stderr = '';

  constructor(...args: string[]) {
    const env = { ...process.env, NO_COLOR: '1', PORT: '0', HOST: '' };
    this.child = spawn(process.execPath, [MAIN, ...args], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    running.add(this);
  }

  /** Waits until standard error fits the pattern. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stderr);
      if (match) return match;
      if (this.child.exitCode !== null) throw new Error(`exited with ${this.child.exitCode}: ${this.stderr}`);
      await Promise.race([once(this.child.stderr, 'data'), once(this.child, 'close')]);
    }
  }

  async url(): Promise<string> {
    const [, url] = await this.says(
      /^\S+Z info gwanmun \S+ listening on (http:\/\/127\.0\.0\.1:\d+) .* ready in \d+ ms$/m,
    );
    return url as string;
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode;
  }
}

const get = async (url: string): Promise<string> => (await fetch(url)).text();

/** Resolves when no process has this id, or only its remains. */
async function ended(pid: number): Promise<void> {
  await expect.poll(() => isAlive(pid), { timeout: 5000, interval: 20 }).toBe(false);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('gwanmun', () => {
  test('serves a folder without any worker', async () => {
    const server = new Gwanmun('./site');
    const url = await server.url();
    expect(await get(`${url}/`)).toBe('the page\n');
    expect((await fetch(`${url}/none`)).status).toBe(404);
    expect(server.stderr).not.toContain('worker');
    server.child.kill('SIGTERM');
    expect(await server.exit()).toBe(0);
  });

  test('serves an application; what it prints goes to standard error with its name', async () => {
    const server = new Gwanmun('app.ts', '--workers', '2');
    const url = await server.url();
    expect(server.stderr).toContain(' · 2 workers · app.ts · ready in ');
    const pid = Number(await get(`${url}/x`));
    await server.says(new RegExp(`^\\S+Z info \\[worker [12]\\] loading in ${pid}$`, 'm'));
    expect(server.stdout).not.toContain('loading');
    server.child.kill('SIGINT');
    expect(await server.exit()).toBe(0);
    await ended(pid);
  });

  test('serves files first and then the application, as a configuration says', async () => {
    const server = new Gwanmun('-c', 'both.config.ts');
    const url = await server.url();
    expect(await get(`${url}/`)).toBe('the page\n');
    expect(Number(await get(`${url}/other`))).toBeGreaterThan(0);
  });

  test('replaces a worker that exits, and goes on', async () => {
    const server = new Gwanmun('app.ts');
    const url = await server.url();
    const before = await get(`${url}/`);
    expect((await fetch(`${url}/exit`)).status).toBe(502);
    await server.says(/worker 1 exited with code 7; a new one starts in 100 ms/);
    const after = await get(`${url}/`);
    expect(after).not.toBe(before);
    expect(Number(after)).toBeGreaterThan(0);
  });

  test('answers 500 for an application that throws, and its worker goes on', async () => {
    const server = new Gwanmun('app.ts');
    const url = await server.url();
    const before = await get(`${url}/`);
    expect((await fetch(`${url}/throw`)).status).toBe(500);
    await server.says(/error worker 1 \(GET \/throw\): Error: no such guest/);
    expect(await get(`${url}/`)).toBe(before);
  });

  test('finishes a request in progress before it stops', async () => {
    const server = new Gwanmun('app.ts');
    const url = await server.url();
    const pid = await get(url);
    const slow = get(`${url}/slow`);
    // The request is with the application once a later one of the same worker has been answered.
    expect(await get(url)).toBe(pid);
    server.child.kill('SIGTERM');
    expect(await slow).toBe(pid);
    expect(await server.exit()).toBe(0);
  });

  test('takes its workers along when it is killed', async () => {
    const server = new Gwanmun('app.ts');
    const pid = Number(await get(await server.url()));
    server.child.kill('SIGKILL');
    await ended(pid);
  });
});

describe('a start that fails', () => {
  test('names the line of the application that threw, and exits with 1', async () => {
    const server = new Gwanmun('throws.ts', '--workers', '2');
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toMatch(/^✗ GWM_APP_FAILED {2}throws\.ts: no database\n {2}at throws\.ts:3:\d+\n/m);
    expect(server.stderr.match(/✗ GWM_/g)).toHaveLength(1);
  });

  test('says what a module exports instead of an application', async () => {
    const server = new Gwanmun('misspelt.ts');
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain('did you mean "aplication"?');
  });

  test('tells that an application ended its process', async () => {
    const server = new Gwanmun('exits.ts');
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain('GWM_WORKER_EXITED  Worker 1 exited with code 9 before it was ready');
  });

  test('gives up on an application that never gets ready', async () => {
    const server = new Gwanmun('-c', 'hangs.config.mjs');
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain('GWM_WORKER_TIMEOUT  Worker 1 was not ready after 300 ms');
  });

  test('says that a port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const server = new Gwanmun('./site', '--port', String(port));
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain('✗ GWM_PORT_IN_USE');
    expect(server.stderr).toContain(String(port));
    other.close();
  });

  test.each([
    ['GWM_ADDRESS_UNAVAILABLE', { listen: '203.0.113.1:0' }],
    ['GWM_SOCKET_PATH', { listen: 'unix:./none/site.sock' }],
    ['GWM_LOG_FILE', { listen: 0, errorLog: { file: './site' } }],
  ])('says %s with what to do', async (code, config) => {
    const file = join(directory, `${code}.config.json`);
    writeFileSync(file, JSON.stringify({ ...config, mounts: [{ path: '/', files: './site' }] }));
    const server = new Gwanmun('-c', file);
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain(`✗ ${code}  `);
    expect(server.stderr).not.toContain('please report');
  });

  test('takes every limit that the configuration may have', async () => {
    const limits = { requestLine: 61_440, headerBytes: 61_440, headerCount: 1000, bodyInMemory: 262_144 };
    const file = join(directory, 'limits.config.json');
    writeFileSync(file, JSON.stringify({ listen: 0, limits, mounts: [{ path: '/', files: './site' }] }));
    const server = new Gwanmun('-c', file);
    expect(await get(`${await server.url()}/`)).toBe('the page\n');
  });
});
