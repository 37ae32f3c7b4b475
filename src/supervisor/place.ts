// One of the workers that a pool is to have, whichever process that is.

import { Backoff } from './backoff.js';
import type { Slot } from './slot.js';

/**
 * At any time a place is
 * - had by a slot, which may have a successor that takes it once it is ready, or
 * - vacant: the next attempt is waited for, or a failure is somebody's to see and nobody comes.
 *
 * Slots come by {@link Place.take}. They go by {@link Place.lose}, {@link Place.succeed} and {@link Place.vacate}, the last two of which let them go.
 */
export class Place {
  /** What operators know the worker by. */
  readonly number: number;
  readonly #backoff = new Backoff();
  #slot: Slot | undefined;
  #successor: Slot | undefined;
  /** Of the next attempt. */
  #timer: NodeJS.Timeout | undefined;
  #hasFailed = false;
  #takenAt = 0;
  #restarts = 0;
  #lastExit: string | undefined;

  constructor(number: number) {
    this.number = number;
  }

  /** Nobody has it. */
  get isVacant(): boolean {
    return this.#slot === undefined;
  }

  /** Nobody has it, and nobody comes. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Who takes it once it is ready. */
  get successor(): Slot | undefined {
    return this.#successor;
  }

  /** Who has it, and who is to have it. */
  get slots(): Slot[] {
    return [this.#slot, this.#successor].filter((slot) => slot !== undefined);
  }

  /** How often it was taken by a new worker that was not asked for. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Why, the last time. */
  get lastExit(): string | undefined {
    return this.#lastExit;
  }

  /** A process is begun for it, which takes it at once if nobody has it, else once it is ready. */
  take(begin: () => Slot): Slot {
    this.stopWaiting();
    this.#takenAt = performance.now();
    const slot = begin();
    this.#hasFailed = false;
    if (this.#slot === undefined) this.#slot = slot;
    else this.#successor = slot;
    return slot;
  }

  /** Its successor, if this is it, is ready and takes it; who had it finishes what it has, for at most `drainMs`. */
  succeed(next: Slot, drainMs: number): void {
    const old = this.#slot;
    if (this.#successor !== next || old === undefined) return;
    this.lose(old);
    old.release(drainMs);
  }

  /** A process is no more, or of no use. Gives whether it had the place, which its successor has now, if there is one. */
  lose(slot: Slot): boolean {
    if (this.#successor === slot) this.#successor = undefined;
    if (this.#slot !== slot) return false;
    this.#slot = this.#successor;
    this.#successor = undefined;
    return true;
  }

  /** Lets go whoever has it, or is to have it. */
  vacate(drainMs: (slot: Slot) => number): void {
    this.stopWaiting();
    const { slots } = this;
    this.#slot = undefined;
    this.#successor = undefined;
    for (const slot of slots) slot.release(drainMs(slot));
  }

  /** A start has failed, and somebody is to see it. */
  fail(): void {
    this.#hasFailed = true;
  }

  /** It is taken by a new worker that was not asked for. */
  restart(lastExit: string): void {
    this.#restarts += 1;
    this.#lastExit = lastExit;
  }

  /** Has the next attempt made after its back-off, which is returned. */
  wait(attempt: () => void): number {
    const ms = this.#backoff.delay(performance.now() - this.#takenAt);
    this.#hasFailed = false;
    this.#timer = setTimeout(attempt, ms);
    return ms;
  }

  /** There is no next attempt. */
  stopWaiting(): void {
    clearTimeout(this.#timer);
  }
}
