/** Waits between restarts: 100 ms, doubling to 10 s, and from the start again after 10 s without an end. */
export class Backoff {
  static readonly FIRST_MS = 100;
  static readonly LAST_MS = 10_000;
  /** A worker that has been up this long has earned a quick restart. */
  static readonly STABLE_MS = 10_000;

  #next = Backoff.FIRST_MS;

  /** How long to wait now, after a worker that was up for `upMs`. */
  delay(upMs: number): number {
    if (upMs >= Backoff.STABLE_MS) this.#next = Backoff.FIRST_MS;
    const delay = this.#next;
    this.#next = Math.min(delay * 2, Backoff.LAST_MS);
    return delay;
  }
}
