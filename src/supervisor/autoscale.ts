// When a pool gets another worker, and when it gives one up: `workers: { min, max }`.

/** Requests that have waited so long mean that one more worker is needed. */
const PATIENCE_MS = 100;
/** After so long without a request that waited, one worker is too many. */
const CALM_MS = 30_000;
/** The most that calm has to last, where giving a worker up has turned out wrong again and again. */
const MOST_CALM_MS = 32 * CALM_MS;

/** After a worker that did not start, the next one is tried so much later. */
const AGAIN_MS = 10_000;

/** Decides for one pool. Times are milliseconds of one clock. */
export class Autoscale {
  #calmMs = CALM_MS;
  #calmSince: number | undefined;
  #shrunkAt: number | undefined;
  #notBefore = 0;

  /** The worker that was asked for did not start. */
  failed(now: number): void {
    this.#notBefore = now + AGAIN_MS;
  }

  /** By how many workers the pool should change now. `waited`: how long the first request of the queue has. */
  decide(now: number, waited: number, queued: number, count: number, min: number, max: number): -1 | 0 | 1 {
    if (queued > 0) this.#calmSince = undefined;
    else this.#calmSince ??= now;
    if (queued > 0 && waited >= PATIENCE_MS && count < max && now >= this.#notBefore) {
      // The last one that was given up is missed.
      if (this.#shrunkAt !== undefined && now - this.#shrunkAt < this.#calmMs) {
        this.#calmMs = Math.min(2 * this.#calmMs, MOST_CALM_MS);
      }
      this.#shrunkAt = undefined;
      return 1;
    }
    if (this.#calmSince !== undefined && now - this.#calmSince >= this.#calmMs && count > min) {
      this.#calmSince = now;
      this.#shrunkAt = now;
      return -1;
    }
    return 0;
  }
}
