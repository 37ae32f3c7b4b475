// What every program has in common: the certificate that it shows, the line by which the harness knows that it listens, and a handler that keeps JavaScript busy.

import { readFileSync } from 'node:fs';

const { TLS_CERT, TLS_KEY } = process.env;

/** With TLS, if the harness says so. */
export const tls =
  TLS_CERT && TLS_KEY ? { cert: readFileSync(TLS_CERT, 'utf8'), key: readFileSync(TLS_KEY, 'utf8') } : undefined;

/** @param {number | undefined} port */
export function announce(port) {
  process.stderr.write(`listening on ${tls ? 'https' : 'http'}://127.0.0.1:${port}\n`);
}

/** Holds the thread for 100 ms. */
export function spin() {
  const end = performance.now() + 100;
  while (performance.now() < end);
  return 'spun';
}
