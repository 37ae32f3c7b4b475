// What the tools that look at packages say about ours.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { currentPlatform } from '../../src/native.js';
import { Folder, install, nodeOnly, pack, ROOT } from './packages.js';

interface Manifest {
  version: string;
  scripts?: object;
  optionalDependencies: Record<string, string>;
}

const folder = new Folder();
const project = join(folder.path, 'project');
let tarballs: Record<'root' | 'core', string>;
afterAll(() => folder[Symbol.dispose]());
beforeAll(async () => {
  tarballs = await pack(folder);
  await install(project, await nodeOnly(folder, '20.19.0'), tarballs.root, tarballs.core);
}, 120_000);

const manifest = (name: string): Manifest =>
  JSON.parse(readFileSync(join(project, 'node_modules', name, 'package.json'), 'utf8')) as Manifest;

/** What a tool prints, and its exit code. */
function tool(...args: readonly string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env: { ...process.env, NO_COLOR: '1' } }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    );
  });
}

test('the core is an optional dependency of exactly this version, for this system only', () => {
  const core = `@gwanmun/core-${currentPlatform()}`;
  const root = manifest('gwanmun');
  expect(root.optionalDependencies[core]).toBe(root.version);
  expect(manifest(core)).toMatchObject({
    version: root.version,
    os: ['linux'],
    cpu: [process.arch],
    libc: [currentPlatform().endsWith('musl') ? 'musl' : 'glibc'],
  });
  expect([root.scripts, manifest(core).scripts]).toEqual([undefined, undefined]);
});

test.each(['root', 'core'] as const)('publint finds nothing in the package %s', async (name) => {
  const { code, output } = await tool(join(ROOT, 'node_modules/publint/src/cli.js'), 'run', tarballs[name], '--strict');
  expect([code, output]).toEqual([0, expect.stringContaining('All good!')]);
});

test('are the types wrong? No', { timeout: 60_000 }, async () => {
  const cli = join(ROOT, 'node_modules/@arethetypeswrong/cli/dist/index.js');
  const { code, output } = await tool(cli, tarballs.root, '--profile', 'esm-only');
  expect([code, output]).toEqual([0, expect.stringMatching(/node16 \(from ESM\).*🟢 \(ESM\)[^]*bundler.*🟢/)]);
});
