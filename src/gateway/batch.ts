/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

// Frames that have been received and are still to be dispatched.

import type { LinkedExchange } from './adapter.js';
import { FLAG_END, FLAG_SHARED, FRAME_HEADER, KIND_CREDIT, KIND_DATA, KIND_RESET } from './frame.js';
import type { RawBuffer } from './frame-writer.js';
import type { SharedBuffers } from './shared-buffers.js';
import { StreamedInput } from './streamed-input.js';

/** What one receive brings: complete frames in `[0, end)`. */
export interface Batch {
  readonly words: Int32Array;
  readonly bytes: RawBuffer;
  end: number;
  /** Where the frame after the current one starts. */
  next: number;
}

/** Four full frames: what one receive takes in at most. */
const CAPACITY = 262_144;

/** An empty one. */
export function newBatch(): Batch {
  return batchOf(new ArrayBuffer(CAPACITY));
}

function batchOf(buffer: ArrayBuffer): Batch {
  return { words: new Int32Array(buffer), bytes: Buffer.from(buffer) as RawBuffer, end: 0, next: 0 };
}

/**
 * Takes what is one exchange's out of frames that are not dispatched yet: credit, and the pieces of a streamed body. Of what is
 * taken an empty CREDIT stays. A RESET takes effect, and is dispatched all the same.
 */
export function take(frames: Batch, from: number, exchange: LinkedExchange, shared: SharedBuffers): void {
  const { words, end } = frames;
  const { response, input } = exchange;
  for (let at = from; at < end;) {
    const word = at >> 2;
    const size = words[word]!;
    if (size < FRAME_HEADER) return;
    if (words[word + 2] === response.stream) {
      const kind = words[word + 1]! & 0xff;
      if (kind === KIND_CREDIT) {
        response.credit += words[word + 3]! >>> 0;
        words[word + 3] = 0;
      } else if (kind === KIND_RESET) {
        response.gone = true;
        if (input instanceof StreamedInput) input.fail(words[word + 3]!);
      } else if (kind === KIND_DATA && input instanceof StreamedInput) {
        const flags = (words[word + 1]! >>> 8) & 0xff;
        if (!(flags & FLAG_SHARED)) input.push(frames.bytes, at + FRAME_HEADER, at + size);
        else if (!shared.read(words[word + 3]!, input)) return;
        if (flags & FLAG_END) input.finish();
        words[word + 1] = KIND_CREDIT;
        words[word + 3] = 0;
      }
    }
    at += (size + 7) & ~7;
  }
}

/** A copy of the frames that are still to be dispatched; null if there are none. Empty CREDITs are what `take` has left. */
export function rest(frames: Batch): Batch | null {
  const { words, bytes } = frames;
  const copy = batchOf(new ArrayBuffer(frames.end));
  for (let at = 0; at < frames.end;) {
    const word = at >> 2;
    const next = Math.min(at + ((Math.max(words[word]!, FRAME_HEADER) + 7) & ~7), frames.end);
    if ((words[word + 1]! & 0xff) !== KIND_CREDIT || words[word + 3] !== 0) {
      bytes.copy(copy.bytes, copy.end, at, next);
      copy.end += next - at;
    }
    at = next;
  }
  return copy.end === 0 ? null : copy;
}
