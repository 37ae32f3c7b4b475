// Changes of the number of workers come one after the other, whoever asks for them.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Pool } from '../../src/supervisor/generations.js';
import type { Supervisor } from '../../src/supervisor/supervisor.js';
import { Upkeep, type Charge } from '../../src/supervisor/upkeep.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A pool of so many workers, each of which takes a while to start. */
function pool(count: number): Pool & { numbers: number[] } {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const supervisor = {
    get count() {
      return numbers.length;
    },
    numbers,
    grow: async (number: number) => {
      numbers.push(number);
      await vi.advanceTimersByTimeAsync(100);
      return true;
    },
    shrink: () => void numbers.pop(),
  };
  return { number: 0, supervisor: supervisor as unknown as Supervisor, numbers };
}

function upkeep(own: Pool): Upkeep {
  const charge = {
    config: () => ({ drainTimeout: 0, timeout: 0, recycle: {}, workers: 1, mostWorkers: 1 }),
    pools: () => [own],
    everyPool: () => [own],
    isBusy: () => false,
    coreStatus: () => ({}),
    tell: () => {},
  };
  return new Upkeep(charge as unknown as Charge);
}

test('each decides about what the one before it has left', async () => {
  const own = pool(1);
  const subject = upkeep(own);
  const more = (count: number): number => count + 1;
  const changes = [
    subject.scale(own, more),
    subject.scale(own, more),
    subject.scale(own, () => 5),
    subject.scale(own, () => 2),
  ];
  expect(await Promise.all(changes)).toEqual([
    { before: 1, after: 2 },
    { before: 2, after: 3 },
    { before: 3, after: 5 },
    { before: 5, after: 2 },
  ]);
  expect(own.numbers).toEqual([1, 2]);
  subject.end();
});

test('one that fails does not hold up the next', async () => {
  const own = pool(1);
  const subject = upkeep(own);
  const failing = subject.scale(own, () => {
    throw new Error('no');
  });
  const next = subject.scale(own, () => 2);
  await expect(failing).rejects.toThrow('no');
  expect(await next).toEqual({ before: 1, after: 2 });
  subject.end();
});
