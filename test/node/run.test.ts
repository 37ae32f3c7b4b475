// gwanmun run: a program of Node's, by the command line.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { request } from './serving.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const SCRIPT = fileURLToPath(new URL('fixtures/server.cjs', import.meta.url));

test('the program is the main module, with its own arguments, and its server is on the core', async () => {
  const child = spawn(process.execPath, [MAIN, 'run', SCRIPT, '--port', 'x'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const [output] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const [, port] = /port (\d+) true/.exec(output) ?? [];
  const client = await RawClient.connect({ port: Number(port) });
  await client.send(request('GET /a'));
  expect(JSON.parse(String((await client.response()).body))).toMatchObject({
    url: '/a',
    main: true,
    args: ['--port', 'x'],
  });
  await client.send(request('GET /stop'));
  await client.response();
  client.close();
  expect(await exit).toEqual([0, null]);
});

test.each([
  [['run'], 'gwanmun run needs a program'],
  [['run', './no-such-file.js'], 'there is no file ./no-such-file.js'],
])('%j is told what is missing', (args, message) => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain(message);
});

test('a program is found as node and npx find it: without its extension, and in node_modules/.bin of a folder above', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-run-'));
  const print = 'console.log(process.argv.slice(2).join()); process.reallyExit(0);\n';
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true });
  mkdirSync(join(folder, 'node_modules/pack'));
  mkdirSync(join(folder, 'deep'));
  writeFileSync(join(folder, 'deep/server.cjs'), print);
  writeFileSync(join(folder, 'node_modules/tool.cjs'), `#!/usr/bin/env node\n${print}`);
  symlinkSync('../tool.cjs', join(folder, 'node_modules/.bin/tool'));
  // As pnpm writes it.
  writeFileSync(join(folder, 'node_modules/.bin/pack'), '#!/bin/sh\nexec node "$basedir/../pack/cli.cjs" "$@"\n');
  writeFileSync(join(folder, 'node_modules/pack/package.json'), '{"bin":"cli.cjs"}');
  writeFileSync(join(folder, 'node_modules/pack/cli.cjs'), print);
  for (const name of ['server', 'tool', 'pack']) {
    const { stdout, stderr } = spawnSync(process.execPath, [MAIN, 'run', name, 'a', '-b'], {
      cwd: join(folder, 'deep'),
      encoding: 'utf8',
    });
    expect({ name, stdout, stderr }).toEqual({ name, stdout: 'a,-b\n', stderr: '' });
  }
  rmSync(folder, { recursive: true });
});

test('a program that exports its application and does not listen is told of the other way', () => {
  const application = fileURLToPath(new URL('../../examples/koa/app.js', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'run', application], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(stderr).toContain(`If it exports an application: gwanmun ${application}`);
});

test('one that has listened is told that it is at work, and no more when it has ended', () => {
  const script = "const s = require('http').createServer(() => {}).listen(0, '127.0.0.1', () => s.close())";
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-run-'));
  writeFileSync(join(folder, 'server.cjs'), script);
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'run', join(folder, 'server.cjs')], {
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true });
  expect([status, stderr]).toEqual([
    0,
    expect.stringMatching(/^gwanmun \S+ runs \S+server\.cjs on its core: http:\/\/127\.0\.0\.1:\d+\n$/),
  ]);
});

describe('a program that runs', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-run-'));
  // Control sockets of its own.
  const env = { ...process.env, XDG_RUNTIME_DIR: folder };
  afterAll(() => rmSync(folder, { recursive: true }));

  async function start(script: string, ...options: string[]): Promise<{ child: ChildProcess; port: number }> {
    const file = join(folder, 'program.cjs');
    writeFileSync(file, script);
    const child = spawn(process.execPath, [MAIN, 'run', ...options, file], {
      env,
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [line] = (await once((child.stdout as Readable).setEncoding('utf8'), 'data')) as [string];
    return { child, port: Number(line) };
  }
  const control = async (...words: string[]): Promise<string> => {
    const child = spawn(process.execPath, [MAIN, ...words], { env, cwd: folder });
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return out + err;
  };
  const SERVER = `const server = require('http').createServer((req, res) => res.end('hello'));
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;

  test('is known to status and stop; reload says why not', async () => {
    const { child, port } = await start(SERVER);
    const exit = once(child, 'exit');
    const status = JSON.parse(await control('status', '--json')) as { pid: number; listen: unknown; config: string };
    expect(status).toMatchObject({ pid: child.pid, listen: [{ kind: 'tcp', host: '127.0.0.1', port }] });
    expect(status.config).toMatch(/program\.cjs$/);
    expect(await control('status')).toContain(`http://127.0.0.1:${port}`);
    expect(await control('reload')).toContain('gwanmun reload is not for a program that gwanmun run has started');
    expect(await control('stop')).toContain('stopped');
    expect(await exit).toEqual([0, null]);
  });

  test('ends in its own way when it has one', async () => {
    const { child } = await start(`${SERVER} process.on('SIGTERM', () => process.exit(7));`);
    const exit = once(child, 'exit');
    await control('stop');
    expect(await exit).toEqual([7, null]);
  });

  test('has an access log when it is asked for one', async () => {
    const { child, port } = await start(SERVER, '--access-log=json');
    const lines = text(child.stdout as Readable);
    const client = await RawClient.connect({ port });
    await client.send(request('GET /path'));
    await client.response();
    client.close();
    await control('stop');
    const line = (await lines).trim();
    expect(JSON.parse(line)).toMatchObject({ event: 'request', status: 200 });
    expect(line).toContain('/path');
  });

  test('whose forked child listens: that one says that it is not on the core', async () => {
    const { child } = await start(`if (process.send) require('http').createServer().listen(0, '127.0.0.1', () => {
        process.send('up');
        process.disconnect();
      }).unref();
      else { require('child_process').fork(__filename).on('message', () => console.log(1)); }`);
    const errors = text(child.stderr as Readable);
    await once(child, 'exit');
    expect(await errors).toMatch(/^gwanmun: process \d+ is not on the core: /);
  });
});
