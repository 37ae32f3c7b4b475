// How connections over TLS end, and what becomes of what was not whole.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { serve, type Server } from '../../src/serve.js';
import { issue } from './core.js';
import { ALERT, DATA, Tap } from './tap.js';

const certificate = issue(['a.test']);
const folder = mkdtempSync(join(tmpdir(), 'gwanmun-endings-'));
const log = join(folder, 'error.log');
let server: Server;
/** Of a response that has begun. */
let breakOff = (): void => {};
/** What the application was asked. */
let seen: string[];

beforeAll(async () => {
  server = await serve({
    port: 0,
    threads: 1,
    tls: { cert: certificate.cert, key: certificate.key },
    errorLog: { file: log, level: 'debug' },
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      const early = request.headers.get('early-data');
      seen.push(`${request.method} ${pathname} ${await request.text()}${early === null ? '' : ` early: ${early}`}`);
      if (pathname !== '/breaks') return new Response('small');
      const start = (controller: ReadableStreamDefaultController): void => {
        controller.enqueue(Buffer.from('some'));
        breakOff = () => controller.error(new Error('broken'));
      };
      return new Response(new ReadableStream({ start }));
    },
  });
});
beforeEach(() => void (seen = []));
afterAll(async () => {
  await server.close({ graceMs: 0 });
  rmSync(folder, { recursive: true });
});

const port = (): number => server.port as number;
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
/** Alerts can be told from data by their records. */
const old = { maxVersion: 'TLSv1.2' } as const;

test('T115 the end is a goodbye, and then the socket’s', async () => {
  const tap = await new Tap(port(), old).established();
  tap.mark();
  tap.socket.write(get('/', 'Connection: close\r\n'));
  const ended = once(tap.raw, 'end');
  expect(await tap.text()).toMatch(/^HTTP\/1\.1 200 [\s\S]*small$/);
  await ended;
  expect(tap.records().map(({ type }) => type)).toEqual([DATA, ALERT]);
});

test('T116 a client that leaves without a goodbye between requests is nothing to speak of', async () => {
  const tap = await new Tap(port(), old).established();
  tap.socket.write(get('/'));
  await once(tap.socket, 'data');
  const before = readFileSync(log, 'utf8');
  tap.raw.end();
  await tap.closed;
  await expectServed();
  expect(readFileSync(log, 'utf8')).toBe(before);
});

test.each([
  ['a body', 'POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nsome'],
  ['a chunked body', 'POST /body HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n'],
  ['a head', 'GET /head HTTP/1.1\r\nHost: a.test\r\n'],
])('T117 %s that ends without a goodbye, or with one, is not whole: the application is not asked', async (_, text) => {
  for (const isCut of [true, false]) {
    const tap = await new Tap(port(), old).established();
    await new Promise<void>((resolve) => tap.socket.write(text, () => resolve()));
    const answer = tap.text();
    if (isCut) tap.raw.end();
    else tap.socket.end();
    expect(await answer).not.toMatch(/ 200 /);
    expect(seen).toEqual([]);
    await expectServed();
    seen = [];
  }
});

test('T119 a response that fails half-way ends without a goodbye', async () => {
  const tap = await new Tap(port(), old).established();
  tap.mark();
  tap.socket.write(get('/breaks'));
  const text = tap.text();
  await vi.waitFor(() => expect(tap.records().length).toBeGreaterThan(0));
  breakOff();
  expect(await text).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\nsome\r\n$/);
  expect(tap.records().map(({ type }) => type)).not.toContain(ALERT);
});

test('T120 head and body of a small response are one record', async () => {
  for (const options of [old, {}]) {
    const tap = await new Tap(port(), options).established();
    tap.socket.write(get('/'));
    await once(tap.socket, 'data');
    tap.mark();
    tap.socket.write(get('/'));
    await once(tap.socket, 'data');
    await vi.waitFor(() => expect(tap.records().map(({ type }) => type)).toEqual([DATA]));
    tap.raw.destroy();
  }
});

test('T64 tickets leave with the handshake, whether there is a request or not', async () => {
  const tap = new Tap(port(), { minVersion: 'TLSv1.3' });
  let tickets = 0;
  tap.socket.on('session', () => void (tickets += 1));
  await tap.established();
  await vi.waitFor(() => expect(tickets).toBe(2));
  tap.raw.destroy();
});

test('T67 what a proxy says of early data is the application’s to know', async () => {
  const tap = await new Tap(port()).established();
  tap.socket.write(get('/', 'Early-Data: 1\r\nConnection: close\r\n'));
  await tap.text();
  expect(seen).toEqual(['GET /  early: 1']);
});

async function expectServed(): Promise<void> {
  const tap = await new Tap(port()).established();
  tap.socket.write(get('/', 'Connection: close\r\n'));
  expect(await tap.text()).toContain(' 200 ');
}
