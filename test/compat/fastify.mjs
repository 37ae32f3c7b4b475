#!/usr/bin/env node
// Fastify's own test suite, with every http.Server on gwanmun's core.
//
//   git clone --branch v5.12.1 https://github.com/fastify/fastify /tmp/fastify && (cd /tmp/fastify && npm install)
//   npm run build && node test/compat/fastify.mjs /tmp/fastify
//
// Exit code 0 only if every test passed but those in fastify-exceptions.json, each with its reason, and those failed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkoutOf, judge, loaderOptions } from './suite.mjs';

/** For one file of tests. */
const PATIENCE_MS = 60_000;
const folder = checkoutOf('fastify', 'node_modules/fast-json-stringify');
const reporter = fileURLToPath(new URL('node-test-reporter.mjs', import.meta.url));
const options = loaderOptions();
const output = mkdtempSync(join(tmpdir(), 'gwanmun-fastify-'));
const files = readdirSync(join(folder, 'test'), { recursive: true })
  .filter((file) => /\.test\.m?js$/.test(file))
  .toSorted();
const results = [];

async function run(file, index) {
  const report = join(output, `${index}.json`);
  const path = join('test', file);
  const args = ['--test', `--test-reporter=${reporter}`, `--test-reporter-destination=${report}`, path];
  const env = { ...process.env, NODE_OPTIONS: options };
  const child = spawn(process.execPath, args, { cwd: folder, env, stdio: 'ignore', detached: true });
  // With the process that it runs the file in.
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), PATIENCE_MS);
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  const lines = readFileSync(report, 'utf8').split('\n').filter(Boolean);
  const tests = lines.map((line) => JSON.parse(line)).filter(({ name }) => !name.endsWith(path));
  for (const { name, passed, message } of tests) results.push({ title: `${file}: ${name}`, passed, message });
  // Something that no test tells of.
  if (signal !== null) results.push({ title: file, passed: false, message: 'it did not end' });
  else if (code !== 0 && tests.every(({ passed }) => passed))
    results.push({ title: file, passed: false, message: `it ended with code ${code}` });
}

const queue = files.entries();
await Promise.all(
  [1, 2].map(async () => {
    for (const [index, file] of queue) await run(file, index);
  }),
);
rmSync(output, { recursive: true });
judge('fastify', results, 1500);
