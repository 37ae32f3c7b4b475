// Builds what is out of date: the dependencies, the native core, the JavaScript. Works on a fresh clone and is quick when
// there is nothing to do.

import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Stamp } from './stamps.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** A fault that is told without a stack. Its code and remedy are those of src/error-entries.ts, which is not built yet. */
export class BuildError extends Error {
  code = 'GWM_BUILD';
  remedy = 'correct what the lines above say, then run the same command again';
}

/** Rust is missing or too old. */
class CargoError extends BuildError {
  code = 'GWM_CARGO';
  remedy = 'install Rust (https://rustup.rs), open a new terminal, and run the same command again';
}

/** Node.js is too old. */
class NodeVersionError extends BuildError {
  code = 'GWM_NODE_VERSION';
  remedy = 'install a current Node.js (https://nodejs.org), then start again';
}

/**
 * Runs the steps that are out of date, each with one line to standard error. `core`: the usual one, which is quick to build, the one as
 * it is published and measured, or one whose debug assertions and overflow checks are on. Throws a BuildError.
 *
 * @param {{ core?: 'usual' | 'published' | 'checked' }} options
 */
export async function build({ core = 'usual' } = {}) {
  checkNode();
  await dependencies();
  await native(core);
  await javascript();
}

export async function dependencies() {
  const stamp = new Stamp(root, 'dependencies', ['package-lock.json']);
  const installed = statSync(join(root, 'node_modules/.package-lock.json'), { throwIfNoEntry: false });
  if (installed !== undefined) {
    if (stamp.isCurrent()) return;
    // Installed by hand, after the lock file was written.
    if (installed.mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs) return stamp.write();
  }
  await step('dependencies', 'npm', ['ci', '--no-audit', '--no-fund']);
  stamp.write();
}

async function native(core) {
  const inputs = ['crates', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo'];
  const stamps = {
    usual: new Stamp(root, 'native', inputs),
    published: new Stamp(root, 'native-published', inputs),
    checked: new Stamp(root, 'native-checked', inputs),
  };
  const folder = join(root, 'native');
  mkdirSync(folder, { recursive: true });
  const isBuilt = builtCores(folder).length > 0;
  // A published core does for a clone as well.
  const isCurrent = stamps[core].isCurrent() || (core === 'usual' && stamps.published.isCurrent());
  if (isCurrent && isBuilt) return;
  // The usual one is built under its platform's name.
  if (core === 'checked' && !isBuilt) await native('usual');
  checkCargo();
  // There is one core: what is said of the present one is not true of the next, nor of what a step leaves that is broken off.
  for (const stamp of Object.values(stamps)) stamp.remove();
  if (core === 'checked') {
    // Not by napi, whose builds share no folder with cargo's own.
    const options = 'build --locked --package gwanmun-node --target-dir target';
    await step('native core, checked', 'cargo', options.split(' '));
    for (const name of builtCores(folder)) {
      copyFileSync(join(root, 'target/debug/libgwanmun_node.so'), join(folder, `${name}.new`));
      // Processes that run go on with the one that they have.
      renameSync(join(folder, `${name}.new`), join(folder, name));
    }
  } else {
    const napi = join(root, 'node_modules/@napi-rs/cli/dist/cli.js');
    const profile = core === 'published' ? 'published' : 'release';
    const options = `build --platform --profile ${profile} --no-js --manifest-path crates/node/Cargo.toml --output-dir native --dts ../index.d.ts`;
    await step('native core', process.execPath, [napi, ...options.split(' ')]);
  }
  stamps[core].write();
}

function builtCores(folder) {
  return readdirSync(folder).filter((name) => name.endsWith('.node'));
}

export async function javascript() {
  const stamp = new Stamp(root, 'javascript', [
    'src',
    'scripts/bundle.mjs',
    'tsconfig.json',
    'package.json',
    'package-lock.json',
  ]);
  const main = join(root, 'dist/cli/main.js');
  if (stamp.isCurrent() && existsSync(main)) return;
  const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--emitDeclarationOnly'];
  await step('types', process.execPath, tsc);
  await step('javascript', process.execPath, [join(root, 'scripts/bundle.mjs')]);
  chmodSync(main, 0o755);
  stamp.write();
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [major, minor] = /(\d+)\.(\d+)/.exec(engines.node).slice(1).map(Number);
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return;
  throw new NodeVersionError(`gwanmun needs Node.js ${major}.${minor} or newer; this is ${process.versions.node}`);
}

function checkCargo() {
  const wanted = /^rust-version = "(\d+)\.(\d+)/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'));
  const needed = wanted ? `Rust ${wanted[1]}.${wanted[2]}` : 'Rust';
  const { stdout, error } = spawnSync('cargo', ['--version'], { cwd: root, encoding: 'utf8' });
  const found = /^cargo (\d+)\.(\d+)\.\d+/.exec(stdout ?? '');
  if (error || !found) {
    throw new CargoError(`cargo is not installed; the native core needs ${needed} or newer`);
  }
  if (wanted && (Number(found[1]) - Number(wanted[1]) || Number(found[2]) - Number(wanted[2])) < 0) {
    throw Object.assign(new CargoError(`${found[0]} is too old; the native core needs ${needed} or newer`), {
      remedy: 'rustup update',
    });
  }
}

/** What is being done, and for how long: the last crate that cargo has named, where it names some. */
function showProgress(name, output) {
  const start = performance.now();
  const show = () => {
    const crate = /(?:Compiling|Downloaded) (\S+)[^]*?$/.exec(String(output.at(-1) ?? ''))?.[1];
    if (crate !== undefined) last = crate;
    const seconds = Math.round((performance.now() - start) / 1000);
    process.stderr.write(`\r\x1b[K… ${name}  ${seconds} s${last === '' ? '' : `  ${last}`}`);
  };
  let last = '';
  show();
  return setInterval(show, 500);
}

/** Runs a command; its output is shown only if it fails. */
async function step(name, command, args) {
  const start = performance.now();
  const output = [];
  const progress = process.stderr.isTTY ? showProgress(name, output) : undefined;
  const status = await new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
    child.once('error', (error) => reject(new BuildError(`${command} could not be started: ${error.message}`)));
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  const time = `${((performance.now() - start) / 1000).toFixed(1)} s`;
  clearInterval(progress);
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  process.stderr.write(`${status === 0 ? '✓' : '✗'} ${name}  ${time}\n`);
  if (status === 0) return;
  process.stderr.write(Buffer.concat(output));
  throw new BuildError(`${name}: ${command === process.execPath ? 'node' : command} ended with ${status}`);
}

/** As gwanmun tells its errors: code, what happened, what to try. */
export function describeBuildFault(error) {
  if (!(error instanceof BuildError)) return `✗ ${error.stack}\n`;
  return `✗ ${error.code}  ${error.message}\n  try: ${error.remedy}\n  more: docs/errors.md#${error.code.toLowerCase()}\n`;
}

/** Builds for a script: a fault ends the process with a message. */
export async function buildOrExit(options = {}) {
  try {
    await build(options);
  } catch (error) {
    process.stderr.write(describeBuildFault(error));
    process.exit(1);
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  await buildOrExit({ core: ['published', 'checked'].find((core) => process.argv.includes(`--${core}`)) });
