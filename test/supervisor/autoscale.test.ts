import { expect, test } from 'vitest';
import { Autoscale } from '../../src/supervisor/autoscale.js';

/** Decides each 250 ms from `from` on for so long, and gives when it wanted a change. */
function watch(
  subject: Autoscale,
  from: number,
  ms: number,
  waited: number,
  count: number,
): [number, number] | undefined {
  for (let now = from; now <= from + ms; now += 250) {
    const change = subject.decide(now, waited, waited > 0 ? 1 : 0, count, 1, 4);
    if (change !== 0) return [now - from, change];
  }
  return undefined;
}

test('grows while requests wait, up to the most', () => {
  const subject = new Autoscale();
  expect(subject.decide(0, 99, 5, 1, 1, 4)).toBe(0);
  expect(subject.decide(250, 100, 5, 1, 1, 4)).toBe(1);
  expect(subject.decide(500, 350, 5, 3, 1, 4)).toBe(1);
  expect(subject.decide(750, 600, 5, 4, 1, 4)).toBe(0);
});

test('what did not start is tried again after a while', () => {
  const subject = new Autoscale();
  expect(subject.decide(1000, 100, 5, 1, 1, 4)).toBe(1);
  subject.failed(1000);
  expect(subject.decide(10_750, 9000, 5, 1, 1, 4)).toBe(0);
  expect(subject.decide(11_000, 9000, 5, 1, 1, 4)).toBe(1);
});

test('shrinks after half a minute of calm, one at a time, down to the least', () => {
  const subject = new Autoscale();
  expect(watch(subject, 0, 40_000, 0, 3)).toEqual([30_000, -1]);
  expect(watch(subject, 30_250, 40_000, 0, 2)).toEqual([29_750, -1]);
  expect(watch(subject, 60_250, 100_000, 0, 1)).toBeUndefined();
});

test('a request that waits a little is no calm', () => {
  const subject = new Autoscale();
  expect(watch(subject, 0, 20_000, 0, 2)).toBeUndefined();
  expect(subject.decide(20_250, 5, 1, 2, 1, 4)).toBe(0);
  expect(watch(subject, 20_500, 40_000, 0, 2)).toEqual([30_000, -1]);
});

test('who gives a worker up and misses it waits longer the next time', () => {
  const subject = new Autoscale();
  expect(watch(subject, 0, 40_000, 0, 2)).toEqual([30_000, -1]);
  expect(subject.decide(31_000, 100, 1, 1, 1, 4)).toBe(1);
  expect(watch(subject, 32_000, 100_000, 0, 2)).toEqual([60_000, -1]);
  expect(subject.decide(93_000, 100, 1, 1, 1, 4)).toBe(1);
  expect(watch(subject, 94_000, 200_000, 0, 2)).toEqual([120_000, -1]);
});
