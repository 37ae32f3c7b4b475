// Every process of a pool, from its start to its end, whether it has a place or is on its way out: what ends a pool goes by this, so that none
// is forgotten, whoever waits for it.

import type { Place } from './place.js';
import type { Slot } from './slot.js';

export class Processes {
  /** And the place that each was started for. */
  readonly #slots = new Map<Slot, Place>();

  add(slot: Slot, place: Place): void {
    this.#slots.set(slot, place);
  }

  /** It has ended. */
  delete(slot: Slot): void {
    this.#slots.delete(slot);
  }

  get all(): (readonly [Slot, Place])[] {
    return [...this.#slots];
  }

  /** By the core's id. */
  find(id: number): Slot | undefined {
    return [...this.#slots.keys()].find((slot) => slot.id === id);
  }

  placeOf(slot: Slot): Place | undefined {
    return this.#slots.get(slot);
  }

  /** Nobody waits for a start any more. */
  abandonStarts(): void {
    for (const slot of this.#slots.keys()) slot.abandonStart();
  }

  /** Each finishes what it has, until `end` at most, which is a time of `performance.now()`. */
  release(end: number): void {
    for (const slot of this.#slots.keys()) slot.release(end - performance.now());
  }

  kill(): void {
    for (const slot of this.#slots.keys()) slot.kill();
  }

  /** Resolves when those that there are have ended. */
  async ended(): Promise<void> {
    await Promise.all([...this.#slots.keys()].map(({ exited }) => exited));
  }

  /** Where the code of some is, by the core's ids. */
  async stacks(isWanted: (id: number) => boolean): Promise<string[]> {
    const wanted = [...this.#slots.keys()].filter(({ id }) => id !== undefined && isWanted(id));
    const asked = wanted.map(async (slot) => {
      const stack = await slot.stack();
      const where = stack === undefined ? 'it did not say where its code is' : `\n${stack}`;
      return `worker ${slot.number} (${slot.pid}): ${where}`;
    });
    return Promise.all(asked);
  }
}
