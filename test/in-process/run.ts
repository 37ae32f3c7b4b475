// Starts one of the programs and collects what it prints and how it ends.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAMS = fileURLToPath(new URL('fixtures/programs.mjs', import.meta.url));

export class Program {
  stderr = '';
  private readonly child;
  private stdout = '';
  private lines = 0;

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, ['--expose-gc', PROGRAMS, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
  }

  /** The next line that it prints, as a value. */
  async value<T>(): Promise<T> {
    for (;;) {
      const line = this.stdout.split('\n').slice(0, -1)[this.lines];
      if (line !== undefined) {
        this.lines += 1;
        return JSON.parse(line) as T;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended with ${this.child.exitCode ?? this.child.signalCode}: ${this.stderr}`);
      }
      await Promise.race([once(this.child.stdout, 'data'), once(this.child, 'close')]);
    }
  }

  /** Exit code, or the signal that ended it. */
  async exit(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode ?? this.child.signalCode;
  }

  [Symbol.dispose](): void {
    this.child.kill('SIGKILL');
  }
}
