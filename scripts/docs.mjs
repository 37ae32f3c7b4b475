// `npm run docs:build` and `npm run docs:dev`: installs the website's tools, which the package's own install stays without, and runs them.

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

const docs = join(import.meta.dirname, '../docs');
const lock = join(docs, 'package-lock.json');
const installed = join(docs, 'node_modules/.package-lock.json');
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  run('npm', ['ci', '--no-audit', '--no-fund']);
}
run('npm', ['run', '--silent', process.argv[2] ?? 'build', '--', ...process.argv.slice(3)]);

/** @param {string} command @param {string[]} args */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: docs, stdio: 'inherit' });
  if (status === 0) return;
  if (error) process.stderr.write(`✗ ${command} could not be started: ${error.message}\n`);
  process.exit(status ?? 1);
}
