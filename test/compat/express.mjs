#!/usr/bin/env node
// Express's own test suite, with every http.Server on gwanmun's core.
//
//   git clone https://github.com/expressjs/express /tmp/express && (cd /tmp/express && npm install)
//   npm run build && node test/compat/express.mjs /tmp/express
//
// Exit code 0 only if every test passed but those in express-exceptions.json, each with its reason, and those failed.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [checkout] = process.argv.slice(2);
if (checkout === undefined) fail('usage: node test/compat/express.mjs <checkout of Express, with its dependencies>');
const folder = resolve(checkout);
const mocha = join(folder, 'node_modules/mocha/bin/mocha.js');
if (!existsSync(mocha)) fail(`${mocha} is not there; run npm install in ${folder}`);
const register = fileURLToPath(new URL('../../dist/register.js', import.meta.url));
if (!existsSync(register)) fail('gwanmun is not built; run npm run build');

const exceptions = JSON.parse(readFileSync(new URL('express-exceptions.json', import.meta.url), 'utf8'));
const output = mkdtempSync(join(tmpdir(), 'gwanmun-express-'));
const report = join(output, 'report.json');
const args = ['--import', pathToFileURL(register).href, mocha, '--require', 'test/support/env', '--check-leaks'];
args.push('--reporter', 'json', '--reporter-option', `output=${report}`, 'test/', 'test/acceptance/');
const { error } = spawnSync(process.execPath, args, {
  cwd: folder,
  stdio: ['ignore', 'ignore', 'inherit'],
  timeout: 300_000,
  killSignal: 'SIGKILL',
});
if (error !== undefined) fail(`the suite did not end: ${error.message}`);
const { stats, failures } = JSON.parse(readFileSync(report, 'utf8'));
rmSync(output, { recursive: true });

const failed = new Map(failures.map(({ fullTitle, err }) => [fullTitle, err.message]));
const unexpected = [...failed].filter(([title]) => !(title in exceptions));
const stale = Object.keys(exceptions).filter((title) => !failed.has(title));
for (const [title, message] of unexpected) console.error(`✗ ${title}\n    ${message.split('\n')[0]}`);
for (const title of stale)
  console.error(`✗ this one does not fail any more; take it out of express-exceptions.json:\n    ${title}`);
console.log(`${stats.passes} passed, ${failed.size - unexpected.length} known to fail, ${unexpected.length} failed`);
process.exitCode = unexpected.length + stale.length === 0 && stats.passes > 1000 ? 0 : 1;

function fail(message) {
  console.error(message);
  process.exit(2);
}
