// The obligations of HTTP and of files have numbers (H1 to H85). Whoever takes a test away takes away the proof of a row: this notices.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const between = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, index) => `H${first + index}`);

const ROWS = [...between(1, 33), ...between(40, 43), ...between(54, 56), 'H59', 'H62', 'H63', ...between(67, 85)];

test('every row is named by a test', () => {
  const named = new Set<string>();
  for (const folder of ['test', 'crates']) {
    for (const file of readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(test\.ts|rs)$|http\/cases\.txt$/.test(file) || file === 'http/rows.test.ts') continue;
      const text = readFileSync(`${ROOT}${folder}/${file}`, 'utf8');
      // Of a Rust source, what follows the first test.
      const tests =
        folder === 'crates' && !file.includes('/tests/') ? text.split('#[cfg(test)]').slice(1).join('') : text;
      for (const [row] of tests.matchAll(/(?<![a-z])H\d+/gi)) named.add(row.toUpperCase());
    }
  }
  expect(ROWS.filter((row) => !named.has(row))).toEqual([]);
});
