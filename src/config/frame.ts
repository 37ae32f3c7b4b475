import { readFileSync } from 'node:fs';
import type { Position } from './locate.js';

/** Lines of a program that was minified are no help to anybody. */
const MAX_WIDTH = 200;

/**
 * The line at a place, with its neighbours and a mark below the column:
 *
 *       2 |   mounts: [],
 *     > 3 |   workers = = 2,
 *         |             ^
 *       4 | };
 */
export function codeFrame(
  text: string,
  { line, column }: { line: number; column?: number | undefined },
): string | undefined {
  const lines = text.split(/\r?\n/);
  const first = Math.max(1, line - 2);
  const last = Math.min(line + 1, lines.at(-1) === '' ? lines.length - 1 : lines.length);
  if (line > lines.length || (lines[line - 1] ?? '').length > MAX_WIDTH) return undefined;
  const width = String(last).length;
  const frame: string[] = [];
  for (let number = first; number <= Math.max(last, line); number++) {
    const isHere = number === line;
    // Nothing in a file is a command for the terminal; a tab is as wide as the mark takes it to be.
    const code = (lines[number - 1] ?? '')
      .slice(0, MAX_WIDTH)
      .replaceAll('\t', ' ')
      .replaceAll(/\p{Cc}/gu, '�');
    frame.push(`${isHere ? '>' : ' '} ${String(number).padStart(width)} | ${code}`.trimEnd());
    if (isHere && column !== undefined) frame.push(`  ${' '.repeat(width)} | ${' '.repeat(column - 1)}^`);
  }
  return frame.join('\n');
}

/** The frame at a place in a file, if that can be read. */
export function fileFrame(file: string, place: Partial<Position>): string | undefined {
  const { line, column } = place;
  if (line === undefined) return undefined;
  try {
    return codeFrame(readFileSync(file, 'utf8'), { line, column });
  } catch {
    return undefined;
  }
}
