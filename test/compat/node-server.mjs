#!/usr/bin/env node
// The test suite of @hono/node-server, with every http.Server on gwanmun's core.
//
//   git clone --branch v2.0.11 https://github.com/honojs/node-server /tmp/node-server && (cd /tmp/node-server && npm install)
//   npm run build && node test/compat/node-server.mjs /tmp/node-server
//
// Exit code 0 only if every test passed but those in node-server-exceptions.json, each with its reason, and those failed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { checkoutOf, fail, judge, loaderOptions } from './suite.mjs';

const folder = checkoutOf('node-server', 'node_modules/vitest/vitest.mjs');
const output = mkdtempSync(join(tmpdir(), 'gwanmun-node-server-'));
const report = join(output, 'report.json');
const vitest = join(folder, 'node_modules/vitest/vitest.mjs');
const { error } = spawnSync(process.execPath, [vitest, 'run', '--reporter=json', `--outputFile=${report}`], {
  cwd: folder,
  env: { ...process.env, NODE_OPTIONS: loaderOptions() },
  stdio: ['ignore', 'ignore', 'inherit'],
  timeout: 300_000,
  killSignal: 'SIGKILL',
});
if (error !== undefined) fail(`the suite did not end: ${error.message}`);
const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
rmSync(output, { recursive: true });
const results = testResults.flatMap(({ name, assertionResults, status, message }) => {
  const file = relative(join(folder, 'test'), name);
  // A file that could not be loaded has no tests.
  if (assertionResults.length === 0) return [{ title: file, passed: status === 'passed', message }];
  return assertionResults
    .filter((test) => test.status === 'passed' || test.status === 'failed')
    .map((test) => ({
      title: `${file}: ${test.fullName}`,
      passed: test.status === 'passed',
      message: test.failureMessages.join('\n'),
    }));
});
judge('node-server', results, 300);
