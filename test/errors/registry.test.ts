// The registry against everything that is made from it or has to agree with it.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errorPage } from '../../src/cli/error-page.js';
import { errorEntries, isErrorCode } from '../../src/error-entries.js';
import { ROOT } from './new-user.js';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

function sources(folder: string, extension: RegExp): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => extension.test(name)).map((name) => join(folder, name));
}

test('docs/errors.md is what the registry says; else run: npm run docs:errors', () => {
  expect(read('docs/errors.md')).toBe(errorPage());
});

test.each([
  ['the core', 'crates', /\/src\/.*\.rs$/],
  ['TypeScript', 'src', /\.ts$/],
  ['the scripts', 'scripts', /\.mjs$/],
])('every code that %s names is in the registry', (_, folder, extension) => {
  const named = sources(folder, extension).flatMap((file) => read(file).match(/\bGWM_[A-Z_]*[A-Z]\b(?!_)/g) ?? []);
  expect(named.length).toBeGreaterThan(0);
  // GWM_APP and GWM_CONFIG stand in comments for the families of codes.
  const unknown = named.filter((code) => !isErrorCode(code) && !/^GWM_(APP|CONFIG)$/.test(code));
  expect([...new Set(unknown)]).toEqual([]);
});

test('every kind of error of the core has a code', () => {
  const [, kinds = ''] = /pub enum ErrorKind \{([^}]*)\}/.exec(read('crates/server/src/error.rs')) ?? [];
  const [, arms = ''] = /match self\.kind \{([^}]*)\}/.exec(read('crates/server/src/error.rs')) ?? [];
  const names = kinds.match(/^\s+[A-Z]\w+(?=,)/gm)?.map((name) => name.trim()) ?? [];
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) expect(arms).toMatch(new RegExp(`ErrorKind::${name}\\b[^\\n]* => "GWM_`));
});

// They run before, or without, what is built from src: so they hold copies.
test.each([
  ['scripts/build.mjs', 'GWM_BUILD'],
  ['scripts/build.mjs', 'GWM_CARGO'],
  ['src/cli/main.ts', 'GWM_NODE_VERSION'],
  ['src/cli/main.ts', 'GWM_PLATFORM'],
] as const)('%s has the registry’s remedy of %s', (file, code) => {
  expect(read(file)).toContain(errorEntries[code].remedy);
});

test.each(Object.entries(errorEntries))('%s has a page worth reading', (_, entry) => {
  expect(entry.explanation.length).toBeGreaterThan(30);
  expect(entry.fixes.length).toBeGreaterThan(0);
  expect(entry.example).toMatch(/GWM_/);
  for (const text of [entry.title, entry.explanation, ...entry.fixes]) expect(text).not.toMatch(/\n|^\s|\s$/);
});
