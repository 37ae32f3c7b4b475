// Whatever happens to a pool at the same time, it has as many workers as it is to have, and none once it has ended.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { GwanmunError } from '../../src/errors.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import type { WorkerExit, WorkerProcess } from '../../src/supervisor/worker-process.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A pool with a core and processes of its own. */
class World {
  /** Processes that run, by the core's id. */
  readonly alive = new Map<number, Process>();
  readonly subject: Supervisor;
  queued = 0;
  /** Decides what processes do that are let go. */
  readonly random: () => number;
  #ids = 0;

  constructor(count: number, random: () => number = () => 0) {
    this.random = random;
    this.subject = new Supervisor({
      core: {
        addWorker: () => ({ id: ++this.#ids, memory: this.#ids, links: [] }),
        removeWorker: (id) => this.alive.get(id)?.letGo(),
        workerDied: () => {},
        nameWorker: () => {},
        queued: () => this.queued,
      },
      closeFds: () => {},
      spawn: (number, { memory }) => new Process(this, number, memory),
      pool: 0,
      numbers: Array.from({ length: count }, (_, index) => index + 1),
      startTimeout: 5000,
      tell: () => {},
    });
  }

  get starting(): Process[] {
    return this.#inState('starting');
  }

  get ready(): Process[] {
    return this.#inState('ready');
  }

  #inState(state: string): Process[] {
    const ids = new Set(this.subject.status().flatMap((worker) => (worker.state === state ? [worker.id] : [])));
    return [...this.alive.values()].filter(({ id }) => ids.has(id));
  }

  allReady(): void {
    for (const { id } of this.starting) this.subject.workerReady(id);
  }

  /** Until nothing changes any more: all that starts becomes ready, all that goes is gone. */
  async settle(): Promise<void> {
    for (let round = 0; round < 40; round += 1) {
      this.allReady();
      await vi.advanceTimersByTimeAsync(1000);
    }
  }
}

class Process implements WorkerProcess {
  readonly world: World;
  readonly number: number;
  /** The core's. */
  readonly id: number;
  readonly pid: number;
  readonly died: Promise<void>;
  readonly exited: Promise<WorkerExit>;
  #resolve!: (exit: WorkerExit) => void;

