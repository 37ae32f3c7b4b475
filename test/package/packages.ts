// The packages as they will be published, installed as a user installs them: into an empty folder, with nothing on PATH but
// a Node.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const PROGRAM = fileURLToPath(new URL('fixtures/program.ts', import.meta.url));
export const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
/** npm of the Node that runs the tests. */
const NPM = join(dirname(realpathSync(process.execPath)), '../lib/node_modules/npm/bin');

/** A folder of a test's own. */
export class Folder {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-package-')));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** The tarballs: those in GWANMUN_PACKAGES, or this clone's, packed into the folder. */
export async function pack(folder: Folder): Promise<{ root: string; core: string }> {
  const given = process.env['GWANMUN_PACKAGES'];
  const packages = given === undefined ? join(folder.path, 'packages') : resolve(given);
  if (given === undefined) {
    await run(process.execPath, [join(ROOT, 'scripts/pack.mjs'), '--local', '--out', packages], { cwd: ROOT });
  }
  const names = readdirSync(packages).filter((name) => name.endsWith('.tgz'));
  const { currentPlatform } = (await import('../../src/native.js')) as { currentPlatform: () => string };
  const find = (pattern: RegExp): string => {
    const name = names.find((candidate) => pattern.test(candidate));
    if (name === undefined) throw new Error(`${packages} has no ${pattern}, but ${names.join(', ')}`);
    return join(packages, name);
  };
  return { root: find(/^gwanmun-\d/), core: find(new RegExp(`^gwanmun-core-${currentPlatform()}-\\d`)) };
}

/** Installs tarballs into an empty project. */
export async function install(project: string, path: string, ...tarballs: readonly string[]): Promise<void> {
  mkdirSync(project, { recursive: true });
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
  const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', '--foreground-scripts', ...tarballs];
  await run(process.execPath, [join(NPM, 'npm-cli.js'), ...args], { cwd: project, env: environment(path) });
}

/** A folder for PATH with one Node and a shell, and so without Rust. Node is downloaded once and kept in target/. */
export async function nodeOnly(folder: Folder, version: string): Promise<string> {
  const name = `node-linux-${process.arch}`;
  const kept = join(ROOT, 'target/node', version);
  const node = join(kept, 'node_modules', name, 'bin/node');
  if (!existsSync(node)) {
    // Several tests may be at it at once: each downloads aside, and the first to finish keeps its own.
    mkdirSync(dirname(kept), { recursive: true });
    const aside = mkdtempSync(`${kept}-`);
    writeFileSync(join(aside, 'package.json'), '{ "private": true }\n');
    const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', `${name}@${version}`];
    await run(process.execPath, [join(NPM, 'npm-cli.js'), ...args], { cwd: aside });
    try {
      renameSync(aside, kept);
    } catch {
      rmSync(aside, { recursive: true });
    }
  }
  const path = join(folder.path, `path-${version}`);
  if (existsSync(path)) return path;
  mkdirSync(path);
  symlinkSync(node, join(path, 'node'));
  symlinkSync(realpathSync('/bin/sh'), join(path, 'sh'));
  return path;
}

/** Nothing of the machine but PATH and where npm keeps its things. */
function environment(path: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => /^(HOME|TMPDIR|npm_config_.*|https?_proxy)$/i.test(name));
  return { ...Object.fromEntries(kept), PATH: path, NO_COLOR: '1' };
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A command in the project, with nothing but that Node. */
export class Command {
  stdout = '';
  stderr = '';
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;

  constructor(project: string, path: string, command: string, ...args: readonly string[]) {
    const npx = command === 'npx' ? [join(NPM, 'npx-cli.js')] : [];
    // A process group, as a terminal makes one: npx passes no signal on to what it runs.
    this.child = spawn(join(path, 'node'), [...npx, ...args], {
      cwd: project,
      env: environment(path),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.closed = once(this.child, 'close');
  }

  /** The address in the line that says that it listens. */
  async url(): Promise<string> {
    for (;;) {
      const match = /(http:\/\/127\.0\.0\.1:\d+)/.exec(this.stderr + this.stdout);
      if (match?.[1] !== undefined) return match[1];
      const output = [this.child.stdout, this.child.stderr].map((stream) => stream && once(stream, 'data'));
      const more = await Promise.race([...output, this.closed.then(() => 'closed')]);
      if (more === 'closed') throw new Error(`ended with ${this.child.exitCode}: ${this.stdout}${this.stderr}`);
    }
  }

  async end(): Promise<Ended> {
    await this.closed;
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** As Ctrl-C does. */
  async interrupt(): Promise<Ended> {
    this.signal('SIGINT');
    return this.end();
  }

  [Symbol.dispose](): void {
    this.signal('SIGKILL');
  }

  private signal(name: NodeJS.Signals): void {
    try {
      process.kill(-(this.child.pid ?? 0), name);
    } catch {
      // It has ended.
    }
  }
}
