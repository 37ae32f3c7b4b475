// Bodies that pass through a worker leave their pieces behind as garbage. V8 sees little of it, for their bytes lie outside its heap, and
// would let tens of megabytes of them grow cold before it looks. Collected often, they stay few, and their memory is used again while
// the processor still has it in its cache: streaming becomes faster for it.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So many bytes of bodies may pass until the young garbage is collected, which takes a fraction of a millisecond. */
const EVERY = 8 * 1024 * 1024;

let left = Number.POSITIVE_INFINITY;
let collect: ((options: { type: 'minor' }) => void) | undefined;

/** Has garbage collected often from now on: for a process that is all the server's. */
export function collectOften(): void {
  left = EVERY;
}

/** So many bytes of bodies have passed. */
export function passed(bytes: number): void {
  left -= bytes;
  if (left <= 0) collectNow();
}

function collectNow(): void {
  left = EVERY;
  if (collect === undefined) {
    // Only new contexts have the function: no application finds one that it did not ask for.
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as typeof collect;
    setFlagsFromString('--no-expose-gc');
  }
  collect?.({ type: 'minor' });
}
