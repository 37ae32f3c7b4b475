import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { describe } from './describe.js';

/** A file by its path, its descriptor or its `FileHandle`, or any object whose `read(size)` gives bytes. */
export type FileSource =
  | string
  | number
  | { readonly fd: number; close?(): unknown }
  | { read(size: number): Uint8Array; close?(): unknown };

/** Which part of a file is sent, in bytes. */
export interface FileOptions {
  /** Where it begins. Default: the start; for an open file, its current position. */
  offset?: number | undefined;
  /** How many bytes. Default: to the file's end. */
  length?: number | undefined;
  /** How many bytes a piece has when the body is iterated. Default: 65536. */
  blockSize?: number | undefined;
}

/** `wsgi.file_wrapper`: turns a file into a body. A number as second argument is the block size, as in WSGI. */
export type FileWrapper = (file: FileSource, options?: number | FileOptions) => FileBody;

/** A part of an open file that the core can send itself. */
export interface FilePart {
  readonly fd: number;
  /** Null: from the current position. */
  readonly offset: number | null;
  /** Null: to the end. */
  readonly length: number | null;
}

/**
 * A body that is a file (W65). Returned as it is, the core sends the file; iterated, by the middleware that wraps it or where the core
 * cannot, it gives the same bytes in pieces. Nothing is opened or read before.
 */
export class FileBody implements IterableIterator<Uint8Array> {
  /** Closes the file: one that was opened here by its path, or what was given and has a `close`. */
  close?: () => unknown;
  private readonly source: FileSource;
  private readonly offset: number | null;
  private readonly length: number | null;
  private readonly blockSize: number;
  /** The descriptor; -1 before it is opened and after it is closed. */
  private fd = -1;
  private over = false;
  private taken = 0;

  constructor(source: FileSource, options: number | FileOptions = {}) {
    const { offset, length, blockSize = 65_536 } = typeof options === 'number' ? { blockSize: options } : options;
    this.offset = integer('offset', offset, 0);
    this.length = integer('length', length, 0);
    this.blockSize = integer('block size', blockSize, 1) ?? 65_536;
    this.source = source;
    if (typeof source === 'string') this.close = () => this.closePath();
    else if (typeof source === 'number') this.fd = integer('descriptor', source, 0) ?? -1;
    else if (typeof source === 'object' && source !== null && ('fd' in source || 'read' in source)) {
      if ('fd' in source && typeof source.fd === 'number') this.fd = source.fd;
      if (typeof source.close === 'function') this.close = () => source.close?.();
    } else {
      throw new TypeError(
        `wsgi.file_wrapper takes a path, a descriptor, a FileHandle or an object with read(), got ${describe(source)}`,
      );
    }
  }

  /**
   * What the core can send; null if it is no regular file, or partly read here.
   * @throws if it cannot be opened
   */
  part(): FilePart | null {
    if (this.over || this.taken > 0) return null;
    this.open();
    const { fd, offset, length } = this;
    if (fd < 0 || !fstatSync(fd).isFile()) return null;
    return { fd, offset: typeof this.source === 'string' ? (offset ?? 0) : offset, length };
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Uint8Array> {
    const chunk = this.over ? null : this.read();
    if (chunk !== null && chunk.length > 0) return { done: false, value: chunk };
    this.over = true;
    return { done: true, value: undefined };
  }

  private read(): Uint8Array | null {
    const { offset, length, taken } = this;
    const most = Math.min(this.blockSize, length === null ? Number.POSITIVE_INFINITY : length - taken);
    if (most <= 0) return null;
    this.open();
    let chunk: Uint8Array;
    if (this.fd < 0) {
      const source = this.source as { read(size: number): Uint8Array };
      for (let skip = taken === 0 ? (offset ?? 0) : 0; skip > 0;) {
        const skipped = source.read(Math.min(skip, this.blockSize)).length;
        if (skipped === 0) return null;
        skip -= skipped;
      }
      chunk = source.read(most);
    } else {
      const buffer = Buffer.allocUnsafe(most);
      const count = readSync(this.fd, buffer, 0, most, offset === null ? null : offset + taken);
      chunk = buffer.subarray(0, count);
    }
    this.taken += chunk.length;
    return chunk;
  }

  private open(): void {
    if (this.fd >= 0 || typeof this.source !== 'string') return;
    // A FIFO without a writer must not block.
    this.fd = openSync(this.source, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  private closePath(): void {
    this.over = true;
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
  }
}

/** @see FileWrapper */
export const fileWrapper: FileWrapper = (file, options) => new FileBody(file, options);

function integer(what: string, value: number | undefined, min: number): number | null {
  if (value === undefined) return null;
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new TypeError(`the ${what} of a file must be an integer of at least ${min}, got ${describe(value)}`);
}
