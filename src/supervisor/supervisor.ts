// Keeps the workers of a pool running: starts them, waits until they are ready, replaces those that end.

import { GwanmunError } from '../errors.js';
import { Place } from './place.js';
import { Processes } from './processes.js';
import { describeExit, Slot, type SlotOptions, type SlotState, type Spawn, type Start } from './slot.js';
import type { WorkerExit, WorkerLinks, WorkerProcess } from './worker-process.js';

export interface SupervisorOptions extends Omit<SlotOptions, 'isEnding' | 'ended'> {
  readonly spawn: Spawn;
  /** In development: starts a worker that shows why the real one does not start. */
  readonly spawnFailed?: ((number: number, links: WorkerLinks, failure: GwanmunError) => WorkerProcess) | undefined;
  /** What its workers are called, one each. */
  readonly numbers: readonly number[];
}

/** What a worker is about. */
export interface WorkerStatus {
  readonly worker: number;
  readonly pid: number | undefined;
  /** Of a process; or nobody has the place: the next attempt is waited for, or there is none. */
  readonly state: SlotState | 'waiting' | 'failed';
  /** The core's id, while it has links. */
  readonly id: number | undefined;
  /** Milliseconds since its start. */
  readonly age: number;
  /** How often its place was taken by a new one that was not asked for. */
  readonly restarts: number;
  /** Why, the last time. */
  readonly lastExit: string | undefined;
}

/** How often a pool that is to go looks whether requests wait yet. */
const QUEUE_POLL_MS = 20;

