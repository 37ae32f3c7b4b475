// Each file that is loaded takes a start a millisecond of CPU, and a package takes several.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const APP = 'export function application(environ, startResponse) { startResponse("200 OK", []); return ""; }\n';

function start(): Gwanmun {
  return new Gwanmun({
    config: { mounts: [{ path: '/', app: './app.mjs' }] },
    files: { 'app.mjs': APP },
    env: { NODE_V8_COVERAGE: 'loaded' },
  });
}

/** The files that each process has loaded in its life, threads apart: Node writes that down at its end. */
function loaded(gwanmun: Gwanmun): string[][] {
  const folder = join(gwanmun.folder, 'loaded');
  const mains = readdirSync(folder).filter((name) => name.endsWith('-0.json'));
  return mains.map((name) => {
    const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { result: { url: string }[] };
    const paths = result.filter(({ url }) => url.startsWith('file:')).map(({ url }) => fileURLToPath(url));
    return paths.map((path) => relative(path.startsWith(gwanmun.folder) ? gwanmun.folder : ROOT, path)).sort();
  });
}

const MAIN = [
  'dist/chunks/base.js',
  'dist/chunks/format-error.js',
  'dist/chunks/run.js',
  'dist/chunks/server.js',
  'dist/cli/main.js',
  'gwanmun.config.mjs',
];
const WORKER = ['app.mjs', 'dist/chunks/base.js', 'dist/chunks/gateway.js', 'dist/worker/main.js'];

test('a start with one worker loads these files, and of no package any', async () => {
  await using gwanmun = start();
  await gwanmun.port();
  gwanmun.child.kill('SIGTERM');
  expect(await gwanmun.exit()).toBe(0);
  expect(loaded(gwanmun).sort((a, b) => b.length - a.length)).toEqual([MAIN, WORKER]);
});

test('a server loads nothing more in its life: its package may be another version by then', async () => {
  await using gwanmun = start();
  await gwanmun.port();
  gwanmun.child.kill('SIGHUP');
  await gwanmun.says(/configuration 2 is in use/);
  gwanmun.child.kill('SIGUSR2');
  const [, successor] = await gwanmun.says(/process (\d+) has taken over/);
  expect(await gwanmun.exit()).toBe(0);
  process.kill(Number(successor), 'SIGTERM');
  await gwanmun.leavesNobody();
  for (const files of loaded(gwanmun)) expect([MAIN, WORKER]).toContainEqual(files);
});
