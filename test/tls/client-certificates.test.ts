// Who is let in by a core that asks its clients for certificates.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { challengeCertificate } from '../../src/acme/request.js';
import { ClientAuthority } from './client-authority.js';
import { issue, TlsCore } from './core.js';

const site = issue(['a.test', '127.0.0.1']);
const REQUEST = 'GET /small.txt HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
type Client = ReturnType<ClientAuthority['issue']>;

let ops: ClientAuthority;
let other: ClientAuthority;
let alice: Client;
let revoked: Client;
let strangers: Record<string, Client>;
let crl: string;

beforeAll(() => {
  ops = new ClientAuthority('Ops');
  other = new ClientAuthority('Other');
  alice = ops.issue('/O=Ex, Ltd/CN=älice');
  revoked = ops.issue('/CN=revoked');
  ops.revoke(revoked);
  crl = ops.list();
  strangers = {
    untrusted: other.issue('/CN=untrusted'),
    expired: ops.issue('/CN=expired', { from: -10, to: -5 }),
    early: ops.issue('/CN=early', { from: 5, to: 10 }),
    revoked,
    server: ops.issue('/CN=server', { usage: 'serverAuth' }),
  };
});
afterAll(() => {
  ops[Symbol.dispose]();
  other[Symbol.dispose]();
});

const start = (isRequired = true, config: Record<string, unknown> = {}): TlsCore =>
  new TlsCore([site], config, undefined, { ca: ops.pem, crl, isRequired });

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

/** What comes of a request: the response, or the alert. The request is sent with the handshake's last flight. */
async function outcome(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'a.test', rejectUnauthorized: false, ...options });
  socket.write(REQUEST);
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  await new Promise<void>((resolve) => {
    socket.once('error', ({ message }) => {
      text += /alert number \d+/.exec(message)?.[0] ?? message;
      resolve();
    });
    socket.once('close', () => resolve());
  });
  return text;
}

const versions = (version: (typeof VERSIONS)[number]): ConnectionOptions => ({
  minVersion: version,
  maxVersion: version,
});

/** A connection that has got a response, and stays. */
async function established(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'a.test', rejectUnauthorized: false, ...options });
  socket.setEncoding('latin1').write(REQUEST.replace('Connection: close\r\n', ''));
  await once(socket, 'data');
  return socket;
}

describe.each(VERSIONS)('over %s', (version) => {
  const ALERTS: Record<string, string> = {
    none: version === 'TLSv1.3' ? 'alert number 116' : 'alert number 40',
    untrusted: 'alert number 48',
    expired: 'alert number 45',
    early: 'alert number 45',
    revoked: 'alert number 44',
    server: 'alert number 43',
  };

  test('T30 T31 no request of a client without a good certificate is read', async () => {
    await using server = start();
    for (const [name, alert] of Object.entries(ALERTS)) {
      const { cert, key } = strangers[name] ?? {};
      for (let turn = 0; turn < 10; turn++) {
        expect(await outcome(server.port, { cert, key, ...versions(version) }), name).toBe(alert);
      }
    }
    expect(await outcome(server.port, { ...alice, ...versions(version) })).toMatch(/^HTTP\/1\.1 200 [^]*small$/);
    await vi.waitFor(() => expect(server.log('access')).toContain('"status":200'));
    const requests = server
      .log('access')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({ client_verify: 'SUCCESS', client_subject: 'CN=\\C3\\A4lice,O=Ex\\, Ltd' });
  });

  test('T32 where it is optional, a client may have none, and a bad one is refused', async () => {
    await using server = start(false);
    expect(await outcome(server.port, versions(version))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await outcome(server.port, { ...alice, ...versions(version) })).toMatch(/^HTTP\/1\.1 200 /);
    for (const [name, { cert, key }] of Object.entries(strangers)) {
      expect(await outcome(server.port, { cert, key, ...versions(version) }), name).toBe(ALERTS[name]);
    }
    await vi.waitFor(() => expect(server.log('access').match(/"client_verify":"(NONE|SUCCESS)"/g)).toHaveLength(2));
  });

  test('T44 T45 a ticket lets nobody in who would not be let in without it', async () => {
    await using server = start();
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      servername: 'a.test',
      rejectUnauthorized: false,
      ...alice,
      ...versions(version),
    });
    const ticket = once(socket, 'session') as Promise<[Buffer]>;
    socket.write(REQUEST);
    socket.resume();
    const [session] = await ticket;
    await once(socket, 'close');
    const again = async (): Promise<string> => {
      const text = await outcome(server.port, { ...alice, ...versions(version), session });
      return text.startsWith('HTTP/1.1 200')
        ? (server
            .log('access')
            .match(/"resumed":(true|false)/g)
            ?.at(-1) ?? '')
        : text;
    };
    await vi.waitFor(async () => expect(await again()).toBe('"resumed":true'));
    server.ask({ ca: ops.pem + other.pem });
    await vi.waitFor(async () => expect(await again()).toBe('"resumed":false'));
    using lists = new ClientAuthority('Ops');
    // Another authority of the same name has not issued it.
    server.ask({ ca: lists.pem, crl: lists.list() });
    expect(await outcome(server.port, { ...alice, ...versions(version), session })).toMatch(/^alert/);
    server.ask({ ca: ops.pem, crl });
    const anonymous = await outcome(server.port, { ...versions(version) });
    expect(anonymous).toBe(ALERTS.none);
  });
});

