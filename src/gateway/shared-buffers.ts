import { MARK_PAGE, MAX_PAYLOAD, SHARED_BUFFER, SHARED_BUFFERS, SHARED_BYTES } from './frame.js';
import type { StreamedInput } from './streamed-input.js';

/** One link's shared buffers, into which the core receives pieces of request bodies. */
export class SharedBuffers {
  private readonly bytes: Buffer;
  /** The first word of a buffer is its state: 0 when it is the core's. */
  private readonly words: Int32Array;

  /** `memory`: what the worker shares with the core. `slot`: the link's number. */
  constructor(memory: ArrayBuffer, slot: number) {
    const size = SHARED_BUFFERS * SHARED_BUFFER;
    this.bytes = Buffer.from(memory, MARK_PAGE + slot * size, size);
    this.words = new Int32Array(memory, MARK_PAGE + slot * size, size / 4);
  }

  /**
   * Gives the piece that a DATA frame's `extra` names to `input`, null if nobody wants it any more, and the buffer back to the core.
   * False: there is no such piece.
   */
  read(extra: number, input: StreamedInput | null): boolean {
    const at = (extra >>> 16) * SHARED_BUFFER;
    const length = extra & 0xffff;
    if (at >= this.bytes.length || length > MAX_PAYLOAD) return false;
    input?.push(this.bytes, at + SHARED_BYTES, at + SHARED_BYTES + length);
    // No processor may see this before the copy.
    Atomics.store(this.words, at / 4, 0);
    return true;
  }
}
