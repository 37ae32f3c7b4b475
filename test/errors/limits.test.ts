// At a limit of the system the error is the limit's, whatever was to be done, and never one of gwanmun's own.

import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { fromCore, systemFault } from '../../src/errors.js';
import { followWorker } from '../../src/supervisor/worker-process.js';
import { MAIN, NewUser } from './new-user.js';

describe('too few descriptors', () => {
  // Too few for our modules, for the listeners, for the I/O threads, for the links of the workers.
  test.each([28, 36, 44, 52, 60, 68, 76, 84])('%i of them', async (limit) => {
    using user = new NewUser();
    user.has({
      'app.mjs': `export const application = (environ, startResponse) => { startResponse('200 OK', []); return 'ok'; };`,
      'gwanmun.config.mjs': `export default { mounts: [{ path: '/', app: './app.mjs' }], workers: 8, threads: 16 };`,
    });
    const command = `ulimit -n ${limit}; exec '${process.execPath}' '${MAIN}' --port 0`;
    const { code, stderr } = await user.runs('bash', ['-c', command]);
    expect(stderr).toMatch(/^✗ GWM_FD_LIMIT {2}.*(too many open files|EMFILE)/im);
    expect(stderr).toMatch(/^ {2}try: raise the limit: ulimit -n 65536$/m);
    expect(code).toBe(1);
  });

  test('for a worker: it has not started, and nothing else is thrown', async () => {
    const child = spawn('/nowhere', { stdio: 'ignore' });
    const worker = followWorker(
      3,
      child,
      () => undefined,
      async () => undefined,
    );
    child.emit(
      'error',
      Object.assign(new Error('spawn /usr/bin/node EMFILE'), { code: 'EMFILE', syscall: 'spawn node' }),
    );
    expect((await worker.exited).failure).toMatchObject({
      code: 'GWM_FD_LIMIT',
      message: 'Worker 3 could not be started: spawn /usr/bin/node EMFILE',
    });
  });
});

describe('too few descriptors for what is loaded', () => {
  const HUNGRY = `import { openSync } from 'node:fs';
for (;;) openSync('/dev/null', 'r');
`;
  const bounded = (user: NewUser, ...args: string[]): ReturnType<NewUser['runs']> =>
    user.runs('bash', ['-c', `ulimit -n 256; exec "$0" "$@"`, process.execPath, MAIN, '--port', '0', ...args]);

  test('an application', async () => {
    using user = new NewUser();
    const { code, stderr } = await bounded(user.has({ 'app.mjs': HUNGRY }), 'app.mjs');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^✗ GWM_FD_LIMIT {2}app\.mjs: EMFILE.*\n {2}at app\.mjs:2/m),
    ]);
  });

  test('a configuration', async () => {
    using user = new NewUser();
    const { code, stderr } = await bounded(user.has({ 'gwanmun.config.mjs': HUNGRY }));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^✗ GWM_FD_LIMIT {2}gwanmun\.config\.mjs: EMFILE/m)]);
  });
});

describe('what Node or the core says of a limit', () => {
  test.each([
    ['EMFILE', 'open', 'GWM_FD_LIMIT'],
    ['ENFILE', 'open', 'GWM_FD_LIMIT'],
    ['EMFILE', 'spawn node', 'GWM_FD_LIMIT'],
    ['EAGAIN', 'spawn node', 'GWM_PROCESS_LIMIT'],
    ['ENOMEM', 'spawn', 'GWM_PROCESS_LIMIT'],
    ['ENOSPC', 'watch', 'GWM_WATCH_LIMIT'],
    ['EMFILE', 'watch', 'GWM_WATCH_LIMIT'],
    ['ENOSPC', 'write', undefined],
    ['ENOENT', 'spawn node', undefined],
    ['EAGAIN', 'read', undefined],
  ])('%s of %s is %s', (code, syscall, named) => {
    expect(systemFault(Object.assign(new Error('x'), { code, syscall }))?.code).toBe(named);
  });

  test.each([
    ['EAGAIN', 'GWM_PROCESS_LIMIT'],
    ['EMFILE', 'GWM_FD_LIMIT'],
  ])('a thread of Node that does not start for %s is %s', (reason, named) => {
    const error = new Error(`Worker initialization failure: ${reason}`);
    expect(systemFault(Object.assign(error, { code: 'ERR_WORKER_INIT_FAILED' }))?.code).toBe(named);
  });

  test("an error of the core's that is about no part of a configuration has none", () => {
    const text = JSON.stringify({ message: "Can't connect a worker: Too many open files (os error 24).", part: null });
    const error = fromCore(Object.assign(new Error(text), { code: 'GWM_FD_LIMIT' }));
    expect([error.code, error.part]).toEqual(['GWM_FD_LIMIT', undefined]);
  });
});
