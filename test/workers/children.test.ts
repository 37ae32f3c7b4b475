// Programs that an application in Node starts are programs like any other: signals reach them, and they hold nothing of their worker's.

import { expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

const APP = `
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

// As the module is loaded, the worker has its links already.
const early = spawn('sleep', ['600'], { detached: true, stdio: 'inherit' });

const PROGRAMS = {
  '/signals': () => execFileSync('cat', ['/proc/self/status']),
  '/descriptors': () => execFileSync('sh', ['-c', 'ls -l /proc/$0/fd /proc/self/fd | grep -vE " [012] -> " | grep -E "socket|memfd|eventfd" || true', String(early.pid)]),
};

export async function application(environ, startResponse) {
  startResponse('200 OK', []);
  const program = PROGRAMS[environ.PATH_INFO];
  if (program) return program();
  early.kill('SIGTERM');
  const [code, signal] = await once(early, 'exit');
  return signal;
}
`;

test('none of the signals that its worker leaves to the main process is blocked or ignored, and no link is inherited', async () => {
  await using server = new Gwanmun({ app: './children.mjs', files: { 'children.mjs': APP } });
  const port = await server.port();
  const [signals, descriptors] = await Promise.all(['/signals', '/descriptors'].map((path) => get(port, path)));
  expect(signals?.body.toString()).toMatch(/^SigBlk:\s0+\nSigIgn:\s0+\n/m);
  expect(descriptors?.body.toString()).toBe('');
  expect((await get(port, '/end')).body.toString()).toBe('SIGTERM');
});
