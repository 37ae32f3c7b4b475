import { expect, test } from 'vitest';
import { momentIn, pauseAfter, renewalOf } from '../../src/acme/schedule.js';

const [HOUR, DAY] = [3_600_000, 86_400_000];

test('T165 without a suggestion a third of the life is left, of a short one a half', () => {
  for (const [days, left] of [
    [90, 30],
    [45, 15],
    [47, 47 / 3],
    [6, 3],
    [10, 10 / 3],
  ] as const) {
    expect(renewalOf({ notBefore: 0, notAfter: days * DAY })).toBeCloseTo((days - left) * DAY, -3);
  }
  expect(momentIn({ start: 100, end: 200 }, 0.25)).toBe(125);
});

test('T168 five attempts in the first hour, then ever fewer, never none', () => {
  const at = [0];
  for (let failures = 1; failures <= 20; failures++) at.push((at.at(-1) ?? 0) + pauseAfter(failures, 0.5));
  expect(at.filter((ms) => ms < HOUR)).toHaveLength(5);
  expect(at.slice(-1)[0]).toBe((at.slice(-2)[0] ?? 0) + 6 * HOUR);
  expect(pauseAfter(1000, 0)).toBe(Math.round(6 * HOUR * 0.9));
  expect(pauseAfter(1000, 1)).toBe(Math.round(6 * HOUR * 1.1));
});
