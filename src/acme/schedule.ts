// When a certificate is renewed, and when what has failed is tried again. Times are milliseconds since 1970.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Of a certificate that lives shorter, half of its time is kept in reserve, else a third. */
const SHORT_MS = 10 * DAY_MS;

/** After so many failures: five attempts in the first hour, which is as many as public authorities take, and then without an end (T168). */
const PAUSES_MS = [MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS];
const LAST_PAUSE_MS = 6 * HOUR_MS;

/** `failures` from 1. `random` from 0 to 1: so that those who have failed together do not come again together. */
export function pauseAfter(failures: number, random: number): number {
  const pause = PAUSES_MS[failures - 1] ?? LAST_PAUSE_MS;
  return Math.round(pause * (0.9 + 0.2 * random));
}

/** What counts in the life of a certificate. */
export interface Lifetime {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Where its authority suggests nothing (T165). */
export function renewalOf({ notBefore, notAfter }: Lifetime): number {
  const life = notAfter - notBefore;
  return notAfter - (life < SHORT_MS ? life / 2 : life / 3);
}

/** A moment in the time that its authority suggests: another one for each certificate (RFC 9773 section 4.2). */
export function momentIn({ start, end }: { readonly start: number; readonly end: number }, random: number): number {
  return Math.round(start + (end - start) * random);
}

/** So little of its life is left that somebody has to look (T172). */
export function isCritical({ notBefore, notAfter }: Lifetime, now: number): boolean {
  return notAfter - now < (notAfter - notBefore) / 6;
}
