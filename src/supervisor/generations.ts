// The pools of a server, by the configuration that they belong to.

import type { Supervisor } from './supervisor.js';

/** The workers of one pool, and the core's number of it. */
export interface Pool {
  readonly number: number;
  readonly supervisor: Supervisor;
}

/** So many generations may finish at once. */
const MOST_OLD = 2;

/** A pool is in one of them from its first worker to its last. */
export class Generations {
  #number = 1;
  #current: readonly Pool[] = [];
  #coming: readonly Pool[] = [];
  /** The oldest first. */
  readonly #old = new Set<readonly Pool[]>();

  /** Counts the configurations since the start. */
  get number(): number {
    return this.#number;
  }

  /** The pools that serve new requests, in the order of the configuration. */
  get current(): readonly Pool[] {
    return this.#current;
  }

  /** Those of a configuration that is to take over. */
  get coming(): readonly Pool[] {
    return this.#coming;
  }

  /** Those that finish. */
  get old(): readonly Pool[] {
    return [...this.#old].flat();
  }

  get every(): readonly Pool[] {
    return [...this.#current, ...this.#coming, ...this.old];
  }

  /** The first configuration's. */
  begin(pools: readonly Pool[]): void {
    this.#current = pools;
  }

  /** Starts all workers of a configuration that is to take over. Rejects with the first failure; then there is none of them left. */
  async prepare(pools: readonly Pool[]): Promise<void> {
    this.#coming = pools;
    try {
      await Promise.all(pools.map(({ supervisor }) => supervisor.startAll()));
    } catch (error) {
      await Promise.all(pools.map(({ supervisor }) => supervisor.stop(0)));
      this.#coming = [];
      throw error;
    }
  }

  /**
   * What was prepared serves from now on. The others finish, for at most `drainMs`; `gone` is told of each that has. Of more than two
   * generations that do, the oldest is cut.
   */
  takeOver(drainMs: number, gone: (pool: Pool) => void): void {
    const old = this.#current;
    this.#current = this.#coming;
    this.#coming = [];
    this.#number += 1;
    const [oldest = []] = this.#old;
    if (this.#old.size >= MOST_OLD) for (const { supervisor } of oldest) void supervisor.stop(0);
    this.#old.add(old);
    const retired = old.map(async (pool) => {
      await pool.supervisor.retire(drainMs);
      gone(pool);
    });
    void Promise.all(retired).then(() => this.#old.delete(old));
  }
}
