// What is done for the workers while they serve: those that hang are ended, those that have done their part are replaced, and a pool
// grows and shrinks with what waits for it.

import { placeError } from '../config/origin.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { fromCore } from '../errors.js';
import type { CoreStatus } from '../native.js';
import { PULSE_MS } from '../gateway/frame.js';
import { Autoscale } from './autoscale.js';
import { PulseWatch } from './pulse.js';
import type { Pool } from './generations.js';
import { reasonToRecycle } from './recycle.js';
import { residentBytes } from './resident.js';
import type { ServerEvent } from './event.js';

/** What is looked after, as it is when asked. */
export interface Charge {
  config(): ResolvedConfig;
  /** The pools that serve new requests. */
  pools(): readonly Pool[];
  /** These, and those that come or go. */
  everyPool(): readonly Pool[];
  /** The workers change already: a reload, or the end. */
  isBusy(): boolean;
  coreStatus(): Partial<CoreStatus>;
  tell(event: ServerEvent): void;
}

/** A worker may be busy by itself for so much longer than in a request. */
const IDLE_SLACK_MS = 1000;

/** Looks after the workers until {@link Upkeep.end}. */
export class Upkeep {
  readonly #charge: Charge;
  readonly #pulse = new PulseWatch();
  readonly #timer = setInterval(() => this.#look(), PULSE_MS).unref();
  readonly #autoscales = new Map<number, Autoscale>();
  #isRecycling = false;
  #isAutoscaling = false;
  /** Settles with the last change of the number of workers: they come one after the other. */
  #scaling: Promise<unknown> = Promise.resolve();

  constructor(charge: Charge) {
    this.#charge = charge;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  /** By how many milliseconds a worker's event loop is late; undefined if it does not tell. */
  lag(id: number): number | undefined {
    return this.#pulse.lag(id);
  }

  /** The core's event: a worker has not answered a request in time. */
  async late(id: number, request: string, isStuck: boolean): Promise<void> {
    if (await this.#pulse.hangs(id)) this.#endHung(id, `hangs in ${request}`);
    else if (isStuck) await this.#replace(id, `${request} does not end, though nobody waits for it any more`);
  }

  /**
   * Changes the number of workers of a pool to what `decide` makes of it, once earlier changes are over. Gives both numbers; rejects
   * with the failure of a worker that does not start.
   */
  scale(pool: Pool, decide: (count: number) => number): Promise<{ before: number; after: number }> {
    const change = this.#scaling.then(() => this.#scale(pool, decide));
    this.#scaling = change.catch(() => {});
    return change;
  }

  async #scale({ supervisor }: Pool, decide: (count: number) => number): Promise<{ before: number; after: number }> {
    const { drainTimeout } = this.#charge.config();
    const before = supervisor.count;
    const after = decide(before);
    while (supervisor.count > after) supervisor.shrink(drainTimeout);
    while (supervisor.count < after) if (!(await supervisor.grow(this.#freeNumber()))) break;
    return { before, after };
  }

  /** The least number that no worker has. */
  #freeNumber(): number {
    const taken = new Set(this.#charge.pools().flatMap(({ supervisor }) => supervisor.numbers));
    let number = 1;
    while (taken.has(number)) number += 1;
    return number;
  }

  #look(): void {
    const core = this.#charge.everyPool().length === 0 ? {} : this.#charge.coreStatus();
    const workers = core.workers ?? [];
    this.#pulse.look(workers);
    const { timeout } = this.#charge.config();
    for (const { id } of workers) {
      const still = this.#pulse.stillFor(id);
      // A request that it hangs in is found first, and named.
      if (timeout > 0 && still >= timeout + IDLE_SLACK_MS)
        this.#endHung(id, `has been busy without a pause for ${still / 1000} s`);
    }
    void this.#recycle(core);
    void this.#autoscale(core);
  }

  #endHung(id: number, why: string): void {
    for (const { supervisor } of this.#charge.everyPool()) void supervisor.endHung(id, why);
  }

  /** Replaces the worker that the core has this id for, gracefully. */
  async #replace(id: number, reason: string): Promise<void> {
    for (const { supervisor } of this.#charge.pools()) {
      const found = supervisor.status().find((other) => other.id === id);
      if (found?.state !== 'ready') continue;
      const { worker, pid } = found;
      const message = `worker ${worker} (${pid}) is replaced: ${reason}`;
      this.#charge.tell({ level: 'info', event: 'worker-recycled', message, worker, pid });
      try {
        await supervisor.replace(worker, this.#charge.config().drainTimeout);
      } catch (error) {
        this.#tellNotStarted(error, `worker ${worker} goes on, because its replacement did not start`, worker);
      }
    }
  }

  #tellNotStarted(error: unknown, message: string, worker?: number): void {
    const fault = placeError(fromCore(error), this.#charge.config());
    this.#charge.tell({ level: 'error', event: 'worker-not-started', message, worker, error: fault });
  }

  /** Replaces the workers that have done their part, one of each pool at a time. */
  async #recycle(core: Partial<CoreStatus>): Promise<void> {
    const { requests, memory, age, jitter } = this.#charge.config().recycle;
    if ((requests ?? memory ?? age) === undefined || this.#charge.isBusy() || this.#isRecycling) return;
    this.#isRecycling = true;
    await Promise.all(
      this.#charge.pools().map(async ({ supervisor }) => {
        for (const { pid, id, state, age: ms } of supervisor.status()) {
          const load = core.workers?.find((other) => other.id === id);
          if (state !== 'ready' || pid === undefined || load === undefined) continue;
          const own = { pid, requests: load.requests, memory: memory && residentBytes(pid), age: ms };
          const reason = reasonToRecycle(own, { requests, memory, age, jitter });
          if (reason !== undefined) await this.#replace(load.id, reason);
        }
      }),
    );
    this.#isRecycling = false;
  }

  /** Gives pools the workers that they need, between the bounds of the configuration. */
  async #autoscale(core: Partial<CoreStatus>): Promise<void> {
    const { workers: min, mostWorkers: max } = this.#charge.config();
    if (min === max || this.#charge.isBusy() || this.#isAutoscaling) return;
    this.#isAutoscaling = true;
    const pools = this.#charge.pools();
    for (const number of this.#autoscales.keys()) {
      if (pools.every((pool) => pool.number !== number)) this.#autoscales.delete(number);
    }
    for (const pool of pools) {
      const { length = 0, oldest = 0 } = core.queues?.find((queue) => queue.pool === pool.number) ?? {};
      const { count } = pool.supervisor;
      const autoscale = this.#autoscales.get(pool.number) ?? new Autoscale();
      this.#autoscales.set(pool.number, autoscale);
      const change = autoscale.decide(performance.now(), oldest, length, count, min, max);
      if (change === 0) continue;
      const why = change > 0 ? `requests wait for ${oldest} ms` : 'no request has waited for a while';
      this.#charge.tell({
        level: 'info',
        event: 'scaled',
        message: `${count + change} ${count + change === 1 ? 'worker' : 'workers'} instead of ${count}: ${why}`,
      });
      try {
        await this.scale(pool, (now) => Math.min(Math.max(now + change, min), max));
      } catch (error) {
        this.#tellNotStarted(error, 'an additional worker did not start');
        autoscale.failed(performance.now());
      }
    }
    this.#isAutoscaling = false;
  }
}