test('T46 nobody is asked for a certificate later on: renegotiation is refused', async () => {
  await using server = start(false);
  const socket = await established(server.port, { ...versions('TLSv1.2') });
  const failed = once(socket, 'error');
  socket.renegotiate({}, () => {});
  expect(String((await failed)[0])).toMatch(/no.renegotiation|ECONNRESET|alert|socket/i);
});

test('T142 whoever asks as an authority does, while a challenge is open, asks for nothing else', async () => {
  await using server = start();
  const { cert, key } = challengeCertificate('a.test', 'tok-en.print');
  server.core.setChallenges([{ host: 'a.test', cert, key }]);
  for (const version of VERSIONS) {
    expect(await outcome(server.port, { ...versions(version), ALPNProtocols: ['acme-tls/1'] })).toBe('');
  }
  await outcome(server.port, { ...alice });
  await vi.waitFor(() => expect(server.log('access')).toContain('"status":200'));
  expect(server.log('access').match(/"event":"request"/g)).toHaveLength(1);
});

describe('who is connected already', () => {
  test('T45 goes when what is asked changes, or its certificate is revoked', async () => {
    await using server = start();
    const idle = await established(server.port, { ...alice });
    const closed = once(idle, 'end');
    // Nothing has changed.
    server.ask({});
    idle.write(REQUEST.replace('Connection: close\r\n', ''));
    await once(idle, 'data');
    server.ask({ ca: ops.pem + other.pem });
    await closed;
    idle.destroy();
  });

  test('gets the response that it has asked for, and no other one', async () => {
    await using server = start();
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      servername: 'a.test',
      rejectUnauthorized: false,
      ...alice,
    });
    socket.write('GET /large.bin HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(socket, 'readable');
    server.ask({ ca: other.pem, crl: other.list() });
    socket.write(REQUEST);
    let length = 0;
    socket.on('data', (part: Buffer) => (length += part.length));
    await once(socket, 'end');
    expect(length).toBeGreaterThan(5_000_000);
    expect(length).toBeLessThan(5_001_000);
    socket.destroy();
    await vi.waitFor(() => expect(server.log('access').match(/"event":"request"/g)).toHaveLength(1));
  });

  test('who came before a certificate was required does not stay', async () => {
    await using server = new TlsCore([site]);
    const idle = await established(server.port, {});
    const closed = once(idle, 'end');
    server.ask({ ca: ops.pem });
    await closed;
    idle.destroy();
  });

  test('T52 goes soon after its certificate has expired', { timeout: 60_000 }, async () => {
    await using server = start();
    const [from, to] = [-1, 2 / 86_400];
    const idle = await established(server.port, { ...ops.issue('/CN=short', { from, to }) });
    await once(idle, 'end');
    idle.destroy();
    expect(server.log('access')).toContain('CN=short');
  });
});

