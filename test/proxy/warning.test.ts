// A proxy that is not trusted is told of once, with the line that would change it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { MODULE, see } from './hosts.js';

const mounts = [{ path: '/', app: { wsgi: MODULE } }];
const WARNING = /has X-Forwarded-… or Forwarded headers/g;

test.each([
  ['X-Forwarded-For: 192.0.2.7', undefined, "trustedProxies: ['127.0.0.1']"],
  ['x-forwarded-proto: https', [], "trustedProxies: ['127.0.0.1']"],
  ['Forwarded: for=192.0.2.7', ['10.0.0.0/8', 'unix'], "trustedProxies: ['10.0.0.0/8', 'unix', '127.0.0.1']"],
])('%s, where %j are trusted', async (line, trustedProxies, expected) => {
  await using server = new Gwanmun({ config: { mounts, accessLog: false, trustedProxies } });
  const port = await server.port();
  await see(port, '/contract', ['X-Real-IP: 192.0.2.7', 'Accept-Language: en']);
  for (let i = 0; i < 3; i++) await see(port, '/contract', [line], i === 0 ? '127.0.0.1' : '127.0.0.2');
  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  const [warning, ...others] = server.stderr.split('\n').filter((text) => text.match(WARNING));
  expect(others).toEqual([]);
  expect(warning).toMatch(/^\S+ warn A request from 127\.0\.0\.1 has X-Forwarded-… /);
  expect(warning?.endsWith(`write in the configuration: ${expected}`)).toBe(true);
});

test('the line makes the proxy trusted, also by a reload', async () => {
  await using server = new Gwanmun({ config: { mounts, accessLog: false } });
  const port = await server.port();
  const lines = ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: https'];
  expect(await see(port, '/contract', lines)).toMatchObject({ address: '127.0.0.1', scheme: 'http' });
  const [, line = ''] = await server.says(/write in the configuration: (trustedProxies: .*)/);
  const listen = "listen: { host: '127.0.0.1', port: 0 }";
  const config = `export default { ${listen}, threads: 2, accessLog: false, mounts: ${JSON.stringify(mounts)}, ${line} };`;
  writeFileSync(join(server.folder, 'gwanmun.config.mjs'), config);
  server.child.kill('SIGHUP');
  await server.says(/configuration 2 is in use/);
  expect(await see(port, '/contract', lines)).toMatchObject({ address: '192.0.2.7', scheme: 'https' });
});

test.each(['*', '0.0.0.0/0', '::/0'])('P30 trust in everybody, %s, is told at the start', async (everybody) => {
  await using server = new Gwanmun({ config: { mounts, accessLog: false, trustedProxies: ['10.0.0.0/8', everybody] } });
  const port = await server.port();
  await server.says(/ warn trustedProxies has '\S+': whoever reaches the server chooses the address, scheme and host/);
  const { address } = await see(port, '/contract', ['X-Forwarded-For: 192.0.2.7, 192.0.2.8']);
  expect(address).toBe(everybody === '::/0' ? '127.0.0.1' : '192.0.2.7');
});
