// The same bytes to gwanmun and to Node's own parser (llhttp, strict): where both accept a request they agree on it, and every
// disagreement about accepting is one of those that are explained here.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server as NodeServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readCases } from './cases.js';
import { generator, mutant } from './mutants.js';
import { RawClient } from './raw-client.js';
import { record, type RecordingServer } from './recording-server.js';
import { CERT, KEY } from '../transport/certificate.mjs';
import { OVER_TLS } from '../transport/client.js';

const SEED = Number(process.env['GWANMUN_ATTACK_SEED'] ?? 20_260_101);
const ROUNDS = Number(process.env['GWANMUN_DIFFERENTIAL_ROUNDS'] ?? 2000);

/** What gwanmun refuses and llhttp takes, by the reason in gwanmun's log. */
const STRICTER: Record<string, string> = {
  'no Host in an HTTP/1.1 request': 'it is required of a server, not of a parser (RFC 9112 §3.2)',
  'no HTTP version in the request line': 'llhttp takes HTTP/0.9',
  'request target is empty': 'llhttp takes several spaces in a row',
  'carriage return without line feed': 'llhttp skips a CR before the request line',
  'Transfer-Encoding in an HTTP/1.0 request': 'llhttp does not look at the version (RFC 9112 §6.1)',
  'malformed Transfer-Encoding': 'llhttp looks at the end of the value only',
  'more than one Transfer-Encoding, or chunked twice': 'the same',
  'transfer coding other than chunked': 'the same: it passes on what it cannot decode',
  'more than 100 trailer fields': 'llhttp has no such limit',
  'line feed without carriage return': 'llhttp takes a bare LF where RFC 9112 §2.2 allows a recipient to',
  'too many empty lines before the request line': 'llhttp skips any number',
  "backslash in the request target's path": 'a browser takes it for a slash, so no proxy and server agree on it',
  'fragment in the request target': 'llhttp has states for a fragment; RFC 9112 §3.2 has none',
  'request target is neither a path nor an http or https URL': 'llhttp takes any scheme',
  'request target * with a method other than OPTIONS': 'llhttp does not look at the method (RFC 9112 §3.2.4)',
  'invalid authority in the request target': 'llhttp takes user information and most bytes (RFC 9110 §4.2.4)',
  'invalid Host': 'Node checks that there is one, not what it says (RFC 9112 §3.2)',
  'invalid port in Host or authority': 'the same',
  'more than one Host': 'Node takes the first (RFC 9112 §3.2 wants a 400)',
  'HTTP major version is not 1': 'llhttp takes HTTP/0.9 and HTTP/2.0 heads',
  'malformed HTTP version or bytes behind it': 'llhttp takes white space behind the version',
  'TRACE is not allowed': 'llhttp has no opinion on methods that it knows',
  'invalid Content-Length': 'llhttp takes leading zeros',
  'unknown expectation': 'Node leaves it to an event',
  'malformed chunk extension': 'llhttp takes some white space that RFC 9112 §7.1.1 does not have',
  'chunk size out of range': 'llhttp waits for as many bytes',
  'chunk line longer than 256 bytes': 'llhttp allows 16 KiB',
  'more chunk framing than data': 'llhttp has no such limit',
  'more header fields than the limit': 'Node allows 2000',
  'request line longer than the limit': 'Node has a limit for all of a head only',
  'NUL in the path': 'Node does not decode paths',
  'malformed percent-encoding in the path': 'the same',
  'path climbs above the root': 'the same',
  'both an empty and a dot segment in the path': 'the same',
  'bytes beyond ASCII in the request target that are not UTF-8': 'llhttp takes any',
};

/** What llhttp refuses and gwanmun takes, by llhttp's code. */
const LOOSER: Record<string, string> = {
  HPE_INVALID_CONTENT_LENGTH:
    'llhttp refuses a tab around the value, and a Content-Length among trailers, which are dropped',
  HPE_INVALID_TRANSFER_ENCODING: 'the same of Transfer-Encoding',
  HPE_INVALID_METHOD: 'llhttp knows a list of methods; a server for applications must take any token (RFC 9110 §9.1)',
  HPE_INVALID_VERSION: 'llhttp takes 1.0 and 1.1 only; a later minor version is to be handled as 1.1 (RFC 9110 §2.5)',
  HPE_INVALID_URL: 'the asterisk with a query, and bytes that no RFC forbids behind "?"',
  HPE_STRICT: 'the same',
};

interface Read {
  method: string;
  uri: string;
  body: string;
  headers: string[];
}

interface Outcome {
  requests: Read[];
  /** Why what follows is refused; undefined if it is not. */
  refusal: string | undefined;
}

let ours: RecordingServer;
let node: NodeServer;
let folder: string;
let current: Outcome;
let refusals = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-differential-'));
  // A line for each request: the error log has no more than so many a second for those that are refused.
  ours = await record({
    accessLog: { format: 'json', file: join(folder, 'access.log') },
    requestId: false,
    threads: 1,
    limits: { body: 4 * 1024 * 1024 },
  });
  const note: RequestListener = (incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', rawHeaders } = incoming;
      const headers = rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ''] as const] : [],
      );
      current.requests.push({
        method,
        uri: url,
        body: Buffer.concat(chunks).toString('latin1'),
        headers: environHeaders(headers),
      });
      // Without it Node closes the connection of HTTP/1.0.
      response.setHeader('Content-Length', 0).end();
    });
  };
  // It is the parser that is compared, not what Node itself answers to a request that it has read.
  const options = { keepAliveTimeout: 0, requireHostHeader: false };
  const made = OVER_TLS ? createSecureServer({ ...options, cert: CERT, key: KEY }, note) : createServer(options, note);
  node = made.on('checkExpectation', note);
  // Else Node gives up requests whose client has closed its sending side.
  Object.assign(node, { httpAllowHalfOpen: true });
  node.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    current.refusal ??= error.code ?? error.message;
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  await once(node.listen(0, '127.0.0.1'), 'listening');
});
afterAll(async () => {
  await ours[Symbol.asyncDispose]();
  node.closeAllConnections();
  node.close();
  rmSync(folder, { recursive: true });
});

