// The page that specifies the contract names a test for each row; the test is there.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/application-contract.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| (W\d\d) \| .* \| (.*) \|$/gm)].map(([, row = '', tests = '']) => ({
  row,
  files: [...tests.matchAll(/\]\((\.\.\/test\/[^)]+)\)/g)].map(([, file = '']) => file),
}));

test('every row has one line', () => {
  const ranges = [
    [1, 12],
    [20, 28],
    [30, 42],
    [50, 67],
  ] as const;
  const known = ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, index) => `W${String(first + index).padStart(2, '0')}`),
  );
  expect(rows.map(({ row }) => row)).toEqual(known);
});

test.each(rows)('$row is tested where the page says', ({ row, files }) => {
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
    // A test's title, also one that goes over to the next line.
    expect(text).toMatch(new RegExp(`(?:test|test\\.each\\([^]*?\\))\\(\\s*['"\`](?:W\\d\\d )*${row} `));
  }
});
