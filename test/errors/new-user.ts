// Somebody at a shell: a folder with some files, and commands whose output is read.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MAIN = join(ROOT, 'dist/cli/main.js');

/** What a command printed to standard error, and how it ended. */
export interface Outcome {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class NewUser {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-errors-')));

  /** Writes files; a name that ends with a slash is a folder. */
  has(files: Record<string, string>): this {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.folder, name);
      mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
      if (!name.endsWith('/')) writeFileSync(path, text);
    }
    return this;
  }

  /** Copies a part of this project, with its dependencies. */
  installs(...parts: string[]): this {
    for (const part of ['package.json', ...parts]) {
      cpSync(join(ROOT, part), join(this.folder, part), { recursive: true, preserveTimestamps: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'));
    // Older than what is installed, as a checkout's may not be: else the build's `npm ci` would empty what the link leads to.
    if (parts.includes('package-lock.json')) utimesSync(join(this.folder, 'package-lock.json'), 0, 0);
    return this;
  }

  gwanmun(...args: string[]): Promise<Outcome> {
    return this.runs(process.execPath, [MAIN, ...args]);
  }

  /** Runs a command to its end. One that does not end is killed, which its outcome says. */
  runs(command: string, args: readonly string[], env: Record<string, string | undefined> = {}): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, {
        cwd: this.folder,
        env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, PORT: '0', HOST: undefined, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 15_000,
        killSignal: 'SIGKILL',
      });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code: code ?? signal, stdout, stderr }));
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
