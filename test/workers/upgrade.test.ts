// Another process takes the place of a running one, and no client notices.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { header, RawClient } from '../http/raw-client.js';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const REQUEST = 'GET /pid HTTP/1.1\r\nHost: a\r\n\r\n';

async function upgrade(server: Gwanmun, pid: number | undefined = server.child.pid): Promise<number> {
  const args = [MAIN, 'upgrade', '--pid', String(pid), '--json'];
  return Number((await promisify(execFile)(process.execPath, args)).stdout);
}

/** Asks until it is over: each time on a new connection, or on one as long as that may be used. */
async function load(port: number, isNew: boolean, isOver: () => boolean): Promise<number> {
  let client = await RawClient.connect({ port });
  let count = 0;
  while (!isOver()) {
    await client.send(REQUEST);
    const response = await client.response();
    expect(response.status).toBe(200);
    count += 1;
    if (isNew || header(response, 'connection') === 'close') {
      client.close();
      client = await RawClient.connect({ port });
    }
  }
  client.close();
  return count;
}

/** Ends whatever process has come of it. */
async function end(server: Gwanmun, pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await server.leavesNobody();
}

describe('an upgrade', () => {
  test('again and again under load: no request fails, and each old process ends with 0', async () => {
    const config = { accessLog: false, workers: 2, pidFile: 'site.pid', timeouts: { keepAlive: 2000 } };
    await using server = new Gwanmun({ config });
    const port = await server.port();
    let isOver = false;
    const loads = Array.from({ length: 8 }, (_, index) => load(port, index % 2 === 0, () => isOver));
    let pid = server.child.pid ?? 0;
    for (let count = 0; count < 3; count += 1) {
      const next = await upgrade(server, pid);
      expect(next).not.toBe(pid);
      await expect.poll(() => readFileSync(join(server.folder, 'site.pid'), 'utf8')).toBe(`${next}\n`);
      await server.says(new RegExp(`process ${next} has taken over`));
      pid = next;
    }
    isOver = true;
    for (const count of await Promise.all(loads)) expect(count).toBeGreaterThan(10);
    expect(await server.exit()).toBe(0);
    await end(server, pid);
    expect(existsSync(join(server.folder, 'site.pid'))).toBe(false);
  });

  test('to a process whose configuration talks on the channel by which it says that it serves: only that is believed', async () => {
    await using server = new Gwanmun();
    const port = await server.port();
    const file = join(server.folder, 'gwanmun.config.mjs');
    const talks = `import { writeSync } from 'node:fs';
try {
  writeSync(3, '{"cmd":"NODE_HANDLE","type":"no such"}\\nready\\n');
} catch {
  // It was started by hand.
}
`;
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, `${talks}process.exit(3);\n${text}`);
    await expect(upgrade(server)).rejects.toMatchObject({ stderr: expect.stringMatching(/ended with 3/) as string });
    expect((await get(port, '/pid')).status).toBe(200);
    writeFileSync(file, `${talks}${text}`);
    const next = await upgrade(server);
    expect((await get(port, '/pid')).status).toBe(200);
    await end(server, next);
  });

  test('an idle connection gets one more answer, which says that it is the last', async () => {
    await using server = new Gwanmun({ config: { accessLog: false } });
    const port = await server.port();
    const client = await RawClient.connect({ port });
    await client.send(REQUEST);
    const before = await client.response();
    server.child.kill('SIGUSR2');
    const [, pid] = await server.says(/process (\d+) has taken over/);
    // For a moment both accept.
    await expect.poll(async () => (await get(port, '/pid')).body.toString()).not.toBe(before.body.toString());
    await client.send(REQUEST);
    const after = await client.response();
    expect([after.status, header(after, 'connection')]).toEqual([200, 'close']);
    expect(after.body.toString()).toBe(before.body.toString());
    expect(await server.exit()).toBe(0);
    await end(server, Number(pid));
  });

  test('of a Unix socket: its file stays until the last one ends', async () => {
    const path = 'site.sock';
    await using server = new Gwanmun({ config: { listen: `unix:${path}`, accessLog: false } });
    await server.says(/listening on unix:/);
    const pid = await upgrade(server);
    expect(await server.exit()).toBe(0);
    const client = await RawClient.connect({ path: join(server.folder, path) });
    await client.send(REQUEST);
    expect((await client.response()).status).toBe(200);
    client.close();
    await end(server, pid);
    expect(existsSync(join(server.folder, path))).toBe(false);
  });

  test('that fails leaves everything as it was', async () => {
    await using server = new Gwanmun({ config: { accessLog: false } });
    const port = await server.port();
    const file = join(server.folder, 'gwanmun.config.mjs');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, 'export default { mounts: 3 }');
    await expect(upgrade(server)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        'GWM_SUCCESSOR  The new process ended with 2; everything goes on as it was',
      ) as string,
    });
    await server.says(/GWM_CONFIG_INVALID/);
    expect((await get(port, '/pid')).status).toBe(200);
    writeFileSync(file, text);
    const pid = await upgrade(server);
    expect((await get(port, '/pid')).status).toBe(200);
    expect(await server.exit()).toBe(0);
    await end(server, pid);
  });
});
