// php-cgi, which the server starts itself where there is no php-fpm.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const hasFpm = ['/run/php', '/run/php-fpm'].some(
  (folder) => existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.sock')),
);
const hasCgi = ['/usr/local/bin', '/usr/bin', '/bin'].some((folder) => existsSync(`${folder}/php-cgi`));
const user = process.getuid?.() === 0 ? { user: 'nobody' } : {};
if (!hasCgi) process.stderr.write('skipped: tests of php-cgi, for there is none (apt-get install php-cgi)\n');

const children = (pid: number | undefined): number[] =>
  spawnSync('pgrep', ['-P', String(pid), 'php-cgi'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean)
    .map(Number);

test.skipIf(hasFpm || !hasCgi)(
  'F57 F60 F62 F66 F67: it is started when it is needed, kept alive, and gone with the server',
  async () => {
    using folder = new Folder();
    chmodSync(folder.path, 0o755);
    folder.write(
      'public/index.php',
      '<?php echo getmypid(), " ", get_current_user(), " ", $_SERVER["REQUEST_URI"], " ", getenv("SECRET") ?: "none";',
    );
    folder.write('public/exit.php', '<?php posix_kill(getmypid(), 9);');
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const before = new Set(readdirSync(tmpdir()));
      const server = await Gwanmun.start(
        folder,
        { ...user, mounts: [{ path: '/', php: { root: './public', children: 2 } }] },
        { env: { SECRET: 'x' } },
      );
      expect(children(server.child.pid)).toEqual([]);
      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => (await get(server.port, `/a/${index}`)).body.toString()),
      );
      for (const [index, text] of answers.entries()) expect(text).toMatch(new RegExp(` /a/${index} none$`));
      const pids = children(server.child.pid);
      expect(pids.length).toBe(2);
      process.kill(pids[0] ?? 0, 'SIGKILL');
      await expect
        .poll(() => children(server.child.pid).filter((pid) => pid !== pids[0]).length, { timeout: 5000 })
        .toBe(2);
      expect((await get(server.port, '/again')).status).toBe(200);
      const all = children(server.child.pid);
      server.child.kill(signal);
      await new Promise((resolve) => server.child.once('close', resolve));
      await expect.poll(() => all.filter((pid) => existsSync(`/proc/${pid}`)), { timeout: 10_000 }).toEqual([]);
      const left = readdirSync(tmpdir()).filter((name) => name.startsWith('gwanmun-php-') && !before.has(name));
      if (signal === 'SIGTERM') expect(left).toEqual([]);
    }
  },
);

test.skipIf(process.getuid?.() !== 0 || hasFpm || !hasCgi)(
  'F68: as root it is not started without a user',
  async () => {
    using folder = new Folder();
    folder.write('public/index.php', '');
    await expect(Gwanmun.start(folder, { mounts: [{ path: '/', php: './public' }] })).rejects.toThrow(
      "expected user: 'www-data' beside mounts, or php-fpm",
    );
  },
);
