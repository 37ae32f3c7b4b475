// How far a run is, and how long it will take.

/** Counts rounds; on a terminal, the one in progress has a line of its own. */
export class Progress {
  #steps;
  #done = 0;
  /** Seconds that the rounds were expected to take: all, and those that are done. */
  #expected;
  #spent = 0;
  #begin = performance.now();
  #isShown = false;

  /** @param {number[]} steps about how many seconds each round takes */
  constructor(steps) {
    this.#steps = steps.length;
    this.#expected = steps.reduce((sum, seconds) => sum + seconds, 0);
  }

  /** Before the first round. */
  outlook() {
    return `${this.#steps} rounds, about ${duration(this.#expected)}`;
  }

  /** @param {string} what */
  begin(what) {
    if (!process.stdout.isTTY) return;
    process.stdout.write(`${this.prefix()}${what}`);
    this.#isShown = true;
  }

  /** @param {number} seconds as in the constructor */
  done(seconds) {
    this.#done += 1;
    this.#spent += seconds;
  }

  /** Ends the line of the round in progress. */
  clear() {
    if (this.#isShown) process.stdout.write('\r\x1b[K');
    this.#isShown = false;
  }

  /** `[ 12/180, 9 min left]` */
  prefix() {
    const elapsed = (performance.now() - this.#begin) / 1000;
    const pace = this.#spent > 0 ? elapsed / this.#spent : 1;
    const left = this.#done === this.#steps ? 'done' : `${duration((this.#expected - this.#spent) * pace)} left`;
    return `[${String(this.#done).padStart(String(this.#steps).length)}/${this.#steps}, ${left}]`.padEnd(22);
  }
}

/** @param {number} seconds */
export function duration(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
