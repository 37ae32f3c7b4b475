// A gwanmun started as a user starts it: the command line in a process of its own.

import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
export const APP = fileURLToPath(new URL('fixtures/app.ts', import.meta.url));

/** So long a test waits for a line: a failure then shows what came instead. */
const SAYS_MS = 10_000;

export interface Settings {
  /** Of the configuration file, beside `listen` and `mounts`. */
  config?: Record<string, unknown>;
  app?: string;
  env?: Record<string, string>;
  /** Files beside the configuration, by their path. */
  files?: Record<string, string>;
  /** An existing one to be its own. */
  folder?: string;
  /** Instead of the configuration file: the command line. */
  args?: readonly string[];
  /** It is started in `current`, a symbolic link to this. */
  link?: string;
  /** In a process group of its own, as under a terminal's shell. */
  group?: boolean;
  /** Its limit on file descriptors. */
  descriptors?: number;
}

/** A gwanmun process and what it has printed. */
export class Gwanmun {
  readonly child: ChildProcess;
  /** A folder of its own, removed at the end. */
  readonly folder: string;
  stdout = '';
  stderr = '';
  /** Every process of this server carries it in its environment. */
  private readonly mark = randomUUID();
  private isClosed = false;
  private readonly waiting = new Set<() => void>();

  constructor({
    config = {},
    app = APP,
    env = {},
    files = {},
    folder,
    args,
    link,
    group = false,
    descriptors,
  }: Settings = {}) {
    this.folder = realpathSync(folder ?? mkdtempSync(join(tmpdir(), 'gwanmun-workers-')));
    const file = join(this.folder, 'gwanmun.config.mjs');
    const whole = { listen: { host: '127.0.0.1', port: 0 }, threads: 2, mounts: [{ path: '/', app }], ...config };
    writeFileSync(file, `export default ${JSON.stringify(whole)};\n`);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, path)), { recursive: true });
      writeFileSync(join(this.folder, path), text);
    }
    const cwd = link === undefined ? this.folder : join(this.folder, 'current');
    if (link !== undefined) symlinkSync(link, cwd);
    const command = [process.execPath, MAIN, ...(args ?? ['--config', file])];
    const limited = descriptors === undefined ? [] : ['-c', `ulimit -n ${descriptors}; exec "$0" "$@"`];
    this.child = spawn(
      limited.length > 0 ? 'sh' : process.execPath,
      [...limited, ...command.slice(limited.length > 0 ? 0 : 1)],
      {
        cwd,
        detached: group,
        env: { ...process.env, NO_COLOR: '1', GWANMUN_TEST: this.mark, FOLDER: this.folder, PWD: cwd, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.grow(() => (this.stdout += text)));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => this.grow(() => (this.stderr += text)));
    this.child.once('close', () => this.grow(() => (this.isClosed = true)));
  }

  /** Waits until standard error fits the pattern. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.finds(pattern, () => this.stderr);
  }

  /** Waits until standard output fits the pattern. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.finds(pattern, () => this.stdout);
  }

  async port(): Promise<number> {
    const [, port] = await this.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    return Number(port);
  }

  /** Exit code, or the signal that ended it. */
  async exit(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Ids of the running processes of this server, the first one's too. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return (
            readFileSync(`/proc/${pid}/environ`, 'latin1').includes(this.mark) &&
            !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
          );
        } catch {
          return false; // It has ended meanwhile.
        }
      });
  }

  /** Ids of the worker processes. */
  workers(): number[] {
    return this.processes().filter((pid) => {
      try {
        return /worker\/main\.js|gwanmun_worker\.py/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
      } catch {
        return false;
      }
    });
  }

  /** No process may be left once the first has ended. */
  async leavesNobody(): Promise<void> {
    await vi.waitFor(() => expect(this.processes()).toEqual([]), { timeout: 5000, interval: 20 });
  }

  /** Ends it if it still runs, and asserts that nothing stays behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    // The workers end with it.
    this.child.kill('SIGKILL');
    await this.exit();
    await this.leavesNobody();
    rmSync(this.folder, { recursive: true });
  }

  private grow(change: () => void): void {
    change();
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }

  async finds(pattern: RegExp, text: () => string): Promise<RegExpExecArray> {
    let isLate = false;
    const timer = setTimeout(() => this.grow(() => (isLate = true)), SAYS_MS);
    try {
      for (;;) {
        const match = pattern.exec(text());
        if (match) return match;
        if (this.isClosed || isLate)
          throw new Error(`${isLate ? 'runs' : 'ended'} without ${pattern}:\n${this.stderr}`);
        await new Promise<void>((resolve) => this.waiting.add(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
