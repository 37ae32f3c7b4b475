import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GwanmunError } from '../errors.js';

/** Bytes that are kept in memory; what is beyond goes to a temporary file. */
const IN_MEMORY = 1024 * 1024;
/** Bytes that an application may be ahead of its client. */
const MOST = 256 * 1024 * 1024;

/**
 * What an application has written and its client has no room for yet, in order. It is the client that waits for it: nobody else does.
 */
export class Backlog {
  private readonly pieces: Uint8Array[] = [];
  /** Bytes in `pieces`. All of them come before those in the file. */
  private inMemory = 0;
  private fd = -1;
  /** What of the file was read and written so far. */
  private read = 0;
  private written = 0;

  get length(): number {
    return this.inMemory + this.written - this.read;
  }

  /**
   * Keeps a copy of bytes.
   * @throws GWM_CLIENT_TOO_SLOW if it would be more than 256 MiB, and what the system says if there is no temporary file to be had
   */
  push(bytes: Uint8Array): void {
    if (this.length + bytes.length > MOST) {
      throw new GwanmunError(
        'GWM_CLIENT_TOO_SLOW',
        `write has ${this.length} bytes that the client has not taken, and cannot keep ${bytes.length} more; return or yield a body of that size instead`,
      );
    }
    if (this.fd < 0 && this.inMemory + bytes.length <= IN_MEMORY) {
      this.pieces.push(Buffer.from(bytes));
      this.inMemory += bytes.length;
      return;
    }
    if (this.fd < 0) this.fd = temporaryFile();
    for (let at = 0; at < bytes.length;) at += writeSync(this.fd, bytes, at, bytes.length - at, this.written + at);
    this.written += bytes.length;
  }

  /** Takes out up to so many bytes, at least one of what there is. */
  take(most: number): Uint8Array {
    const [first] = this.pieces;
    if (first !== undefined) {
      if (first.length <= most) this.pieces.shift();
      else this.pieces[0] = first.subarray(most);
      const taken = first.length <= most ? first : first.subarray(0, most);
      this.inMemory -= taken.length;
      return taken;
    }
    const buffer = Buffer.allocUnsafe(Math.min(most, this.written - this.read));
    const count = readSync(this.fd, buffer, 0, buffer.length, this.read);
    if (count === 0) throw new Error('the temporary file that holds what an application wrote has become shorter');
    this.read += count;
    if (this.read === this.written) this.close();
    return buffer.subarray(0, count);
  }

  /** Forgets everything. */
  close(): void {
    this.pieces.length = 0;
    this.inMemory = 0;
    this.read = 0;
    this.written = 0;
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

let serial = 0;

/** A file without a name. */
function temporaryFile(): number {
  serial += 1;
  const path = join(tmpdir(), `.gwanmun-write-${process.pid}-${serial}-${Math.random().toString(36).slice(2)}`);
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return fd;
}
