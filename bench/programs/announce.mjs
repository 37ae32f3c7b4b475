// What every program has in common: the line by which the harness knows that it listens, and a handler that keeps JavaScript busy.

/** @param {number | undefined} port */
export function announce(port) {
  process.stderr.write(`listening on http://127.0.0.1:${port}\n`);
}

/** Holds the thread for 100 ms. */
export function spin() {
  const end = performance.now() + 100;
  while (performance.now() < end);
  return 'spun';
}
