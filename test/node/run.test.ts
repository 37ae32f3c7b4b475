// gwanmun run: a program of Node's, by the command line.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
