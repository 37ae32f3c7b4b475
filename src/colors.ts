// Colours of what is written for people.

import pc from 'picocolors';

/** Colours on or off by choice, not by what picocolors finds out about standard output. */
export const createColors: (enabled: boolean) => ReturnType<typeof pc.createColors> = pc.createColors;

/** Whether a stream is to get colours: NO_COLOR and FORCE_COLOR decide, else whether a person watches. */
export function wantsColor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}