test('T48 T213 the log says why somebody is refused, and a flood of strangers does not fill it', async () => {
  await using server = start();
  const reasons: Record<string, RegExp> = {
    untrusted: /"CN=untrusted", from "CN=Other", is not accepted: no authority of `ca` has issued it/,
    expired: /"CN=expired", from "CN=Ops", is not accepted: .* has expired/,
    early: /"CN=early", from "CN=Ops", is not accepted: it is not good before/,
    revoked: /"CN=revoked", from "CN=Ops", is not accepted: it has been revoked/,
    server: /"CN=server", from "CN=Ops", is not accepted: .* lacks clientAuth/,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const { cert, key } = strangers[name] ?? {};
    await outcome(server.port, { cert, key });
    await vi.waitFor(() => expect(server.log('error')).toMatch(reason));
  }
  await outcome(server.port, {});
  await vi.waitFor(() =>
    expect(server.log('error')).toMatch(/warn .*127\.0\.0\.1 was refused: the client has no certificate/),
  );
  const before = Date.now();
  for (let count = 0; count < 400; count += 20) {
    await Promise.all(Array.from({ length: 20 }, () => outcome(server.port, {})));
  }
  const seconds = Math.ceil((Date.now() - before) / 1000) + 1;
  const lines = server.log('error').match(/was refused/g) ?? [];
  // Two threads.
  expect(lines.length).toBeLessThanOrEqual(100 * seconds + 10);
  if (lines.length < 400)
    await vi.waitFor(() => expect(server.log('error')).toMatch(/\d+ more clients were refused/), 5000);
});

describe('other programs', () => {
  const said = async (program: string, args: string[]): Promise<string> => {
    const output = (result: unknown): string => {
      const { stdout, stderr } = result as { stdout: string; stderr: string };
      return stdout + stderr;
    };
    return promisify(execFile)(program, args, { timeout: 15_000 }).then(output, output);
  };

  test('curl', async () => {
    await using server = start();
    const curl = (...args: string[]): Promise<string> =>
      said('curl', [
        '-sS',
        '-k',
        '--resolve',
        `a.test:${server.port}:127.0.0.1`,
        `https://a.test:${server.port}/small.txt`,
        ...args,
      ]);
    expect(await curl('--cert', alice.file)).toBe('small');
    expect(await curl()).toMatch(/curl: \(\d+\).*(certificate required|alert)/);
    expect(await curl('--cert', revoked.file)).toMatch(/curl: \(\d+\).*(revoked|alert)/);
  });

  test('openssl is told whose certificates are wanted', async () => {
    await using server = start();
    const openssl = (...args: string[]): Promise<string> =>
      said('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'a.test', ...args]);
    const text = await openssl('-cert', alice.file, '-key', alice.file);
    expect(text).toMatch(/Acceptable client certificate CA names\nCN = Ops\n/);
  });

  test('Python', async () => {
    await using server = start();
    const code = `import ssl, sys, http.client
context = ssl._create_unverified_context()
if len(sys.argv) > 2: context.load_cert_chain(sys.argv[2])
connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=context)
connection.request('GET', '/small.txt', headers={'Host': 'a.test'})
print(connection.getresponse().read().decode())`;
    const python = (...args: string[]): Promise<string> => said('python3', ['-c', code, String(server.port), ...args]);
    expect(await python(alice.file)).toBe('small\n');
    expect(await python()).toMatch(/SSL|reset/);
  });
});
