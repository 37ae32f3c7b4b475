// Where a fault is: file, line, column and key, also when it is found long after the configuration was read.

import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { serve } from '../../src/serve.js';
import { MAIN, NewUser } from './new-user.js';

const HELLO =
  "export function application(environ, startResponse) {\n  startResponse('200 OK', []);\n  return [];\n}\n";

async function taken(at: string | number): Promise<Server> {
  const server = createServer();
  if (typeof at === 'string') server.listen(at);
  else server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test.each([
  ['a port', (port: number) => `listen: ${port},`, '2:3  listen'],
  ['a list', (port: number) => `listen: [0, '127.0.0.1:${port}'],`, '2:15  listen[1]'],
  ['an object', (port: number) => `listen: { host: '127.0.0.1', port: ${port} },`, '2:32  listen.port'],
])('a taken port of %s is at its key', async (_, listen, place) => {
  using user = new NewUser();
  const other = await taken(0);
  const text = `export default {\n  ${listen((other.address() as AddressInfo).port)}\n  mounts: [{ path: '/', files: '.' }],\n};\n`;
  const { stderr } = await user.has({ 'gwanmun.config.ts': text }).gwanmun();
  other.close();
  expect(stderr).toContain(`already in use by process ${process.pid}: `);
  expect(stderr).toContain(`\n  at gwanmun.config.ts:${place}\n  try: stop it (kill ${process.pid})`);
});

test('a taken port of the environment is at PORT, and of nobody nowhere', async () => {
  using user = new NewUser();
  const other = await taken(0);
  const env = { PORT: String((other.address() as AddressInfo).port) };
  const { stderr } = await user.has({ 'site/': '' }).runs(process.execPath, [MAIN, './site'], env);
  other.close();
  expect(stderr).toContain('\n  at environment variable PORT\n');
});

test('a Unix socket that a server listens on is named with the process', async () => {
  using user = new NewUser();
  const other = await taken(join(user.folder, 'site.sock'));
  const config = "export default {\n  listen: 'unix:./site.sock',\n  mounts: [{ path: '/', files: '.' }],\n};\n";
  const { code, stderr } = await user.has({ 'gwanmun.config.ts': config }).gwanmun();
  other.close();
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_PORT_IN_USE {2}unix:\S+\/site\.sock is already in use by process \d+: /);
  expect(stderr).toContain('\n  at gwanmun.config.ts:2:3  listen\n');
});

test.each([
  [
    'longer than a socket may be',
    `./${'x'.repeat(120)}.sock`,
    /has \d+ bytes, and a Unix socket's has at most 107\.\n/,
  ],
  ['of a file that is no socket', './gwanmun.config.ts', /: a file that is not a socket has this name\.\n/],
])('a path %s is told as such', async (_, path, message) => {
  using user = new NewUser();
  const config = `export default {\n  listen: [{ unix: '${path}' }],\n  mounts: [{ path: '/', files: '.' }],\n};\n`;
  const { code, stderr } = await user.has({ 'gwanmun.config.ts': config }).gwanmun();
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_SOCKET_PATH /);
  expect(stderr).toMatch(message);
  expect(stderr).toContain('\n  at gwanmun.config.ts:2:12  listen[0]\n');
});

test('a folder that is missing, and one that may not be read, are at their mounts', async () => {
  using user = new NewUser();
  user.has({ 'secret/': '' });
  chmodSync(join(user.folder, 'secret'), 0);
  writeFileSync(
    join(user.folder, 'gwanmun.config.ts'),
    "export default {\n  mounts: [\n    { path: '/', files: './publik' },\n    { path: '/s', files: './secret' },\n  ],\n};\n",
  );
  const drop = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', process.execPath];
  const { code, stderr } = await (process.getuid?.() === 0
    ? user.has({ 'public/': '' }).runs('setpriv', [...drop, MAIN])
    : user.has({ 'public/': '' }).gwanmun());
  expect(code).toBe(2);
  expect(stderr).toContain(
    '  gwanmun.config.ts:3:18  mounts[0].files\n    there is no folder publik; did you mean "public"?',
  );
  expect(stderr).toContain('  gwanmun.config.ts:4:19  mounts[1].files\n    this user may not read secret');
});

