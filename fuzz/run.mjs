#!/usr/bin/env node
// Builds the fuzz targets and runs each over its corpus for a bounded time.
//
//   node fuzz/run.mjs [target...] [--seconds N]
//
// Works with stable Rust: the flags are those of `cargo fuzz --sanitizer none`, which needs no nightly compiler.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const manifest = join(here, 'Cargo.toml');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '20' } },
});
const seconds = Number(values.seconds);
if (!Number.isInteger(seconds) || seconds < 1) fail('--seconds takes a whole number from 1');

const known = [...readFileSync(manifest, 'utf8').matchAll(/^\[\[bin\]\]\nname = "(\w+)"/gm)].map(([, name]) => name);
for (const name of positionals) {
  if (!known.includes(name)) fail(`no fuzz target "${name}"; there are: ${known.join(', ')}`);
}
const targets = positionals.length > 0 ? positionals : known;

const binaries = build();
const crashed = targets.filter((target) => !run(target));
if (crashed.length > 0) fail(`failed: ${crashed.join(', ')}`);

/** Returns the folder of the built targets. */
function build() {
  const host = /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))[1];
  const targetDir = join(process.env.CARGO_TARGET_DIR ?? join(here, 'target'), 'fuzz');
  const flags = [
    '--cfg fuzzing',
    '-Cpasses=sancov-module',
    '-Cllvm-args=-sanitizer-coverage-level=4',
    '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
    '-Cllvm-args=-sanitizer-coverage-pc-table',
    '-Cllvm-args=-sanitizer-coverage-trace-compares',
    '-Ccodegen-units=1',
    '-Cdebug-assertions=on',
  ];
  // With --target, build scripts are left uninstrumented: they have no fuzzer to link with.
  const args = [
    'build',
    '--release',
    '--locked',
    '--manifest-path',
    manifest,
    '--target',
    host,
    '--target-dir',
    targetDir,
  ];
  for (const target of targets) args.push('--bin', target);
  const { status } = spawnSync('cargo', args, {
    stdio: 'inherit',
    env: { ...process.env, RUSTFLAGS: flags.join(' ') },
  });
  if (status !== 0) fail('the build failed');
  return join(targetDir, host, 'release');
}

/** Returns whether the target survived. New inputs go to a temporary folder: the committed corpus is written by hand. */
function run(target) {
  const corpus = join(here, 'corpus', target);
  const artifacts = join(here, 'artifacts', target);
  const found = mkdtempSync(join(tmpdir(), `gwanmun-fuzz-${target}-`));
  mkdirSync(artifacts, { recursive: true });
  const before = new Set(readdirSync(artifacts));
  const args = [
    found,
    corpus,
    `-max_total_time=${seconds}`,
    '-max_len=4096',
    '-timeout=10',
    '-verbosity=0',
    '-print_final_stats=1',
    `-artifact_prefix=${artifacts}/`,
  ];
  const { status } = spawnSync(join(binaries, target), args, { stdio: 'inherit' });
  rmSync(found, { recursive: true, force: true });
  if (status === 0) {
    console.log(`${target}: nothing found in ${seconds} s`);
    return true;
  }
  const artifact = readdirSync(artifacts).find((name) => !before.has(name));
  console.error(
    artifact === undefined ? `${target}: ended with ${status}` : `${target}: crashed, see ${join(artifacts, artifact)}`,
  );
  return false;
}

function fail(message) {
  console.error(`fuzz: ${message}`);
  process.exit(1);
}