/** Headers as environ has them, sorted: the names of the two servers' answers in one spelling. */
function environHeaders(headers: readonly (readonly [string, string])[]): string[] {
  const joined = new Map<string, string>();
  for (const [name, value] of headers) {
    if (!/^[A-Za-z0-9-]+$/.test(name) || /^(?:proxy|content-length|transfer-encoding|host)$/i.test(name)) continue;
    const key = name.toUpperCase().replaceAll('-', '_');
    const before = joined.get(key);
    if (before === undefined) joined.set(key, value);
    else if (key !== 'CONTENT_TYPE') joined.set(key, `${before}${key === 'COOKIE' ? '; ' : ', '}${value}`);
  }
  return [...joined].map(([key, value]) => `${key}: ${value}`).toSorted();
}

async function send(port: number, bytes: Uint8Array): Promise<string> {
  const client = await RawClient.connect({ port });
  await client.send(bytes);
  client.halfClose();
  const answers = (await client.rest(true)).toString('latin1');
  client.close();
  return answers;
}

async function askNode(bytes: Uint8Array): Promise<Outcome> {
  current = { requests: [], refusal: undefined };
  await send((node.address() as AddressInfo).port, bytes);
  return current;
}

/** The refusal is the number of its line in the log, which is written later. */
async function askOurs(bytes: Uint8Array): Promise<{ requests: Read[]; refusal: number | undefined }> {
  ours.seen.length = 0;
  const answers = await send(ours.port, bytes);
  const refused = /HTTP\/1\.1 (?:4|5)\d\d /.test(answers);
  const requests = ours.seen.map(({ method, uri, environ, body }) => ({
    method,
    uri,
    body: body.toString('latin1'),
    headers: environHeaders(
      Object.entries(environ)
        .filter(([key]) => key.startsWith('HTTP_') || key === 'CONTENT_TYPE')
        .map(([key, value]) => [key.replace(/^HTTP_/, '').replaceAll('_', '-'), value] as const),
    ),
  }));
  return { requests, refusal: refused ? refusals++ : undefined };
}

/** Why each refused request was refused, in their order. */
async function reasons(): Promise<string[]> {
  return vi.waitFor(() => {
    const lines = readFileSync(join(folder, 'access.log'), 'utf8').trim().split('\n');
    const told = lines
      .map((line) => JSON.parse(line) as { status: number; by: string; reason?: string })
      .flatMap(({ status, by, reason }) => (by === 'core' && status >= 400 ? (reason ?? []) : []));
    if (told.length < refusals) throw new Error(`${told.length} of ${refusals} lines`);
    return told;
  });
}

test(`gwanmun and llhttp agree, or the table says why not (seed ${SEED})`, { timeout: 120_000 }, async () => {
  const inputs = readCases()
    .map(({ name, bytes }): { name: string; bytes: Buffer } => ({ name, bytes: Buffer.from(bytes, 'latin1') }))
    .concat(
      Array.from({ length: ROUNDS }, (_, round) => ({
        name: `GWANMUN_ATTACK_SEED=${SEED + round}`,
        bytes: mutant(generator(SEED + round)),
      })),
    );
  const outcomes: { name: string; text: string; own: Awaited<ReturnType<typeof askOurs>>; other: Outcome }[] = [];
  for (const { name, bytes } of inputs) {
    const [own, other] = [await askOurs(bytes), await askNode(bytes)];
    outcomes.push({ name, text: bytes.toString('latin1').slice(0, 1500), own, other });
  }
  const told = await reasons();

  const faults: string[] = [];
  let both = 0;
  for (const { name, text, own, other } of outcomes) {
    // The server answers this one itself.
    const others = other.requests.filter(({ method, uri }) => !(method === 'OPTIONS' && uri === '*'));
    const fault = (what: string): void => void faults.push(`${name}: ${what}\n${JSON.stringify(text)}`);
    const common = Math.min(own.requests.length, others.length);
    both += common;
    for (let i = 0; i < common; i++) {
      if (JSON.stringify(own.requests[i]) !== JSON.stringify(others[i]))
        fault(`request ${i} is read as ${JSON.stringify(own.requests[i])}, by llhttp as ${JSON.stringify(others[i])}`);
    }
    if (others.length > own.requests.length) {
      const reason = (own.refusal === undefined ? undefined : told[own.refusal]) ?? 'nothing';
      if (!(reason in STRICTER)) fault(`llhttp takes a request more; gwanmun says: ${reason}`);
    } else if (own.requests.length > others.length) {
      const reason = other.refusal ?? 'nothing';
      if (!(reason in LOOSER)) fault(`gwanmun takes a request more; llhttp says: ${reason}`);
    }
  }
  expect(faults.length, `${faults.length} faults\n${faults.slice(0, 60).join('\n\n')}`).toBe(0);
  // Else nothing was compared.
  expect(both).toBeGreaterThan(ROUNDS / 2);
});
