/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

import type { IncomingMessage } from 'node:http';
import { bodyLength, cut } from '../../gateway/environ.js';
import {
  HEAD_COUNT,
  HEAD_FLAG_HTTP10,
  HEAD_FLAG_LENGTH,
  HEAD_FLAG_STREAMED,
  HEAD_FLAGS,
  HEAD_METHOD,
  HEAD_PAIRS,
  HEAD_TARGET,
} from '../../gateway/frame.js';

/** Node's parser hands over a head by these. */
interface Internals {
  upgrade: boolean | null;
  /** Keeps the pairs; `headers` is made of them when it is first asked for. */
  _addHeaderLines(headers: string[], count: number): void;
}

/** Puts a request head, whose table is at word `at`, into a new request. */
export function fillRequest(request: IncomingMessage, words: Int32Array, at: number, text: string): void {
  const flags = words[at + HEAD_FLAGS]!;
  const http10 = (flags & HEAD_FLAG_HTTP10) !== 0;
  request.httpVersionMajor = 1;
  request.httpVersionMinor = http10 ? 0 : 1;
  request.httpVersion = http10 ? '1.0' : '1.1';
  request.method = cut(text, words[at + HEAD_METHOD]!);
  request.url = cut(text, words[at + HEAD_TARGET]!);
  const internals = request as unknown as Internals;
  internals.upgrade = false;
  const headers: string[] = [];
  const count = words[at + HEAD_COUNT]!;
  for (let i = 0, pair = at + HEAD_PAIRS; i < count; i++, pair += 2) {
    headers.push(cut(text, words[pair]!), cut(text, words[pair + 1]!));
  }
  // The core has undone the chunked coding; frameworks look for one of the two before they read.
  if (flags & HEAD_FLAG_LENGTH) {
    if (!headers.some(isContentLength)) headers.push('Content-Length', String(bodyLength(words, at)));
  } else if (flags & HEAD_FLAG_STREAMED) headers.push('Transfer-Encoding', 'chunked');
  internals._addHeaderLines(headers, headers.length);
}

function isContentLength(text: string, index: number): boolean {
  return index % 2 === 0 && text.length === 14 && text.toLowerCase() === 'content-length';
}
