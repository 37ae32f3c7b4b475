import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** A line is passed on at this length even without its end, so that memory stays bounded. */
const MAX_LINE = 65_536;

/**
 * Passes whole lines from one stream to another, each with a prefix. Lines of several workers stay apart that way, and
 * what a worker prints can't be taken for the main process's own output.
 */
export function prefixLines(from: Readable, to: Writable, prefix: string): void {
  readLines(from, (lines) => {
    const text = lines.map((line) => `${prefix}${line}\n`);
    const isFull = !to.write(text.join(''));
    // Whoever reads slowly slows down the worker's printing, not the growth of our memory.
    if (isFull && !from.readableEnded) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
}

/** Gives the stream's whole lines, some at a time, without their ends. */
export function readLines(from: Readable, take: (lines: readonly string[]) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  from.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE));
      rest = rest.slice(MAX_LINE);
    }
    if (lines.length > 0) take(lines);
  });
  from.on('end', () => {
    rest += decoder.end();
    if (rest !== '') take([rest]);
    rest = '';
  });
  // A broken pipe from a worker that was killed is not news: its exit is.
  from.on('error', () => {});
}
