/** Tells open pages that somebody has signed. */

import { setTimeout } from 'node:timers/promises';

import { latestId } from './entries.js';

/** How often to look. Looking costs a few microseconds, and finds what any worker has written. */
const interval = 250;

/** Sent when nothing else was for this long: sending shows the core whether the reader is still there. */
const silence = 5_000;

/** An event for each time that the book has grown; its data is the newest entry's number. */
export async function* changes(): AsyncGenerator<string, void, void> {
  let seen = latestId();
  let sent = performance.now();
  // At once, so that the reader knows what it has not seen: it may have been away.
  yield event(seen);
  for (;;) {
    // The process need not stay for a reader.
    await setTimeout(interval, undefined, { ref: false });
    const latest = latestId();
    if (latest !== seen) {
      seen = latest;
      sent = performance.now();
      yield event(seen);
    } else if (performance.now() - sent > silence) {
      sent = performance.now();
      yield ':\n\n';
    }
  }
}

function event(id: number): string {
  return `data: ${id}\n\n`;
}
