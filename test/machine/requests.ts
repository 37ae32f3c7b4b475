// What clients ask for, and the bytes that each request must get: they come of its number, so that no byte of another one passes for its own.

import type { Random } from './random.js';

/** How a worker answers. */
export type Manner =
  | 'whole'
  | 'http'
  | 'pieces'
  | 'descriptor'
  | 'never'
  | 'error'
  | 'breaks-off'
  | 'hangs-up'
  | 'closes';

export interface Request {
  readonly id: number;
  readonly kind: 'application' | 'file' | 'absent' | 'malformed';
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly version: '1.0' | '1.1';
  readonly mount: '/app' | '/stream' | '/packed' | '/files';
  /** Of the response, and where its bytes begin in what {@link bytesOf} gives for `source`. */
  readonly size: number;
  readonly source: number;
  readonly from: number;
  readonly status: number;
  readonly manner: Manner;
  readonly announces: boolean;
  readonly informs: boolean;
  readonly trails: boolean;
  /** Milliseconds until a worker begins it. */
  readonly delay: number;
  readonly upload: { readonly size: number; readonly chunked: boolean; readonly expects: boolean } | undefined;
  /** When a worker takes the upload: before it answers, meanwhile, or not at all. */
  readonly reads: 'first' | 'meanwhile' | 'never';
  /** The request up to its body. */
  readonly head: Buffer;
  readonly body: Buffer;
}

/** Sizes of the files that are served; their number is the name, and their bytes are those of a request that nobody makes. */
export const FILES = [0, 1, 1000, 30_000, 40_000, 300_000, 3_000_000] as const;
const FIRST_FILE = 0x4000_0000;
const FIRST_UPLOAD = 0x2000_0000;

export function fileSource(index: number): number {
  return FIRST_FILE + index;
}

export function uploadSource(id: number): number {
  return FIRST_UPLOAD + id;
}

/** The bytes from `from` to `to` of an endless sequence of its own for each source. */
export function bytesOf(source: number, from: number, to: number): Buffer {
  const first = from >>> 2;
  const words = new Uint32Array(((to + 3) >>> 2) - first);
  for (let index = 0; index < words.length; index++) {
    let word = Math.imul(source + 1, 0x9e3779b1) ^ Math.imul(first + index + 1, 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 15), 0x2c1b3c6d);
    words[index] = word ^ (word >>> 13);
  }
  return Buffer.from(words.buffer).subarray(from - first * 4, to - first * 4);
}

const SIZES = [0, 1, 100, 5000, 8192, 8193, 30_000, 65_000, 262_144, 262_145, 700_000];

/** Whether the response has a body for the client. */
export function hasBody({ method, status }: Request): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304;
}

/** What the requests of one connection have in common: how likely a worker fails them, and an upload is. */
export interface Temper {
  readonly trouble: number;
  readonly uploads: number;
}

export function makeRequest(random: Random, { trouble, uploads }: Temper, id: number, isLast: boolean): Request {
  const kind = random.chance(0.15)
    ? 'file'
    : random.chance(0.03)
      ? 'absent'
      : isLast && random.chance(0.04)
        ? 'malformed'
        : 'application';
  const version = isLast && random.chance(0.1) ? '1.0' : '1.1';
  const method =
    kind === 'application' && random.chance(uploads)
      ? 'POST'
      : kind !== 'malformed' && random.chance(0.1)
        ? 'HEAD'
        : 'GET';
  const mount = kind === 'application' ? random.pick(['/app', '/app', '/stream', '/packed'] as const) : '/files';
  const upload =
    method === 'POST'
      ? {
          size: random.pick([...SIZES, random.int(0, 100_000)]),
          chunked: version === '1.1' && random.chance(0.4),
          expects: version === '1.1' && random.chance(0.2),
        }
      : undefined;
  const manner: Manner = random.chance(trouble)
    ? random.pick(['never', 'error', 'breaks-off', 'hangs-up', 'closes'] as const)
    : random.pick(['whole', 'http', 'pieces', 'pieces', 'descriptor'] as const);
  let size = random.pick([...SIZES, random.int(0, 2000)]);
  if (manner === 'whole' || manner === 'http') size = Math.min(size, 60_000);
  if (manner === 'breaks-off') size = Math.max(size, 100);
  let source = id;
  let from = 0;
  let status = random.chance(0.9) ? 200 : random.pick([201, 404, 500, 204, 304]);
  let target = `${mount}/${id}?q=${id}`;
  const lines: string[] = [];
  if (kind === 'file') {
    const index = random.int(0, FILES.length - 1);
    target = `/files/${index}`;
    source = fileSource(index);
    size = FILES[index] as number;
    status = 200;
    if (size > 1 && version === '1.1' && random.chance(0.3)) {
      from = random.int(0, size - 1);
      const to = random.int(from, size - 1);
      size = to + 1 - from;
      status = 206;
      lines.push(`Range: bytes=${from}-${to}`);
    }
    if (method === 'HEAD') status = 200;
  } else if (kind === 'absent') {
    target = `/files/none-${id}`;
    status = 404;
  }
  if (mount === '/packed') lines.push('Accept-Encoding: gzip');
  if (upload?.chunked) lines.push('Transfer-Encoding: chunked');
  else if (upload) lines.push(`Content-Length: ${upload.size}`);
  if (upload?.expects) lines.push('Expect: 100-continue');
  if (version === '1.1' && isLast && random.chance(0.2)) lines.push('Connection: close');
  const text = [`${method} ${target} HTTP/${version}`, 'Host: t', `X-Id: ${id}`, ...lines, '', ''].join('\r\n');
  return {
    id,
    kind,
    method,
    version,
    mount,
    size,
    source,
    from,
    status,
    manner,
    announces: random.chance(0.4),
    informs: random.chance(0.1),
    trails: random.chance(0.2),
    delay: random.chance(0.8) ? 0 : random.int(1, random.chance(0.2) ? 400 : 30),
    upload,
    reads: random.chance(0.75) ? 'first' : random.pick(['meanwhile', 'never'] as const),
    head: Buffer.from(kind === 'malformed' ? `GET /${id} x HTTP/1.1\r\nHost: t\r\n\r\n` : text),
    body: upload === undefined ? Buffer.alloc(0) : uploadBody(random, id, upload),
  };
}

function uploadBody(random: Random, id: number, { size, chunked }: { size: number; chunked: boolean }): Buffer {
  const content = bytesOf(uploadSource(id), 0, size);
  if (!chunked) return content;
  const parts: Buffer[] = [];
  for (let at = 0; at < size;) {
    const length = Math.min(size - at, random.int(1, random.pick([1, 100, 5000, 100_000]) + size / 50));
    parts.push(Buffer.from(`${length.toString(16)}\r\n`), content.subarray(at, at + length), Buffer.from('\r\n'));
    at += length;
  }
  parts.push(Buffer.from('0\r\n\r\n'));
  return Buffer.concat(parts);
}
