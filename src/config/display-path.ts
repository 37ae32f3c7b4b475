import { relative } from 'node:path';

/** A path as the user would write it: relative to the current folder, unless it is far away from there. */
export function displayPath(path: string): string {
  const short = relative(process.cwd(), path);
  if (short === '') return '.';
  return short.startsWith('../../') ? path : short;
}
