// The files that are served in the benchmarks of files; made when they are first wanted.

import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

export const files = join(import.meta.dirname, '../target/bench-site');

/** Of `16k.bin`. */
export const MODIFIED = new Date('2026-01-02T03:04:05Z');

/** How many files `many/` has. */
export const MANY = 10_000;

/** @param {number} length */
export const bytes = (length) => Buffer.alloc(length, 'the stone gate ');

/** A text of 20 KiB that compresses as texts do. */
export const text = Array.from(
  { length: 1000 },
  (_, index) => `${(index * 7919) % 9973} stones make a gate, ${index} of them are old\n`,
)
  .join('')
  .slice(0, 20_480);

/** Makes what is missing. */
export function makeFiles() {
  if (existsSync(join(files, 'made'))) return;
  mkdirSync(join(files, 'many'), { recursive: true });
  for (const [name, length] of Object.entries(SIZES)) writeFileSync(join(files, `${name}.bin`), bytes(length));
  for (let index = 0; index < MANY; index += 1) writeFileSync(join(files, `many/${index}.bin`), bytes(4096));
  writeFileSync(join(files, 'text.txt'), text);
  writeFileSync(join(files, 'packed.txt'), text);
  writeFileSync(join(files, 'packed.txt.gz'), gzipSync(text, { level: 9 }));
  writeFileSync(join(files, 'packed.txt.br'), brotliCompressSync(text));
  // nginx compares dates for equality.
  utimesSync(join(files, '16k.bin'), MODIFIED, MODIFIED);
  writeFileSync(join(files, 'made'), '');
}

export const SIZES = { 13: 13, '1k': 1024, '16k': 16_384, '64k': 65_536, '1m': 1_048_576, '100m': 104_857_600 };
