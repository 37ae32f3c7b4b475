// `gwanmun init`: what it writes works, and what was there stays.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.js');

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-init-')));
});
afterEach(() => rmSync(directory, { recursive: true }));

function gwanmun(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NO_COLOR: '1', PORT: '', HOST: '' };
  return spawnSync(process.execPath, [MAIN, ...args], { cwd: directory, env, encoding: 'utf8', timeout: 15_000 });
}

function write(name: string, text: string): void {
  mkdirSync(dirname(join(directory, name)), { recursive: true });
  writeFileSync(join(directory, name), text);
}

const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

test('in an empty folder it writes what gwanmun then checks, serves and types', () => {
  const { status, stdout, stderr } = gwanmun('init');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(readdirSync(directory).toSorted()).toEqual([
    'app.ts',
    'gwanmun.config.ts',
    'package.json',
    'public',
    'tsconfig.json',
  ]);
  for (const name of readdirSync(directory)) expect(stdout).toContain(`✓ ${name}`);
  expect(stdout).toContain('npm start');
  expect(gwanmun('check')).toMatchObject({ status: 0, stderr: '' });
  expect(gwanmun('fetch', '/').stdout).toContain('<h1>It works</h1>');
  expect(gwanmun('fetch', '/hello')).toMatchObject({ status: 0, stdout: 'Hello from /hello\n', stderr: '' });
  // As after npm install.
  mkdirSync(join(directory, 'node_modules/@types'), { recursive: true });
  symlinkSync(ROOT, join(directory, 'node_modules/gwanmun'));
  symlinkSync(join(ROOT, 'node_modules/@types/node'), join(directory, 'node_modules/@types/node'));
  const tsc = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc')], {
    cwd: directory,
    encoding: 'utf8',
  });
  expect({ status: tsc.status, stdout: tsc.stdout }).toEqual({ status: 0, stdout: '' });
});

test('a second time it changes nothing and says so', () => {
  gwanmun('init');
  write('app.ts', '// mine\n');
  const { status, stderr } = gwanmun('init');
  expect(status).toBe(2);
  expect(stderr).toBe(
    '✗ GWM_INIT_EXISTS  gwanmun.config.ts is here already; nothing was written\n  at gwanmun.config.ts\n  try: gwanmun check\n',
  );
  expect(read('app.ts')).toBe('// mine\n');
});

test('it serves the folder and the application that are there', () => {
  write('dist/index.html', 'built\n');
  write('src/app.ts', "export const application = (_: unknown, start: Function) => (start('200 OK', []), 'mine');\n");
  write('package.json', '{"type":"module"}');
  expect(gwanmun('init').status).toBe(0);
  expect(readdirSync(directory).toSorted()).toEqual([
    'dist',
    'gwanmun.config.ts',
    'package.json',
    'src',
    'tsconfig.json',
  ]);
  expect(read('gwanmun.config.ts')).toContain("{ path: '/', files: './dist', app: './src/app.ts' }");
  expect(gwanmun('fetch', '/').stdout).toBe('built\n');
  expect(gwanmun('fetch', '/x').stdout).toBe('mine');
});

test('where package.json does not say "module", the files are .mts, and nothing is warned of', () => {
  write('package.json', '{"name":"old","type":"commonjs"}');
  write('app.mts', 'export const something = 1;\n');
  expect(gwanmun('init').status).toBe(0);
  expect(JSON.parse(read('package.json'))).toEqual({ name: 'old', type: 'commonjs', scripts: { start: 'gwanmun' } });
  expect(read('app.mts')).toBe('export const something = 1;\n');
  expect(existsSync(join(directory, 'gwanmun.config.mts'))).toBe(true);
  expect(gwanmun('fetch', '/hello')).toMatchObject({ status: 0, stdout: 'Hello from /hello\n', stderr: '' });
});

test('a script start that is there stays', () => {
  const manifest = '{"type":"module","scripts":{"start":"vite"}}';
  write('package.json', manifest);
  const { stdout } = gwanmun('init');
  expect(read('package.json')).toBe(manifest);
  expect(stdout).toContain('npx gwanmun');
});

test('the command that installs names what runs, and works without a registry', () => {
  const install = /npm install (\S+)/.exec(gwanmun('init').stdout)?.[1] ?? '';
  expect(realpathSync(resolve(directory, install))).toBe(realpathSync(ROOT));
});

test('where a folder has no index.html, an application answers /', () => {
  write('public/a.txt', 'a');
  write('package.json', '{"type":"module"}');
  expect(gwanmun('init').status).toBe(0);
  expect(gwanmun('fetch', '/')).toMatchObject({ status: 0, stdout: 'Hello from /\n' });
  expect(gwanmun('fetch', '/a.txt')).toMatchObject({ status: 0, stdout: 'a' });
});

test('a new folder is a project of its own, also below another one', () => {
  write('package.json', '{}');
  expect(gwanmun('init', 'site').status).toBe(0);
  expect(JSON.parse(read('site/package.json'))).toMatchObject({ type: 'module', scripts: { start: 'gwanmun' } });
  expect(existsSync(join(directory, 'site/app.ts'))).toBe(true);
});

test('a named folder is made', () => {
  const { status, stdout } = gwanmun('init', 'new/site');
  expect(status).toBe(0);
  expect(stdout).toContain('cd new/site');
  expect(existsSync(join(directory, 'new/site/gwanmun.config.ts'))).toBe(true);
  expect(gwanmun('init', 'new/site')).toMatchObject({ status: 2 });
  write('file', '');
  expect(gwanmun('init', 'file')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('✗ GWM_TARGET  file is not a folder') as string,
  });
});
