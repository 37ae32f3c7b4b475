// What the loader says where there is no core for it to load.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { currentPlatform, PLATFORMS } from '../../src/native.js';
import { Command, Folder, install, nodeOnly, pack, type Ended } from './packages.js';

const folder = new Folder();
const project = join(folder.path, 'project');
const name = `@gwanmun/core-${currentPlatform()}`;
const core = join(project, 'node_modules', name);
let path: string;
afterAll(() => folder[Symbol.dispose]());
beforeAll(async () => {
  path = await nodeOnly(folder, '20.19.0');
  const { root, core: tarball } = await pack(folder);
  await install(project, path, root, tarball);
  mkdirSync(join(project, 'site'));
  for (const [file, platform, arch] of [
    ['riscv.cjs', 'linux', 'riscv64'],
    ['darwin.cjs', 'darwin', 'arm64'],
  ]) {
    const pretend = `for (const [k, value] of [['platform', '${platform}'], ['arch', '${arch}']]) Object.defineProperty(process, k, { value });`;
    writeFileSync(join(project, file ?? ''), pretend);
  }
}, 120_000);

async function serve(...options: readonly string[]): Promise<Ended> {
  const main = 'node_modules/gwanmun/dist/cli/main.js';
  using command = new Command(project, path, 'node', ...options, main, './site', '--port', '0');
  return await command.end();
}

test('an architecture without a core: which there are, and how to build one', async () => {
  const { code, stderr } = await serve('--require', './riscv.cjs');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_NATIVE_MISSING  There is no prebuilt core for linux-riscv64-gnu/);
  for (const platform of PLATFORMS) expect(stderr).toContain(platform);
  expect(stderr).toContain('npm run build');
});

test('a system that is not Linux: where it runs', async () => {
  const { code, stderr } = await serve('--require', './darwin.cjs');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_PLATFORM  gwanmun does not run on darwin-arm64/);
  for (const platform of PLATFORMS) expect(stderr).toContain(platform);
  expect(stderr).toContain('try: use Linux');
});

test('a core of another version: both versions', async () => {
  const file = join(core, 'package.json');
  const manifest = readFileSync(file, 'utf8');
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(manifest) as object), version: '0.0.1' }));
  const { code, stderr } = await serve();
  writeFileSync(file, manifest);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    new RegExp(`^✗ GWM_NATIVE_MISSING  gwanmun is \\d\\S+, but ${name} is 0\\.0\\.1\n  try: npm install`),
  );
});

test('a core that the system cannot load: what the system says', async () => {
  writeFileSync(join(core, `gwanmun.${currentPlatform()}.node`), 'not a library');
  const { code, stderr } = await serve();
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_NATIVE_MISSING  The native core for linux-\S+ cannot be loaded\n.*(too short|ELF)/);
});

test('a core that was left out: how to install it', async () => {
  rmSync(core, { recursive: true });
  const { code, stderr } = await serve();
  expect(code).toBe(1);
  expect(stderr).toMatch(/^✗ GWM_NATIVE_MISSING  The native core for linux-\S+ is not installed/);
  expect(stderr).toContain(name);
  expect(stderr).toContain('npm install --include=optional gwanmun');
});
