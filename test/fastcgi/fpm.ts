// A php-fpm of the tests, if there is one.

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Folder } from '../files/gwanmun.js';

/** The newest php-fpm of the system. */
export const FPM = ['/usr/sbin', '/usr/bin', '/usr/local/sbin']
  .flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => /^php-fpm[\d.]*$/.test(name))
        .map((name) => join(folder, name));
    } catch {
      return [];
    }
  })
  .sort()
  .at(-1);

if (FPM === undefined)
  process.stderr.write('skipped: tests of PHP, for there is no php-fpm (apt-get install php-fpm)\n');

export class Fpm implements AsyncDisposable {
  readonly socket: string;
  private readonly child: ChildProcessByStdio<null, null, Readable>;

  private constructor(folder: Folder, children: number, extra: string) {
    this.socket = folder.at('fpm.sock');
    const isRoot = process.getuid?.() === 0;
    const file = folder.write(
      'fpm.conf',
      `[global]
error_log = ${folder.at('fpm.log')}
daemonize = no
[www]
${isRoot ? 'user = root\ngroup = root\n' : ''}listen = ${this.socket}
pm = static
pm.max_children = ${children}
catch_workers_output = no
${extra}
`,
    );
    this.child = spawn(FPM ?? '', ['-F', '-O', '-y', file, '-c', '/dev/null', ...(isRoot ? ['-R'] : [])], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  static async start(folder: Folder, children = 2, extra = ''): Promise<Fpm> {
    const fpm = new Fpm(folder, children, extra);
    let text = '';
    const { stderr } = fpm.child;
    while (!/ready to handle connections/.test(text)) {
      const [chunk] = (await Promise.race([
        once(stderr, 'data'),
        once(fpm.child, 'exit').then(() => {
          throw new Error(`php-fpm: ${text}`);
        }),
      ])) as [Buffer];
      text += chunk;
    }
    stderr.resume();
    return fpm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }
}
