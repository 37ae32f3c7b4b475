import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { prefixLines } from '../../src/supervisor/lines.js';

async function passed(chunks: readonly (string | Buffer)[]): Promise<string[]> {
  const from = new PassThrough();
  const to = new PassThrough();
  const received = to.toArray() as Promise<Buffer[]>;
  prefixLines(from, to, '[worker 1] ');
  for (const chunk of chunks) from.write(chunk);
  from.end();
  await finished(from, { writable: false });
  to.end();
  return Buffer.concat(await received)
    .toString()
    .split('\n')
    .slice(0, -1);
}

test('every line gets the prefix, however the chunks fall', async () => {
  expect(await passed(['one\ntw', 'o\n\nthr', 'ee\n'])).toEqual([
    '[worker 1] one',
    '[worker 1] two',
    '[worker 1] ',
    '[worker 1] three',
  ]);
});

test('a last line without an end is not lost', async () => {
  expect(await passed(['a\nlast'])).toEqual(['[worker 1] a', '[worker 1] last']);
});

test('a character that two chunks share stays whole', async () => {
  const bytes = Buffer.from('관문\n');
  expect(await passed([bytes.subarray(0, 1), bytes.subarray(1, 4), bytes.subarray(4)])).toEqual(['[worker 1] 관문']);
});

test('an endless line is cut, so that it is not kept in memory', async () => {
  const lines = await passed(Array.from({ length: 20 }, () => 'x'.repeat(10_000)));
  expect(lines.length).toBeGreaterThanOrEqual(3);
  expect(lines.join('').replaceAll('[worker 1] ', '')).toBe('x'.repeat(200_000));
});

test('a slow reader pauses the worker', async () => {
  const from = new PassThrough();
  const to = new PassThrough({ highWaterMark: 10 });
  prefixLines(from, to, '');
  from.write('more than ten bytes\n');
  await expect.poll(() => from.isPaused()).toBe(true);
  to.read();
  await expect.poll(() => from.isPaused()).toBe(false);
});
