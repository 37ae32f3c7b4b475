/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds */

// How a link begins: what the two sides say of themselves before there are requests.

import type { Adapter } from './adapter.js';
import type { Batch } from './batch.js';
import { EnvironFactories } from './environ.js';
import {
  CAPABILITY_CLOSED,
  CAPABILITY_SHARED,
  ENCODING_OFFSETS,
  FRAME_HEADER,
  HELLO_MULTIPROCESS,
  KIND_HELLO,
  KIND_READY,
  PROTOCOL_VERSION,
} from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import { ProtocolError } from './protocol-error.js';

/** The worker's HELLO. */
export function sayHello(writer: FrameWriter, worker: { readonly name: string; readonly concurrency: number }): void {
  const name = Buffer.from(worker.name, 'utf8').subarray(0, 1024);
  const at = writer.begin(16 + name.length);
  const word = at >> 2;
  writer.words[word] = PROTOCOL_VERSION;
  writer.words[word + 1] = ENCODING_OFFSETS;
  writer.words[word + 2] = worker.concurrency;
  writer.words[word + 3] = CAPABILITY_CLOSED | CAPABILITY_SHARED;
  writer.bytes.set(name, at + 16);
  writer.finish(KIND_HELLO, 0, 0, 0, 16 + name.length);
  writer.send();
}

/** The applications are loaded: requests may come. */
export function sayReady(writer: FrameWriter, adapters: readonly Adapter[]): void {
  const at = writer.begin(adapters.length * 4);
  for (const [index, { wishes = 0 }] of adapters.entries()) writer.words[(at >> 2) + index] = wishes;
  writer.finish(KIND_READY, 0, 0, 0, adapters.length * 4);
  writer.send();
}

/** What the core's HELLO says: how many bytes of a body it takes without credit, and what every environ has. */
export function readHello(frames: Batch, at: number, size: number): { window: number; environs: EnvironFactories } {
  const word = (at + FRAME_HEADER) >> 2;
  const [version, window, flags] = [frames.words[word]!, frames.words[word + 1]!, frames.words[word + 2]!];
  if (version !== PROTOCOL_VERSION)
    throw new ProtocolError(`the core speaks version ${version}, this worker ${PROTOCOL_VERSION}`);
  const text = frames.bytes.latin1Slice(at + FRAME_HEADER + 16, at + size).split('\0');
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < text.length; i += 2) {
    // As a key in an object literal this name would set the prototype.
    if (text[i] !== '__proto__') pairs.push([text[i]!, text[i + 1]!]);
  }
  const environs = new EnvironFactories({ pairs, multiprocess: (flags & HELLO_MULTIPROCESS) !== 0 });
  return { window: window >>> 0, environs };
}
