// What a clone says that has not what it is built with.

import { chmodSync, cpSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command, Folder, nodeOnly, ROOT, type Ended } from './packages.js';

const folder = new Folder();
const clone = join(folder.path, 'clone');
afterAll(() => folder[Symbol.dispose]());
beforeAll(() => {
  mkdirSync(clone);
  for (const name of ['scripts', 'package.json', 'package-lock.json', 'Cargo.toml']) {
    cpSync(join(ROOT, name), join(clone, name), { recursive: true });
  }
  // As `npm ci` has left it.
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
  utimesSync(join(clone, 'package-lock.json'), 0, 0);
});

async function build(path: string): Promise<Ended> {
  using command = new Command(clone, path, 'node', 'scripts/build.mjs');
  return await command.end();
}

test('a missing cargo: what is needed and where it is', { timeout: 120_000 }, async () => {
  const { code, stderr } = await build(await nodeOnly(folder, '20.19.0'));
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^✗ GWM_CARGO  cargo is not installed; the native core needs Rust 1\.\d+ or newer\n  try: .*rustup/,
  );
});

test('a cargo that is too old: both versions', { timeout: 120_000 }, async () => {
  const path = await nodeOnly(folder, '20.19.0');
  writeFileSync(join(path, 'cargo'), "#!/bin/sh\necho 'cargo 1.70.0 (ec8a8a0ca 2023-04-25)'\n");
  chmodSync(join(path, 'cargo'), 0o755);
  const { code, stderr } = await build(path);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^✗ GWM_CARGO  cargo 1\.70\.0 is too old; the native core needs Rust 1\.\d+ or newer.*\n  try: .*rustup/,
  );
});

test('a Node.js that is too old: both versions', { timeout: 120_000 }, async () => {
  const { code, stderr } = await build(await nodeOnly(folder, '18.20.8'));
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^✗ GWM_NODE_VERSION  gwanmun needs Node\.js 20\.19 or newer; this is 18\.20\.8\n  try: .*Node/,
  );
});
