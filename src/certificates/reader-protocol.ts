// What the main process and the one that reads certificates as root say to each other: JSON, a line each.

import type { Readable } from 'node:stream';
import type { FileReading } from './files.js';

export type ReaderRequest =
  | { readonly read: readonly string[]; readonly id: number }
  | { readonly watch: readonly (readonly [path: string, state: string])[] };

export type ReaderReply =
  | { readonly id: number; readonly readings: FileReading[] }
  | { readonly changed: readonly string[] };

/** Longer than all files of a configuration can be. */
const MOST_TEXT = 67_108_864;

/** Calls `take` for each line that comes. */
export function lines(stream: Readable, take: (line: string) => void): void {
  let text = '';
  stream.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    if (text.length > MOST_TEXT) stream.destroy();
    if (!part.includes('\n')) return;
    const whole = text.split('\n');
    text = whole.pop() ?? '';
    for (const line of whole) take(line);
  });
}
