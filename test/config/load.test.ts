import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findConfig, loadConfig } from '../../src/config/load.js';
import { GwanmunError } from '../../src/errors.js';

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-load-')));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function fault(path: string): Promise<GwanmunError> {
  const error: unknown = await loadConfig(path).catch((thrown: unknown) => thrown);
  if (error instanceof GwanmunError) return error;
  throw new Error('the configuration was accepted', { cause: error });
}

const MOUNTS = "mounts: [{ path: '/', files: '.' }]";

test.each([
  ['gwanmun.config.ts', `interface X { a: string }\nexport default { ${MOUNTS}, workers: 2 as number };`],
  ['gwanmun.config.mts', `export default (): object => ({ ${MOUNTS}, workers: 2 });`],
  ['gwanmun.config.mjs', `export default async () => ({ ${MOUNTS}, workers: 2 });`],
  ['gwanmun.config.js', `module.exports = { ${MOUNTS}, workers: 2 };`],
  ['gwanmun.config.json', '{ "mounts": [{ "path": "/", "files": "." }], "workers": 2 }'],
])('%s is found and read', async (name, text) => {
  const path = write(name, text);
  expect(findConfig(directory)).toBe(path);
  const loaded = await loadConfig(path);
  expect(loaded.config.workers).toBe(2);
  expect(loaded.directory).toBe(directory);
});

test('TypeScript wins over JavaScript, and no file is no configuration', () => {
  expect(findConfig(directory)).toBeUndefined();
  write('gwanmun.config.json', '');
  const path = write('gwanmun.config.ts', '');
  expect(findConfig(directory)).toBe(path);
});

test('a fault in the shape carries file and line', async () => {
  const path = write('gwanmun.config.ts', `export default {\n  ${MOUNTS},\n  wrokers: 2,\n};\n`);
  const error = await fault(path);
  expect(error).toMatchObject({ code: 'GWM_CONFIG_INVALID', where: { line: 3, column: 3, key: 'wrokers' } });
  expect(error.message).toBe('wrokers: unknown key; did you mean "workers"?');
});

test("a throw in the configuration's first line names its column", async () => {
  const path = write('gwanmun.config.ts', "throw new Error('no database');\n");
  expect(await fault(path)).toMatchObject({ where: { line: 1, column: 7 } });
});

test('a throw in the configuration names its line', async () => {
  const path = write(
    'gwanmun.config.ts',
    "const a: string = 'x';\n\nthrow new Error('no database');\nexport default {};\n",
  );
  expect(await fault(path)).toMatchObject({
    code: 'GWM_CONFIG_LOAD',
    message: expect.stringContaining('no database') as string,
    where: { file: expect.stringMatching(/gwanmun\.config\.ts$/) as string, line: 3 },
  });
});

test('a throw in the function names its line', async () => {
  const path = write('gwanmun.config.mjs', "export default () => {\n  throw new Error('no secret');\n};\n");
  expect(await fault(path)).toMatchObject({ code: 'GWM_CONFIG_LOAD', where: { line: 2 } });
});

test('a syntax error names its line', async () => {
  const path = write('a.ts', 'export default {\n  mounts: [],\n  workers = = 2,\n};\n');
  expect(await fault(path)).toMatchObject({ code: 'GWM_CONFIG_LOAD', where: { line: 3 } });
});

test('broken JSON is told in one line', async () => {
  const path = write('gwanmun.config.json', '{\n  "mounts": [,]\n}\n');
  const error = await fault(path);
  expect(error.code).toBe('GWM_CONFIG_LOAD');
  expect(error.message).toMatch(/^.*gwanmun\.config\.json is not valid JSON: .+$/);
});

test('a module without a default export is told what it exports', async () => {
  const path = write('gwanmun.config.ts', 'export const config = {};\n');
  expect(await fault(path)).toMatchObject({
    code: 'GWM_CONFIG_EXPORT',
    message: expect.stringContaining('it exports config') as string,
  });
});

test('a missing file is GWM_CONFIG_NOT_FOUND', async () => {
  expect(await fault(join(directory, 'nope.ts'))).toMatchObject({ code: 'GWM_CONFIG_NOT_FOUND' });
});
