// gwanmun run: a program of Node's, by the command line.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
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

test('one that has listened, and has ended, is told nothing', () => {
  const script = "const s = require('http').createServer(() => {}).listen(0, '127.0.0.1', () => s.close())";
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-run-'));
  writeFileSync(join(folder, 'server.cjs'), script);
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'run', join(folder, 'server.cjs')], {
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true });
  expect([status, stderr]).toEqual([0, '']);
});
