// Where the system gives no more threads, what needs one is refused, and nothing else is touched.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connected, get } from './client.js';
import { Folder, Gwanmun, MAIN } from './gwanmun.js';

/** The system's limit is not for root, who becomes nobody. */
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const isRoot = process.getuid?.() === 0;
const runs = (...[command = '', ...args]: string[]): boolean => spawnSync(command, args).status === 0;
const obstacle = ((): string | undefined => {
  if (!runs('prlimit', '--version')) return 'there is no prlimit';
  if (isRoot && !runs(...NOBODY, process.execPath, '--check', MAIN)) return 'root cannot become nobody and read this';
  return undefined;
})();

test.skipIf(obstacle !== undefined)(
  `a look-up that gets no thread is a 503 that says why, and other clients go on${obstacle ? ` (left out: ${obstacle})` : ''}`,
  async () => {
    using folder = new Folder();
    folder.write('known/a.txt', 'a');
    folder.write('new/b.txt', 'b');
    mkdirSync(folder.at('run'));
    chmodSync(folder.at('run'), 0o777);
    chmodSync(folder.path, 0o755);
    const prefix = isRoot ? NOBODY : [];
    await using server = await Gwanmun.start(
      folder,
      {
        threads: 1,
        mounts: [
          { path: '/known', files: './known' },
          { path: '/new', files: './new' },
        ],
      },
      { prefix, env: { XDG_RUNTIME_DIR: folder.at('run'), HOME: folder.path } },
    );
    expect((await get(server.port, '/known/a.txt')).status).toBe(200);
    const other = await connected(server.port);
    let isCut = false;
    other.on('close', () => (isCut = true));
    // Each folder has threads of its own: this one has none yet, and gets none.
    const limits = readFileSync(`/proc/${server.child.pid}/limits`, 'utf8');
    const [, hard = ''] = /^Max processes +\S+ +(\S+)/m.exec(limits) ?? [];
    const limit = (soft: string): void => {
      expect(runs(...prefix, 'prlimit', `--pid=${server.child.pid}`, `--nproc=${soft}:`)).toBe(true);
    };
    limit('1');
    const refused = await get(server.port, '/new/b.txt');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    await server.says(/Files can't be looked up, .*the system has no more threads .*ulimit -u, LimitNPROC=/);
    expect((await get(server.port, '/known/a.txt')).status).toBe(200);
    limit(hard);
    expect((await get(server.port, '/new/b.txt')).body.toString()).toBe('b');
    expect(isCut).toBe(false);
    expect(server.stderr).not.toMatch(/panic/i);
    other.destroy();
  },
);