test('a log that may not be written is at its key, whichever it is', async () => {
  using user = new NewUser();
  const config =
    "export default {\n  mounts: [{ path: '/', files: '.' }],\n  listen: 0,\n  accessLog: { format: 'short', file: '.' },\n};\n";
  const { stderr } = await user.has({ 'gwanmun.config.ts': config }).gwanmun();
  expect(stderr).toMatch(/^✗ GWM_LOG_FILE /);
  expect(stderr).toContain('\n  at gwanmun.config.ts:4:33  accessLog.file\n');
});

test.each([
  ['{"a": 1,}', 1, 9],
  ['{\n  // a note\n}', 2, 3],
  ['{"a": tru}', 1, 10],
  ['{"a": "x\ny"}', 1, 9],
  ['{"a": 1', 1, 8],
  ['', 1, 1],
  ['{"a": [1 2]}', 1, 10],
  [`{"a": ${'1, "b": '.repeat(40)} x}`, 1, 328],
])('broken JSON %j is at its character', async (text, line, column) => {
  using user = new NewUser();
  const { code, stderr } = await user.has({ 'gwanmun.config.json': text }).gwanmun('check');
  expect(code).toBe(2);
  expect(stderr).toMatch(/^✗ GWM_CONFIG_LOAD {2}gwanmun\.config\.json is not valid JSON: [A-Z][^\n]*\n/);
  expect(stderr).toContain(`\n  at gwanmun.config.json:${line}:${column}\n`);
});

test.each(['app.ts', 'app.mjs'])('a syntax error in a module that %s imports is shown in that module', async (name) => {
  using user = new NewUser();
  const page = name.replace('app', 'page');
  user.has({
    [name]: `import { page } from './${page}';\n${HELLO.replace('return []', 'return [page]')}`,
    [page]: 'const title = 1;\n\nexport const page = = title;\n',
  });
  const { code, stderr } = await user.gwanmun(name);
  expect(code).toBe(1);
  expect(stderr).toMatch(new RegExp(`^✗ GWM_APP_SYNTAX  ${name}: Unexpected token`));
  expect(stderr).toContain(`\n  at ${page}:3:21\n`);
  expect(stderr).toContain('\n    > 3 | export const page = = title;\n        |                     ^\n');
});

test('an application that throws while it answers is in the log with its own frames alone', async () => {
  using user = new NewUser();
  user.has({
    'app.ts': "export function application() {\n  return other();\n}\nfunction other() {\n  throw new Error('x');\n}\n",
  });
  const { code, stderr } = await user.gwanmun('fetch', '/', 'app.ts');
  expect(code).toBe(5);
  expect(stderr).toMatch(
    / error worker 1 \(GET \/\): Error: x\n\t {4}at other \(\S+app\.ts:5:9\)\n\t {4}at application \(\S+app\.ts:2:10\)\n/,
  );
  expect(stderr.match(/\n\s+at /g)).toHaveLength(2);
});

test('serve() names what it was given', async () => {
  const other = await taken(0);
  const { port } = other.address() as AddressInfo;
  await expect(serve({ application: () => [], port })).rejects.toMatchObject({
    code: 'GWM_PORT_IN_USE',
    message: `Port ${port} on 127.0.0.1 is already in use by this process itself`,
    where: { file: 'serve()', key: 'listen' },
  });
  other.close();
});

test('cargo that is too old is told apart from none', async () => {
  using user = new NewUser();
  const { stderr } = await oldCargo(user);
  expect(stderr).toMatch(
    /^✗ GWM_CARGO {2}cargo 1\.50\.0 is too old; the native core needs Rust 1\.\d+ or newer\n {2}try: rustup update\n/,
  );
});

function oldCargo(user: NewUser): ReturnType<NewUser['runs']> {
  user.installs('scripts', 'Cargo.toml', 'package-lock.json');
  user.has({ 'bin/cargo': '#!/bin/sh\necho "cargo 1.50.0 (f04e7fab7 2021-02-04)"\n' });
  chmodSync(join(user.folder, 'bin/cargo'), 0o755);
  return user.runs(process.execPath, ['scripts/build.mjs'], { PATH: `${user.folder}/bin:${process.env['PATH']}` });
}
