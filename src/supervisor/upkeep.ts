// What is done for the workers while they serve: those that hang are ended, those that have done their part are replaced, and a pool
// grows and shrinks with what waits for it.

import { readFileSync } from 'node:fs';
import { placeError } from '../config/origin.js';
import type { ResolvedConfig } from '../config/resolve.js';
import { fromCore } from '../errors.js';
import type { CoreStatus } from '../native.js';
import { Autoscale } from './autoscale.js';
import { PULSE_MS, PulseWatch } from './pulse.js';
import { reasonToRecycle } from './recycle.js';
import type { ServerEvent } from './server.js';
import type { Supervisor } from './supervisor.js';

/** The workers of one pool, and the core's number of it. */
export interface Pool {
  readonly number: number;
  readonly supervisor: Supervisor;
}

/** What is looked after. */
export interface Charge {
  readonly config: ResolvedConfig;
  /** The pools that serve new requests. */
  readonly pools: readonly Pool[];
  /** These, and those that come or go. */
  readonly everyPool: readonly Pool[];
  /** The workers change already: a reload, or the end. */
  readonly isBusy: boolean;
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
  #isScaling = false;

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

  /** Changes the number of workers of a pool, one after the other. Rejects with the failure of one that does not start. */
  async scale({ supervisor }: Pool, count: number): Promise<void> {
    const { drainTimeout } = this.#charge.config;
    while (supervisor.count > count) supervisor.shrink(drainTimeout);
    while (supervisor.count < count) if (!(await supervisor.grow(this.#freeNumber()))) return;
  }

  /** The least number that no worker has. */
  #freeNumber(): number {
    const taken = new Set(this.#charge.pools.flatMap(({ supervisor }) => supervisor.numbers));
    let number = 1;
    while (taken.has(number)) number += 1;
    return number;
  }

  #look(): void {
    const core = this.#charge.coreStatus();
    const workers = core.workers ?? [];
    this.#pulse.look(workers);
    const { timeout } = this.#charge.config;
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
    for (const { supervisor } of this.#charge.everyPool) void supervisor.endHung(id, why);
  }

  /** Replaces the worker that the core has this id for, gracefully. */
  async #replace(id: number, reason: string): Promise<void> {
    const { config, pools, tell } = this.#charge;
    for (const { supervisor } of pools) {
      const found = supervisor.status().find((other) => other.id === id);
      if (found?.state !== 'ready') continue;
      const { worker, pid } = found;
      const message = `worker ${worker} (${pid}) is replaced: ${reason}`;
      tell({ level: 'info', event: 'worker-recycled', message, worker, pid });
      try {
        await supervisor.replace(worker, config.drainTimeout);
      } catch (error) {
        const fault = placeError(fromCore(error), config);
        const text = `worker ${worker} stays, for a new one does not start`;
        tell({ level: 'error', event: 'worker-not-started', message: text, worker, error: fault });
      }
    }
  }

  /** Replaces the workers that have done their part, one of each pool at a time. */
  async #recycle(core: Partial<CoreStatus>): Promise<void> {
    const { config, pools, isBusy } = this.#charge;
    const { requests, memory, age, jitter } = config.recycle;
    if ((requests ?? memory ?? age) === undefined || isBusy || this.#isRecycling) return;
    this.#isRecycling = true;
    await Promise.all(
      pools.map(async ({ supervisor }) => {
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
    const { config, pools, isBusy, tell } = this.#charge;
    if (config.workers === config.mostWorkers || isBusy || this.#isScaling) return;
    this.#isScaling = true;
    for (const number of this.#autoscales.keys()) {
      if (pools.every((pool) => pool.number !== number)) this.#autoscales.delete(number);
    }
    for (const pool of pools) {
      const { length = 0, oldest = 0 } = core.queues?.find((queue) => queue.pool === pool.number) ?? {};
      const { count } = pool.supervisor;
      const autoscale = this.#autoscales.get(pool.number) ?? new Autoscale();
      this.#autoscales.set(pool.number, autoscale);
      const change = autoscale.decide(performance.now(), oldest, length, count, config.workers, config.mostWorkers);
      if (change === 0) continue;
      const why = change > 0 ? `requests wait for ${oldest} ms` : 'no request has waited for a while';
      tell({ level: 'info', event: 'scaled', message: `${count + change} workers instead of ${count}: ${why}` });
      try {
        await this.scale(pool, count + change);
      } catch (error) {
        const fault = placeError(fromCore(error), config);
        tell({ level: 'error', event: 'worker-not-started', message: 'one more worker does not start', error: fault });
        autoscale.failed(performance.now());
      }
    }
    this.#isScaling = false;
  }
}

/** The memory of a process that is its own or shared, as `ps` has it. */
export function residentBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}
