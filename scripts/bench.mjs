// `npm run bench -- [options]`: builds the package and the benchmark's peers, then runs bench/run.mjs with the options.
// `--instructions` needs no peers, and runs bench/instructions.mjs.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bench = join(root, 'bench');

if (existsSync(join(root, 'scripts/build.mjs'))) run('node', ['scripts/build.mjs', '--published'], root);
const counts = process.argv.includes('--instructions');
if (!counts) {
  installPeers();
  buildPrograms();
}

const program = join(bench, counts ? 'instructions.mjs' : 'run.mjs');
const child = spawn(process.execPath, [program, ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal's Ctrl-C reaches the child as well, which has servers to end: wait for it. A signal to this process alone is handed on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
process.on('SIGHUP', () => child.kill('SIGHUP'));
child.on('exit', (code) => process.exit(code ?? 1));

/** The JavaScript peers, from their own lock file: the package's own install stays without them. */
function installPeers() {
  const lock = join(bench, 'package-lock.json');
  const installed = join(bench, 'node_modules/.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  // uWebSockets.js brings its binaries; its optional packages are for a fallback that is never measured.
  run('npm', ['ci', '--ignore-scripts', '--omit=optional'], bench);
}

/** Without cargo there is no floor and no client for handshakes: the benchmark says so and goes on. */
function buildPrograms() {
  if (spawnSync('cargo', ['--version']).status !== 0) return;
  for (const name of ['floor', 'handshakes']) {
    const manifest = join(bench, name, 'Cargo.toml');
    const target = join(bench, name, 'target');
    const args = ['build', '--release', '--locked', '--quiet', '--manifest-path', manifest, '--target-dir', target];
    run('cargo', args, root);
  }
}

/** @param {string} command @param {string[]} args @param {string} directory */
function run(command, args, directory) {
  const { status, error } = spawnSync(command, args, { cwd: directory, stdio: 'inherit' });
  if (status === 0) return;
  process.stderr.write(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(1);
}
