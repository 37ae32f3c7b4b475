// One request to what would be served, by the real server, and what it leaves behind.

import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const APP = `export function application(environ: Record<string, any>, startResponse: Function) {
  if (environ.PATH_INFO === '/throw') throw new Error('no such guest');
  if (environ.PATH_INFO === '/endless') {
    startResponse('200 OK', []);
    return (function* () { for (;;) yield 'y'.repeat(1024); })();
  }
  console.log('asked');
  const status = environ.PATH_INFO === '/missing' ? '404 Not Found' : '201 Created';
  startResponse(status, [['Content-Type', 'application/json'], ['X-One', 'a'], ['X-One', 'b']]);
  const { REQUEST_METHOD, PATH_INFO, QUERY_STRING, CONTENT_TYPE, REMOTE_ADDR, HTTP_HOST, HTTP_X_A } = environ;
  const body = environ['wsgi.input'].read().toString('latin1');
  return JSON.stringify({ REQUEST_METHOD, PATH_INFO, QUERY_STRING, CONTENT_TYPE, REMOTE_ADDR, HTTP_HOST, HTTP_X_A, body });
}
`;

let directory: string;
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-fetch-')));
  mkdirSync(join(directory, 'site'));
  writeFileSync(join(directory, 'site/index.html'), 'the page\n');
  writeFileSync(join(directory, 'app.ts'), APP);
  writeFileSync(
    join(directory, 'gwanmun.config.ts'),
    "export default { listen: 1, workers: 4, mounts: [{ path: '/', files: './site' }, { path: '/app', app: './app.ts' }] };\n",
  );
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function gwanmun(args: readonly string[], input = ''): Promise<Ended> {
  const env = { ...process.env, NO_COLOR: '1', PORT: '1', HOST: '' };
  const child = spawn(process.execPath, [MAIN, 'fetch', ...args], { cwd: directory, env, timeout: 15_000 });
  child.stdin.end(input);
  return new Promise((resolve) => {
    const ended: Ended = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (ended.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (ended.stderr += chunk.toString()));
    child.once('close', (code) => resolve({ ...ended, code }));
  });
}

/** What the application says that it got. */
async function asked(...args: string[]): Promise<Record<string, string>> {
  const { code, stdout } = await gwanmun(args);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Record<string, string>;
}

describe('gwanmun fetch', () => {
  test('prints the body of the answer, and what the application printed to standard error', async () => {
    const { code, stdout, stderr } = await gwanmun(['/caf%C3%A9?a=1', 'app.ts']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      REQUEST_METHOD: 'GET',
      PATH_INFO: '/caf\u00c3\u00a9',
      QUERY_STRING: 'a=1',
      REMOTE_ADDR: '127.0.0.1',
      HTTP_HOST: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      body: '',
    });
    expect(stderr).toBe('[worker 1] asked\n');
  });

  test('asks what the configuration says, with its mounts, one worker and no fixed port', async () => {
    expect(await gwanmun(['/'])).toEqual({ code: 0, stdout: 'the page\n', stderr: '' });
    expect(await asked('/app/x')).toMatchObject({ PATH_INFO: '/x' });
  });

  test('asks a folder', async () => {
    expect(await gwanmun(['/index.html', './site'])).toEqual({ code: 0, stdout: 'the page\n', stderr: '' });
  });

  test('-i prints the head as it came, -I nothing else', async () => {
    const { stdout } = await gwanmun(['-i', '/x', 'app.ts']);
    expect(stdout).toMatch(
      /^HTTP\/1\.1 201 Created\nDate: .*\nServer: .*\nContent-Type: application\/json\nX-One: a\nX-One: b\n/,
    );
    expect(stdout).toMatch(/\n\n\{"REQUEST_METHOD":"GET".*\}$/);
    const head = await gwanmun(['-I', '/index.html', './site']);
    expect(head.stdout).toMatch(/^HTTP\/1\.1 200 OK\n(.+: .+\n)+\n$/);
    expect(head.stdout).toContain('Content-Length: 9\n');
  });

  test('sends method, headers and a body', async () => {
    expect(await asked('/', 'app.ts', '-X', 'PUT', '-H', 'X-A: one', '-H', 'Host: site.example')).toMatchObject({
      REQUEST_METHOD: 'PUT',
      HTTP_X_A: 'one',
      HTTP_HOST: 'site.example',
    });
    expect(await asked('/', 'app.ts', '-d', 'a=1', '-d', 'b=2')).toMatchObject({
      REQUEST_METHOD: 'POST',
      CONTENT_TYPE: 'application/x-www-form-urlencoded',
      body: 'a=1&b=2',
    });
    expect(await asked('/', 'app.ts', '--json', '{"a":1}')).toMatchObject({
      REQUEST_METHOD: 'POST',
      CONTENT_TYPE: 'application/json',
      body: '{"a":1}',
    });
    expect(await asked('https://site.example/x?y', 'app.ts')).toMatchObject({
      HTTP_HOST: 'site.example',
      PATH_INFO: '/x',
      QUERY_STRING: 'y',
    });
  });

  test('reads a body from a file and from standard input', async () => {
    writeFileSync(join(directory, 'body.txt'), 'from a file');
    expect(await asked('/', 'app.ts', '-d', '@body.txt')).toMatchObject({ body: 'from a file' });
    const { stdout } = await gwanmun(['/', 'app.ts', '-d@-'], 'from a pipe');
    expect(JSON.parse(stdout)).toMatchObject({ body: 'from a pipe' });
    expect(await gwanmun(['/', 'app.ts', '-d', '@none'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('✗ GWM_USAGE  --data: none cannot be read') as string,
    });
  });

  test('exits with 4 for a 4xx and with 5 for a 5xx, whose stack is shown', async () => {
    const missing = await gwanmun(['/missing', 'app.ts']);
    expect([missing.code, missing.stderr]).toEqual([4, '[worker 1] asked\ngwanmun: 404 Not Found\n']);
    expect(missing.stdout).toContain('"PATH_INFO":"/missing"');
    const thrown = await gwanmun(['/throw', 'app.ts']);
    expect(thrown.code).toBe(5);
    expect(thrown.stderr).toMatch(/GET \/throw\): Error: no such guest\n\t {4}at application \(.*app\.ts:2:\d+\)\n/);
  });

  test('exits with 1 and the same error as gwanmun itself where there is nothing to ask', async () => {
    writeFileSync(join(directory, 'broken.ts'), "throw new Error('no database');\n");
    const { code, stderr } = await gwanmun(['/', 'broken.ts']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('✗ GWM_APP_FAILED  broken.ts: no database\n')]);
  });

  test('ends with its reader, and leaves no process behind', async () => {
    const env = { ...process.env, PORT: '', GWANMUN_TEST: directory };
    const child = spawn(process.execPath, [MAIN, 'fetch', '/endless', 'app.ts'], {
      cwd: directory,
      env,
      detached: true,
    });
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    child.stdout.destroy();
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect(code).toBe(0);
    const { pid = 0 } = child;
    // Its process group has no member any more.
    await expect.poll(() => isAlive(-pid), { timeout: 5000, interval: 20 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
