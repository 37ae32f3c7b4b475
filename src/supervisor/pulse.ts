// Whether the event loops of the workers still turn: each counts its beats in the page that it shares with the core.

import { PULSE_MS } from '../gateway/frame.js';

/** What the core says of a worker. */
export interface PulseLoad {
  readonly id: number;
  /** 0: it does not tell. */
  readonly beats: number;
  /** By how many milliseconds its last beat was late. */
  readonly lag: number;
}

interface Pulse {
  beats: number;
  lag: number;
  /** Looks since its last beat. Counted, not timed: a server that was itself stopped for a while accuses nobody. */
  looks: number;
}

/** A worker that has not beaten for so many looks is busy with something that does not end by itself. */
const STILL_LOOKS = 4;

/** Remembers when each worker was last seen to beat. */
export class PulseWatch {
  readonly #pulses = new Map<number, Pulse>();
  #looked: (() => void)[] = [];

  /** To be called every {@link PULSE_MS} with all workers that are ready. */
  look(workers: readonly PulseLoad[]): void {
    const gone = new Set(this.#pulses.keys());
    for (const { id, beats, lag } of workers) {
      gone.delete(id);
      const pulse = this.#pulses.get(id);
      if (pulse === undefined) this.#pulses.set(id, { beats, lag, looks: 0 });
      else if (beats === pulse.beats) pulse.looks += 1;
      else Object.assign(pulse, { beats, lag, looks: 0 });
    }
    for (const id of gone) this.#pulses.delete(id);
    for (const tell of this.#looked.splice(0)) tell();
  }

  /** For how many milliseconds it has not beaten; 0 if it does not tell. */
  stillFor(id: number): number {
    const pulse = this.#pulses.get(id);
    return pulse === undefined || pulse.beats === 0 ? 0 : pulse.looks * PULSE_MS;
  }

  /** By how many milliseconds its event loop is late; undefined if it does not tell. */
  lag(id: number): number | undefined {
    const pulse = this.#pulses.get(id);
    if (pulse === undefined || pulse.beats === 0) return undefined;
    return pulse.looks > 1 ? pulse.looks * PULSE_MS : pulse.lag;
  }

  /** Whether it is stuck in one piece of code, as far as one can tell: settles at its next beat, or once there has been none for a second. */
  async hangs(id: number): Promise<boolean> {
    const { beats: before, looks: still } = this.#pulses.get(id) ?? { beats: undefined, looks: 0 };
    // Who never says that it lives is taken at what it does not do.
    if (before === 0 || still >= STILL_LOOKS) return true;
    for (let looks = 0; looks <= STILL_LOOKS; looks += 1) {
      await new Promise<void>((resolve) => this.#looked.push(resolve));
      const pulse = this.#pulses.get(id);
      // It has ended meanwhile.
      if (pulse === undefined) return false;
      if (before !== undefined && pulse.beats !== before) return false;
    }
    return true;
  }
}