  constructor(world: World, number: number, id: number) {
    this.world = world;
    this.number = number;
    this.id = id;
    this.pid = id;
    this.exited = new Promise((resolve) => (this.#resolve = resolve));
    this.died = this.exited.then(() => {});
    world.alive.set(id, this);
  }

  exit(how: Partial<WorkerExit> = {}): void {
    this.world.alive.delete(this.id);
    this.#resolve({ code: 1, signal: null, failure: undefined, ...how });
  }

  kill(): void {
    this.exit({ code: null, signal: 'SIGKILL' });
  }

  async stack(): Promise<undefined> {
    await Promise.resolve();
  }

  /** Its links have ended: it ends by itself, at once or later, or has to be killed. */
  letGo(): void {
    const luck = this.world.random();
    if (luck < 0.4) setTimeout(() => this.exit({ code: 0 }), luck * 1000);
  }
}

async function world(count: number): Promise<World> {
  const own = new World(count);
  const started = own.subject.start();
  own.allReady();
  await started;
  return own;
}

const numbers = (processes: Process[]): number[] => processes.map(({ number }) => number).toSorted((a, b) => a - b);

describe('a pool that is to go', () => {
  test('takes along a worker that was to replace another one', async () => {
    const own = await world(1);
    const replacing = own.subject.replace(1, 30_000);
    expect(own.starting).toHaveLength(1);
    const retired = own.subject.retire(30_000);
    own.allReady();
    expect(await replacing).toBe(false);
    await vi.advanceTimersByTimeAsync(30_000);
    await retired;
    expect(own.alive.size).toBe(0);
  });

  test('takes along a worker that it was to grow by, while its queue is served', async () => {
    const own = await world(1);
    own.queued = 1;
    const growing = own.subject.grow(2);
    const retired = own.subject.retire(3000);
    await vi.advanceTimersByTimeAsync(1000);
    own.queued = 0;
    await vi.advanceTimersByTimeAsync(2000);
    expect(await growing).toBe(false);
    await retired;
    expect(own.alive.size).toBe(0);
  });

  test('replaces a worker that ends while requests wait for one', async () => {
    const own = await world(1);
    own.queued = 1;
    const retired = own.subject.retire(30_000);
    own.ready[0]?.exit();
    await vi.advanceTimersByTimeAsync(100);
    own.allReady();
    expect(numbers(own.ready)).toEqual([1]);
    own.queued = 0;
    await vi.advanceTimersByTimeAsync(31_000);
    await retired;
    expect(own.alive.size).toBe(0);
  });

  test('starts nothing any more, whoever asks', async () => {
    const own = await world(2);
    own.ready[0]?.exit();
    const retired = own.subject.retire(1000);
    expect(await own.subject.replace(1, 0)).toBe(false);
    expect(await own.subject.grow(3)).toBe(false);
    expect(await own.subject.swap(0)).toBeUndefined();
    await own.subject.start();
    await vi.advanceTimersByTimeAsync(60_000);
    await retired;
    expect(own.alive.size).toBe(0);
  });
});

describe('a worker that is being replaced', () => {
  test('and ends meanwhile leaves its place to the one that comes', async () => {
    const own = await world(1);
    const replacing = own.subject.replace(1, 1000);
    own.ready[0]?.exit();
    await own.settle();
    expect(await replacing).toBe(true);
    expect(numbers([...own.alive.values()])).toEqual([1]);
    expect(numbers(own.ready)).toEqual([1]);
  });

  test('and ends meanwhile is replaced all the same if the one that comes fails', async () => {
    const own = await world(1);
    const replacing = own.subject.replace(1, 1000).catch((error: unknown) => error);
    own.ready[0]?.exit();
    await vi.advanceTimersByTimeAsync(0);
    own.starting[0]?.exit();
    expect(await replacing).toBeInstanceOf(GwanmunError);
    await own.settle();
    expect(numbers(own.ready)).toEqual([1]);
  });

  test('and hangs meanwhile leaves its place to the one that comes', async () => {
    const own = await world(1);
    const replacing = own.subject.replace(1, 1000);
    void own.subject.endHung(own.ready[0]?.id ?? 0, 'hangs');
    await own.settle();
    expect(await replacing).toBe(true);
    expect(own.alive.size).toBe(1);
    expect(numbers(own.ready)).toEqual([1]);
  });

  test('is so once, however many ask', async () => {
    const own = await world(1);
    const replacing = [own.subject.replace(1, 1000), own.subject.replace(1, 1000)];
    expect(own.alive.size).toBe(2);
    await own.settle();
    expect(await Promise.all(replacing)).toEqual([true, true]);
    expect(own.alive.size).toBe(1);
  });
});

test('a place that waits for its next attempt can be filled at once', async () => {
  const own = await world(1);
  own.ready[0]?.exit();
  await vi.advanceTimersByTimeAsync(0);
  const replacing = own.subject.replace(1, 1000);
  expect(own.starting).toHaveLength(1);
  await own.settle();
  expect(await replacing).toBe(true);
  expect(own.alive.size).toBe(1);
});

test('a worker that was to be one more and fails takes along the one that was to replace it', async () => {
  const own = await world(1);
  const growing = own.subject.grow(2).catch((error: unknown) => error);
  const replacing = own.subject.replace(2, 1000);
  expect(own.starting).toHaveLength(2);
  own.starting[0]?.exit();
  expect(await growing).toBeInstanceOf(GwanmunError);
  expect(await replacing).toBe(false);
  await own.settle();
  expect(numbers([...own.alive.values()])).toEqual([1]);
});

describe('at random', () => {
  test.each(Array.from({ length: 150 }, (_, seed) => seed + 1))('%i', async (seed) => {
    const random = generator(seed);
    const own = new World(1 + Math.floor(random() * 3), random);
    const { subject } = own;
    const started = subject.start();
    own.allReady();
    await started;
    const one = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
    const asked: Promise<unknown>[] = [];
    const ask = (what: Promise<unknown>): void => void asked.push(what.catch(() => {}));
    const events: (() => void)[] = [
      () => ask(subject.replace(one(subject.numbers) ?? 1, 2000)),
      () => subject.count < 5 && ask(subject.grow(Math.max(0, ...subject.numbers) + 1)),
      () => subject.count > 1 && subject.shrink(2000),
      () => one([...own.alive.values()])?.exit(),
      () => one([...own.alive.values()])?.exit({ code: 0 }),
      () => one(own.starting)?.exit({ failure: new GwanmunError('GWM_APP_FAILED') }),
      () => subject.workerReady(one(own.starting)?.id ?? 0),
      () => subject.workerReady(one(own.starting)?.id ?? 0),
      () => subject.workerGone(one([...own.alive.values()])?.id ?? 0, 'it closed its link'),
      () => ask(subject.endHung(one(own.ready)?.id ?? 0, 'hangs')),
      () => random() < 0.2 && ask(subject.swap(500)),
    ];
    for (let step = 0; step < 40; step += 1) {
      one(events)?.();
      if (random() < 0.5) await vi.advanceTimersByTimeAsync(random() * 3000);
    }
    if (seed % 3 === 0) {
      await own.settle();
      await Promise.all(asked);
      expect(numbers([...own.alive.values()])).toEqual(subject.numbers.toSorted((a, b) => a - b));
      expect(subject.status().map(({ state }) => state)).toEqual(subject.numbers.map(() => 'ready'));
    }
    own.queued = seed % 5;
    const ended = seed % 2 === 0 ? subject.retire(2000) : subject.stop(2000);
    for (let step = 0; step < 5; step += 1) one(events)?.();
    await vi.advanceTimersByTimeAsync(1000);
    own.queued = 0;
    if (seed % 7 === 0) void subject.stop(0);
    await vi.advanceTimersByTimeAsync(10_000);
    await ended;
    expect(own.alive.size).toBe(0);
    await Promise.all(asked);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(own.alive.size).toBe(0);
  });
});

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
