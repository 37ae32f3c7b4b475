// What is counted of handshakes (T210).

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { CoreHandshakes, CoreStatus } from '../../src/native.js';
import { issue, TlsCore } from './core.js';

const certificate = issue(['a.test', 'localhost']);
let server: TlsCore;

beforeAll(() => {
  server = new TlsCore([certificate]);
});
afterAll(() => server[Symbol.asyncDispose]());

const counted = (): CoreHandshakes => (JSON.parse(server.core.status()) as CoreStatus).handshakes;

/** A handshake, and the ticket that came with an answer. */
async function shake(options: ConnectionOptions = {}): Promise<Buffer> {
  const address = { port: server.port, host: '127.0.0.1', servername: 'a.test', ca: certificate.cert };
  const socket = connectTls({ ...address, ...options });
  let ticket: Buffer = Buffer.alloc(0);
  socket.on('session', (session: Buffer) => (ticket = session));
  socket.write('GET /small.txt HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  await once(socket.resume(), 'close');
  return ticket;
}

function plain(bytes: string | Buffer): Socket {
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  if (bytes.length > 0) socket.write(bytes);
  return socket.resume();
}

test('T210 full and resumed handshakes, by version and group', async () => {
  const before = counted();
  expect(before).toEqual({ full: 0, resumed: 0, versions: {}, groups: {}, failed: {} });
  const ticket = await shake({ ecdhCurve: 'X25519' });
  await shake({ session: ticket, ecdhCurve: 'X25519' });
  await shake({ maxVersion: 'TLSv1.2', ecdhCurve: 'P-256' });
  expect(counted()).toEqual({
    full: 2,
    resumed: 1,
    versions: { 'TLSv1.3': 2, 'TLSv1.2': 1 },
    groups: { X25519: 2, prime256v1: 1 },
    failed: {},
  });
});

const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
const hello = Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1');

test.each<[string, () => unknown]>([
  ['unknown_name', () => shake({ servername: 'b.test' }).catch(() => {})],
  ['version', () => shake(old).catch(() => {})],
  ['nothing_in_common', () => shake({ ALPNProtocols: ['foo'] }).catch(() => {})],
  ['malformed', () => plain(Buffer.from('\x16\x03\x01\xff\xff', 'latin1'))],
  ['plain_http', () => plain('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')],
  ['not_tls', () => plain(Buffer.from('\x80\x2e\x01\x00\x02\x00', 'latin1'))],
  ['silent', () => plain('').end()],
  ['left', () => plain(hello).end()],
  [
    'alert_unknown_ca',
    () =>
      execFile('openssl', [
        's_client',
        '-connect',
        `127.0.0.1:${server.port}`,
        '-servername',
        'a.test',
        '-verify_return_error',
        '-no-CAfile',
        '-no-CApath',
      ]),
  ],
])('T210 a failure by its reason: %s', async (reason, fail) => {
  const { failed } = counted();
  void fail();
  await vi.waitFor(() => expect(counted().failed[reason]).toBe((failed[reason] ?? 0) + 1), 5000);
  const others = { ...failed, [reason]: (failed[reason] ?? 0) + 1 };
  expect(counted().failed).toEqual(others);
});
