// The number of workers changes while they serve.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Busy for a while with each request, so that several workers are of use. */
const BUSY = `
export function application(environ, startResponse) {
  const end = performance.now() + 20;
  while (environ.PATH_INFO === '/busy' && performance.now() < end);
  startResponse('200 OK', []);
  return String(process.pid);
}
`;

const of = (server: Gwanmun): string => `process ${server.child.pid} in ${server.folder}`;

async function gwanmun(server: Gwanmun, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args, '--pid', String(server.child.pid)], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  return stdout;
}

async function load(port: number, isOver: () => boolean): Promise<number> {
  const client = await RawClient.connect({ port });
  let count = 0;
  while (!isOver()) {
    await client.send('GET /busy HTTP/1.1\r\nHost: a\r\n\r\n');
    expect((await client.response()).status).toBe(200);
    count += 1;
  }
  client.close();
  return count;
}

describe('the number of workers', () => {
  test('is changed by gwanmun scale, SIGTTIN and SIGTTOU, under load and without a failure', async () => {
    await using server = new Gwanmun({
      config: { accessLog: false, workers: 2 },
      app: './app.ts',
      files: { 'app.ts': BUSY },
    });
    const port = await server.port();
    let isOver = false;
    const loads = Array.from({ length: 4 }, () => load(port, () => isOver));
    expect(await gwanmun(server, 'scale', '4')).toBe(`✓ scaled ${of(server)}: 4 workers\n`);
    expect(server.workers().length).toBe(4);
    expect(await gwanmun(server, 'scale', '1')).toBe(`✓ scaled ${of(server)}: 1 worker\n`);
    await expect.poll(() => server.workers().length).toBe(1);
    server.child.kill('SIGTTIN');
    await server.says(/2 workers instead of 1, as requested/);
    expect(server.workers().length).toBe(2);
    server.child.kill('SIGTTOU');
    await server.says(/1 worker instead of 2, as requested/);
    await expect.poll(() => server.workers().length).toBe(1);
    // One stays.
    server.child.kill('SIGTTOU');
    expect(await gwanmun(server, 'status')).toMatch(/\n {2}1 {7}\d+ +ready/);
    expect(server.workers().length).toBe(1);
    isOver = true;
    for (const count of await Promise.all(loads)) expect(count).toBeGreaterThan(0);
  });

  test('grows with what waits, up to the most, and a reload keeps it', async () => {
    const workers = { min: 1, max: 3 };
    const config = { accessLog: false, concurrency: 1, threads: 1, workers };
    await using server = new Gwanmun({ config, app: './app.ts', files: { 'app.ts': BUSY } });
    const port = await server.port();
    expect(server.workers().length).toBe(1);
    let isOver = false;
    const loads = Array.from({ length: 24 }, () => load(port, () => isOver));
    await server.says(/2 workers instead of 1: requests wait for \d+ ms/);
    await server.says(/3 workers instead of 2: requests wait for \d+ ms/);
    await expect.poll(() => server.workers().length).toBe(3);
    isOver = true;
    await Promise.all(loads);
    expect(await gwanmun(server, 'reload')).toBe(`✓ reloaded ${of(server)}: 3 workers, configuration 2\n`);
    expect(await gwanmun(server, 'scale', '9')).toBe(`✓ scaled ${of(server)}: 3 workers\n`);
  });

  test('that is asked for and does not start leaves things as they are', async () => {
    const app = `
import { existsSync } from 'node:fs';
if (existsSync('broken')) throw new Error('no more');
${BUSY}`;
    await using server = new Gwanmun({ app: './app.ts', files: { 'app.ts': app } });
    const port = await server.port();
    await promisify(execFile)('touch', ['broken'], { cwd: server.folder });
    await expect(gwanmun(server, 'scale', '3')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/GWM_APP_FAILED {2}app\.ts: .*no more/) as string,
    });
    expect(server.workers().length).toBe(1);
    expect((await get(port, '/')).status).toBe(200);
  });
});
