// Builds, then runs every test: cargo's and vitest's. Arguments are a filter for vitest; cargo's tests are then left out.
// With TEST_COUNTS=FILE the counts go to that file as "passed failed skipped", for a caller that adds its own.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, describeBuildFault, root } from './build.mjs';

const filter = process.argv.slice(2);
const runners = [await buildRunner()];
if (filter.length === 0) runners.push(await cargoRunner());
runners.push(await vitestRunner());

const total = { passed: 0, failed: 0, skipped: 0 };
process.stdout.write('\n');
for (const { name, passed, failed, skipped } of runners) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  if (name !== 'build' || failed > 0) {
    process.stdout.write(
      `  ${name.padEnd(8)} passed ${passed}  failed ${failed}${skipped > 0 ? `  skipped ${skipped}` : ''}\n`,
    );
  }
}
if (process.env.TEST_COUNTS) {
  writeFileSync(process.env.TEST_COUNTS, `${total.passed} ${total.failed} ${total.skipped}\n`);
} else {
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
}
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

async function buildRunner() {
  try {
    await build();
    return { name: 'build', passed: 0, failed: 0, skipped: 0 };
  } catch (error) {
    process.stderr.write(describeBuildFault(error));
    return { name: 'build', passed: 0, failed: 1, skipped: 0 };
  }
}

async function cargoRunner() {
  // --no-fail-fast: a failure in one crate must not hide the others.
  const { ok, output } = await run('cargo', ['test', '--workspace', '--no-fail-fast']);
  const counts = { name: 'cargo', passed: 0, failed: 0, skipped: 0 };
  for (const match of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    counts.passed += Number(match[1]);
    counts.failed += Number(match[2]);
    counts.skipped += Number(match[3]);
  }
  // It did not compile, or a test took its process down.
  if (!ok && counts.failed === 0) counts.failed = 1;
  return counts;
}

async function vitestRunner() {
  const report = join(root, '.stamps/vitest.json');
  mkdirSync(join(root, '.stamps'), { recursive: true });
  rmSync(report, { force: true });
  const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...filter];
  const { ok } = await run(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), ...args]);
  const counts = { name: 'vitest', passed: 0, failed: 0, skipped: 0 };
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, 'utf8'));
    Object.assign(counts, { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests });
  } catch {
    // No report: it did not even start. The exit code says so below.
  }
  // A file that cannot be loaded, or an error outside of tests.
  if (!ok && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** Runs a command with its output shown and kept. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    const output = [];
    child.stdout.on('data', (chunk) => {
      output.push(chunk);
      process.stdout.write(chunk);
    });
    child.once('error', (error) => {
      process.stderr.write(`✗ ${command} could not be started: ${error.message}\n`);
      resolve({ ok: false, output: '' });
    });
    child.once('close', (code) => resolve({ ok: code === 0, output: Buffer.concat(output).toString() }));
  });
}
