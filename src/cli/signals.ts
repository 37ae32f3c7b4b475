// SIGINT and SIGTERM: the first asks for an orderly end, a second one does not wait for it.

/** Exit codes by the shells' convention: 128 + the signal's number. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Signals this soon after the first are taken as the same one: a Ctrl-C at a terminal reaches the whole process group,
 * and npm passes it on once more.
 */
const SAME_SIGNAL_MS = 500;

/** What a {@link StopSignals} acts on; process itself, but for tests. */
export interface SignalTarget {
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  off(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  exit(code: number): void;
}

/** Calls `stop` at the first signal and exits at a second one. Returns a function that ends the watch. */
export function onStopSignal(stop: (signal: 'SIGINT' | 'SIGTERM') => void, target: SignalTarget = process): () => void {
  let firstAt: number | undefined;
  const received = (signal: 'SIGINT' | 'SIGTERM'): void => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      stop(signal);
    } else if (now - firstAt > SAME_SIGNAL_MS) {
      target.exit(EXIT_CODES[signal]);
    }
  };
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => [signal, () => received(signal)] as const);
  for (const [signal, listener] of listeners) target.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) target.off(signal, listener);
  };
}
