import { expect, test } from 'vitest';
import { Backoff } from '../../src/supervisor/backoff.js';

test('waits double from 100 ms to 10 s', () => {
  const backoff = new Backoff();
  const delays = Array.from({ length: 9 }, () => backoff.delay(0));
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

test('a worker that was up for 10 s starts the series again', () => {
  const backoff = new Backoff();
  for (let i = 0; i < 5; i++) backoff.delay(9999);
  expect(backoff.delay(10_000)).toBe(100);
  expect(backoff.delay(0)).toBe(200);
});
