import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { look, type PathCheck } from '../../src/config/paths.js';
import { pythonCheck, pythonFrom } from '../../src/config/python.js';

let directory: string;
const path = process.env['PATH'];
const at = (name: string): string => join(directory, name);

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-paths-')));
  for (const folder of ['first', 'second', 'third']) mkdirSync(at(folder));
  symlinkSync(process.execPath, at('second/python3'));
  process.env['PATH'] = `${at('first')}:${at('second')}:${at('third')}`;
});
afterAll(() => {
  process.env['PATH'] = path;
  rmSync(directory, { recursive: true });
});

test('a path that does not answer is a fault of its key, and is not looked at', () => {
  const check: PathCheck = { key: ['pidFile'], paths: [at('first')], kind: 'folder' };
  expect(look([check]).faults).toEqual([]);
  const { faults, found } = look([check], new Set([at('first')]));
  expect(faults).toEqual([
    {
      path: ['pidFile'],
      message: expect.stringMatching(/first has not answered for 10 s: check its disk, or the server/) as string,
    },
  ]);
  expect(found.size).toBe(0);
});

test('of several places only those up to the first that fits have to answer', () => {
  const check = pythonCheck(undefined, directory, ['mounts', 0]);
  const silent = (folder: string): ReadonlySet<string> => new Set([at(`${folder}/python3`)]);
  const { faults, found } = look([check], silent('third'));
  expect(faults).toEqual([]);
  expect(pythonFrom(found.get(check) ?? '', undefined, directory)).toBe('python3');
  // A start of it would hang there, too.
  expect(look([check], silent('first')).faults).toHaveLength(1);
});
