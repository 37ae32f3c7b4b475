// A gwanmun process that serves a temporary folder.

import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { CoreUsage } from '../../src/native.js';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A folder of its own below the system's for temporary files. */
export class Folder implements Disposable {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-files-')));

  at(name: string): string {
    return join(this.path, name);
  }

  write(name: string, content: string | Uint8Array): string {
    const path = this.at(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface Circumstances {
  /** A command that runs the one behind it, in place of itself. */
  prefix?: string[];
  env?: Record<string, string>;
}

/** `gwanmun --config` with a configuration that is written into `folder`, and what it has printed. */
export class Gwanmun implements AsyncDisposable {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  port = 0;
  private readonly folder: string;
  stdout = '';
  stderr = '';

  private constructor(folder: Folder, { prefix = [], env = {} }: Circumstances) {
    this.folder = folder.path;
    const [command = '', ...args] = [...prefix, process.execPath, MAIN, '--config', 'gwanmun.config.mjs'];
    this.child = spawn(command, args, {
      cwd: folder.path,
      env: { ...process.env, NO_COLOR: '1', PORT: '', HOST: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
  }

  static async start(
    folder: Folder,
    config: Record<string, unknown>,
    circumstances: Circumstances = {},
  ): Promise<Gwanmun> {
    folder.write(
      'gwanmun.config.mjs',
      `export default ${JSON.stringify({ listen: 0, accessLog: false, ...config })};\n`,
    );
    const server = new Gwanmun(folder, circumstances);
    const [, port] = await server.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    server.port = Number(port);
    return server;
  }

  /** Waits until standard error fits the pattern. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.waitFor(() => pattern.exec(this.stderr), this.child.stderr);
  }

  /** Waits until standard output fits the pattern. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.waitFor(() => pattern.exec(this.stdout), this.child.stdout);
  }

  /** What its core holds, by its own count. */
  held(): CoreUsage {
    const { stdout } = spawnSync(process.execPath, [MAIN, 'status', '--json'], { cwd: this.folder, encoding: 'utf8' });
    return (JSON.parse(stdout) as { held: CoreUsage }).held;
  }

  /** Ends it as an operator would, and waits until everything it printed is there. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const closed = once(this.child, 'close');
      this.child.kill('SIGTERM');
      await closed;
    }
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const closed = once(this.child, 'close');
    this.child.kill('SIGKILL');
    await closed;
  }

  private async waitFor<T>(look: () => T | null, stream: Readable): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== null) return found;
      if (this.child.exitCode !== null) throw new Error(`exited with ${this.child.exitCode}: ${this.stderr}`);
      await Promise.race([once(stream, 'data'), once(this.child, 'close')]);
    }
  }
}
