#!/usr/bin/env node
// Express's own test suite, with every http.Server on gwanmun's core.
//
//   git clone https://github.com/expressjs/express /tmp/express && (cd /tmp/express && npm install)
//   npm run build && node test/compat/express.mjs /tmp/express
//
// Exit code 0 only if every test passed but those in express-exceptions.json, each with its reason, and those failed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutOf, fail, judge, loaderOptions } from './suite.mjs';

const folder = checkoutOf('express', 'node_modules/mocha/bin/mocha.js');
const output = mkdtempSync(join(tmpdir(), 'gwanmun-express-'));
const report = join(output, 'report.json');
const args = ['node_modules/mocha/bin/mocha.js', '--require', 'test/support/env', '--check-leaks'];
args.push('--reporter', 'json', '--reporter-option', `output=${report}`, 'test/', 'test/acceptance/');
const { error } = spawnSync(process.execPath, args, {
  cwd: folder,
  env: { ...process.env, NODE_OPTIONS: loaderOptions() },
  stdio: ['ignore', 'ignore', 'inherit'],
  timeout: 300_000,
  killSignal: 'SIGKILL',
});
if (error !== undefined) fail(`the suite did not end: ${error.message}`);
const { passes, failures } = JSON.parse(readFileSync(report, 'utf8'));
rmSync(output, { recursive: true });
judge(
  'express',
  [
    ...passes.map(({ fullTitle }) => ({ title: fullTitle, passed: true })),
    ...failures.map(({ fullTitle, err }) => ({ title: fullTitle, passed: false, message: err.message })),
  ],
  1000,
);
