import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Folder, install, nodeOnly, pack, PROGRAM, ROOT, run, TSC } from './packages.js';

const folder = new Folder();
const project = join(folder.path, 'project');
afterAll(() => folder[Symbol.dispose]());
beforeAll(async () => {
  const { root, core } = await pack(folder);
  await install(project, await nodeOnly(folder, '20.19.0'), root, core);
  copyFileSync(PROGRAM, join(project, 'program.ts'));
}, 120_000);

test.each([
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])("module %s, resolution %s: the types need Node's and not the browser's", async (module, moduleResolution) => {
  const compilerOptions = {
    module,
    moduleResolution,
    target: 'es2023',
    lib: ['es2023'],
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
    // Every declaration file is looked at, and as strictly as anyone may.
    skipLibCheck: false,
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  const { stdout } = await run(process.execPath, [TSC, '-p', '.'], { cwd: project }).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(stdout).toBe('');
});