/** Runs workers until {@link Supervisor.stop} or {@link Supervisor.retire}. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #places: Place[];
  readonly #processes = new Processes();
  readonly #started: Promise<void>;
  #resolveStarted!: () => void;
  #rejectStarted!: (failure: GwanmunError) => void;
  /** Until the first worker is ready, a failure is the user's to see, not to be retried. */
  #hasStarted = false;
  /** No process is started any more. */
  #isEnding = false;
  #firstFailure: GwanmunError | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.#places = options.numbers.map((number) => new Place(number));
  }

  /** Starts all workers. Resolves when the first is ready; rejects with the first failure when all have failed. */
  async start(): Promise<void> {
    if (!this.#isEnding) for (const place of this.#places) this.#begin(place, false);
    await this.#started;
  }

  /** Starts all workers. Resolves when all are ready; rejects with the first failure, and stops the others. */
  async startAll(): Promise<void> {
    this.#hasStarted = true;
    try {
      await Promise.all(this.#places.map((place) => this.#fill(place)));
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /**
   * Starts a new worker beside one that serves, which finishes what it has once the new one is ready, for at most `drainMs`.
   * Rejects if the new one fails to start: then the old one stays. Gives whether the worker was replaced: not if the pool is to end, or the
   * worker's place was given up meanwhile.
   */
  async replace(number: number, drainMs: number): Promise<boolean> {
    const place = this.#places.find((other) => other.number === number);
    if (place === undefined || this.#isEnding) return false;
    // It is being replaced.
    if (place.successor !== undefined) return isReady(await place.successor.started);
    // Nobody may have the place: then the wait for the next attempt is over.
    const next = this.#begin(place, true);
    const start = await next.started;
    if (start === 'ready') place.succeed(next, drainMs);
    // It had the place already, for who had it before has ended.
    else if (this.#isFree(place)) this.#refill(place);
    return isReady(start);
  }

  /**
   * In development: has every worker finish, and starts new ones at once; requests that come meanwhile wait for them. Those that do
   * not start are replaced by workers that show why. Gives the first failure.
   */
  async swap(drainMs: number): Promise<GwanmunError | undefined> {
    if (this.#isEnding) return undefined;
    this.#hasStarted = true;
    this.#resolveStarted();
    const failures = await Promise.all(
      this.#places.map((place) => {
        // What starts yet is out of date.
        place.vacate((slot) => (slot.state === 'starting' ? 0 : drainMs));
        return this.#fillOrShow(place);
      }),
    );
    return failures.find((failure) => failure !== undefined);
  }

  async #fillOrShow(place: Place): Promise<GwanmunError | undefined> {
    try {
      await this.#fill(place);
      return undefined;
    } catch (error) {
      const failure = error as GwanmunError;
      const { spawnFailed } = this.#options;
      // By now another change may have come.
      if (!this.#isFree(place)) return undefined;
      if (spawnFailed !== undefined) {
        await this.#fill(place, (number, links) => spawnFailed(number, links, failure)).catch(() => {});
      }
      if (this.#isFree(place)) this.#refill(place);
      return failure;
    }
  }

  /** Lets the workers go: those that wait for one are served first, then each finishes what it has, for at most `drainMs`. */
  async retire(drainMs: number): Promise<void> {
    const end = performance.now() + drainMs;
    const { core, pool } = this.#options;
    // Whoever is in the queue has come under this configuration; until they are served, a worker that ends is replaced.
    while (!this.#isEnding && core.queued(pool) > 0 && performance.now() < end) await delay();
    this.drain();
    this.#processes.release(end);
    await this.#processes.ended();
  }

  /**
   * Gives up on a worker that does nothing any more. Another one starts in its place at once; it is asked where it is, which the log
   * gets, and then ended. Requests that it has not begun go to others.
   */
  async endHung(id: number, why: string): Promise<void> {
    const slot = this.#processes.find(id);
    if (slot === undefined || (slot.state !== 'ready' && slot.state !== 'draining')) return;
    const over = slot.giveUp(why);
    const place = this.#processes.placeOf(slot);
    if (place?.lose(slot)) {
      place.restart('hung');
      this.#tryToBegin(place);
    }
    await over;
  }

  /** Where the code of some workers is, by the core's ids. */
  stacks(isWanted: (id: number) => boolean): Promise<string[]> {
    return this.#processes.stacks(isWanted);
  }

  /** What each worker is about. */
  status(): WorkerStatus[] {
    const now = performance.now();
    const describe = (place: Place, { pid, state, id, startedAt }: Slot): WorkerStatus => {
      const { number: worker, restarts, lastExit } = place;
      return { worker, pid, state, id, age: now - startedAt, restarts, lastExit };
    };
    const held = new Set<Slot>();
    const places = this.#places.flatMap((place): WorkerStatus[] => {
      const { slots, number: worker, hasFailed, restarts, lastExit } = place;
      const state = hasFailed ? 'failed' : 'waiting';
      const vacant: WorkerStatus = { worker, pid: undefined, state, id: undefined, age: 0, restarts, lastExit };
      for (const slot of slots) held.add(slot);
      return slots.length === 0 ? [vacant] : slots.map((slot) => describe(place, slot));
    });
    const leaving = this.#processes.all.filter(([slot]) => !held.has(slot));
    return [...places, ...leaving.map(([slot, place]) => describe(place, slot))];
  }

  /** How many workers it has, or is to have. */
  get count(): number {
    return this.#places.length;
  }

  /** The numbers of its workers. */
  get numbers(): number[] {
    return this.#places.map(({ number }) => number);
  }

  /**
   * Starts one more worker. Rejects if it does not become ready; then there are as many as before. False: the pool is to end, or has
   * become smaller meanwhile.
   */
  async grow(number: number): Promise<boolean> {
    if (this.#isEnding) return false;
    const place = new Place(number);
    this.#places.push(place);
    try {
      return await this.#fill(place);
    } catch (error) {
      const index = this.#places.indexOf(place);
      if (index >= 0) this.#places.splice(index, 1);
      place.vacate(() => 0);
      throw error;
    }
  }

  /** Has the last worker finish what it has, for at most `drainMs`. */
  shrink(drainMs: number): void {
    this.#places.pop()?.vacate(() => drainMs);
  }

  /** The core's event: every link of the worker is ready. */
  workerReady(id: number): void {
    if (this.#processes.find(id)?.ready() !== true || this.#hasStarted) return;
    this.#hasStarted = true;
    this.#resolveStarted();
    for (const place of this.#places) if (place.hasFailed) this.#refill(place);
  }

  /** The core's event: it has closed the worker's links, because they ended or because of a protocol error. */
  workerGone(id: number, reason: string): void {
    this.#processes.find(id)?.lost(reason);
  }

  /** Starts no more workers: the server is draining. Those that run end when the core closes their links. */
  drain(): void {
    this.#isEnding = true;
    for (const place of this.#places) place.stopWaiting();
    this.#processes.abandonStarts();
    this.#resolveStarted();
  }

  /** Waits for the workers to end; what still runs after `killAfterMs` is killed. */
  async stop(killAfterMs: number): Promise<void> {
    this.drain();
    const timer = setTimeout(() => this.#processes.kill(), killAfterMs);
    await this.#processes.ended();
    clearTimeout(timer);
  }

  /** Starts a process for a place. Throws if the system has no descriptors left for its links. */
  #begin(place: Place, isAwaited: boolean, spawn: Spawn = this.#options.spawn): Slot {
    const isEnding = (): boolean => this.#isEnding;
    const ended = (slot: Slot, exit: WorkerExit): void => this.#onEnd(place, slot, exit);
    return place.take(() => {
      const slot = new Slot({ ...this.#options, isEnding, ended }, place.number, spawn, isAwaited);
      this.#processes.add(slot, place);
      return slot;
    });
  }

  /** Starts a place's worker and waits until it is ready. Rejects if it fails; false: it was let go, or nothing is started any more. */
  async #fill(place: Place, spawn?: Spawn): Promise<boolean> {
    if (this.#isEnding) return false;
    return isReady(await this.#begin(place, true, spawn).started);
  }

  /** Whether a worker is to be started for it. */
  #isFree(place: Place): boolean {
    return !this.#isEnding && place.isVacant && this.#places.includes(place);
  }

  #onEnd(place: Place, slot: Slot, exit: WorkerExit): void {
    this.#processes.delete(slot);
    const { failure } = exit;
    // One that was let go has no place, and whoever waits for a successor learns that it has failed.
    if (!place.lose(slot) || this.#isEnding) return;
    const isStart = !slot.wasReady && (slot.isAwaited || !this.#hasStarted);
    if (isStart && place.isVacant) {
      // Whoever waits for it sees to the place.
      place.fail();
      if (!slot.isAwaited) this.#failedToStart(failure);
      return;
    }
    place.restart(describeExit(exit));
    const next = place.isVacant ? `a new one starts in ${this.#refill(place)} ms` : 'another one is already starting';
    this.#options.tell({
      level: 'error',
      event: 'worker-exited',
      message: `worker ${place.number} ${describeExit(exit)}; ${next}`,
      worker: place.number,
      pid: slot.pid,
      error: failure,
    });
  }

  #failedToStart(failure: GwanmunError | undefined): void {
    this.#firstFailure ??= failure;
    if (this.#firstFailure !== undefined && this.#places.every(({ hasFailed }) => hasFailed)) {
      this.#rejectStarted(this.#firstFailure);
    }
  }

  /** Starts a place's next worker after its back-off, which is returned. */
  #refill(place: Place): number {
    return place.wait(() => this.#tryToBegin(place));
  }

  /** Out of file descriptors or processes the other workers go on, and so do the attempts. */
  #tryToBegin(place: Place): void {
    if (!this.#isFree(place)) return;
    try {
      this.#begin(place, false);
    } catch (error) {
      const next = this.#refill(place);
      this.#options.tell({
        level: 'error',
        event: 'worker-not-started',
        message: `worker ${place.number} could not be started (${String(error)}); next attempt in ${next} ms`,
        worker: place.number,
      });
    }
  }
}

/** Until the queue is looked at again. */
function delay(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, QUEUE_POLL_MS));
}

function isReady(start: Start): boolean {
  if (start instanceof GwanmunError) throw start;
  return start === 'ready';
}
