// Process 1 of a container inherits the processes that others leave behind. Somebody has to take note of their end, or they stay in the
// process table for ever.

import { readdirSync, readFileSync } from 'node:fs';
import { loadNative } from '../native.js';

const LOOK_MS = 1000;

/** Takes note of the ends of orphans, as long as this process is number 1. */
export function reapOrphans(): void {
  if (process.pid !== 1) return;
  const { reap } = loadNative();
  let before = new Set<number>();
  setInterval(() => {
    const ended = zombies();
    // Of its own children Node takes note at once: whoever is still there a second later is nobody's.
    for (const pid of ended) if (before.has(pid)) reap(pid);
    before = new Set(ended);
  }, LOOK_MS).unref();
}

/** Children of process 1 that have ended. */
function zombies(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        // pid (name) state parent …: the name may hold anything, a parenthesis too.
        const text = readFileSync(`/proc/${name}/stat`, 'latin1');
        const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
        return state === 'Z' && parent === '1';
      } catch {
        return false;
      }
    })
    .map(Number);
}
