// What other programs' clients make of it.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { issue, TlsCore } from './core.js';

const [a, b, rsa] = [
  issue(['a.test', '127.0.0.1']),
  issue(['b.test', '*.b.test']),
  issue(['a.test'], { algorithm: 'rsa' }),
];
let server: TlsCore;
let ca: string;

beforeAll(() => {
  server = new TlsCore([a, b, rsa], { hsts: 'max-age=60' });
  ca = join(server.folder, 'ca.pem');
  writeFileSync(ca, [a, b, rsa].map(({ cert }) => cert).join('\n'));
});
afterAll(() => server[Symbol.asyncDispose]());

/** What a program prints, whether it fails or not. `input` is what it reads. */
async function said(program: string, args: string[], input = ''): Promise<string> {
  const running = promisify(execFile)(program, args, { timeout: 15_000 });
  running.child.stdin?.end(input);
  const output = (result: unknown): string => {
    const { stdout, stderr } = result as { stdout: string; stderr: string };
    return stdout + stderr;
  };
  return running.then(output, output);
}

function openssl(
  args: string[],
  input = 'GET /small.txt HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n',
): Promise<string> {
  return said(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${server.port}`, '-CAfile', ca, '-ign_eof', ...args],
    input,
  );
}

describe('openssl', () => {
  test.each([
    ['-tls1_3', 'TLSv1.3', 'TLS_AES_256_GCM_SHA384'],
    ['-tls1_2', 'TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ])('T130 T211 speaks %s, and the log has it', async (flag, protocol, cipher) => {
    const text = await openssl(['-servername', 'a.test', flag]);
    expect(text).toContain('Verify return code: 0 (ok)');
    expect(text).toContain(`New, ${protocol}, Cipher is ${cipher}`);
    expect(text).toMatch(/HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nsmall/);
    const fields = `"tls":"${protocol}","cipher":"${cipher}","sni":"a.test"`;
    await vi.waitFor(() => expect(server.log('access')).toContain(fields));
  });

  test('T115 the end is a goodbye', async () => {
    expect(await openssl(['-servername', 'a.test', '-msg', '-tls1_3'])).toMatch(/<<< .*Alert.*warning close_notify/);
  });

  test('T1 T2 names choose the certificate', async () => {
    const subject = async (name: string): Promise<string | undefined> => {
      const text = await openssl(['-servername', name]);
      return /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(text)?.[0];
    };
    for (const name of ['b.test', 'B.Test', 'x.b.test']) expect(await subject(name)).toBe(b.cert.trim());
    expect(await subject('a.test')).toBe(a.cert.trim());
  });

  test('T4 who knows RSA alone gets that', async () => {
    expect(await openssl(['-servername', 'a.test', '-tls1_2', '-cipher', 'aRSA'])).toContain(
      'Cipher is ECDHE-RSA-AES256-GCM-SHA384',
    );
  });

  test.each([
    ['T6 a strange name', ['-servername', 'c.test'], 'alert number 112'],
    ['T2 a name of two labels beneath a wildcard', ['-servername', 'x.y.b.test'], 'alert number 112'],
    ['T21 another protocol', ['-servername', 'a.test', '-alpn', 'h2'], 'alert number 120'],
    ['T101 TLS 1.1', ['-servername', 'a.test', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], 'alert number 70'],
  ])('%s is refused', async (_what, args, alert) => {
    expect(await openssl(args)).toContain(alert);
  });

  test('T5 who asks for no name gets the certificate with the address', async () => {
    expect(await openssl(['-noservername', '-tls1_3'])).toContain('200 OK');
  });

  test('T22 T25 ALPN is negotiated, and anew when resumed', async () => {
    const session = join(server.folder, 'session');
    expect(await openssl(['-servername', 'a.test', '-alpn', 'h2,http/1.1', '-sess_out', session])).toContain(
      'ALPN protocol: http/1.1',
    );
    const text = await openssl(['-servername', 'a.test', '-sess_in', session]);
    expect(text).toContain('Reused, TLSv1.3');
    expect(text).toContain('No ALPN negotiated');
  });

  test('T55 tickets resume on every thread, T43 for their own name', async () => {
    const session = join(server.folder, 'session');
    for (const version of ['-tls1_3', '-tls1_2']) {
      await openssl(['-servername', 'b.test', version, '-sess_out', session]);
      for (let times = 0; times < 6; times++) {
        expect(await openssl(['-servername', 'b.test', version, '-sess_in', session])).toContain('Reused, ');
      }
      expect(await openssl(['-servername', 'x.b.test', version, '-sess_in', session])).toContain('New, ');
    }
  });
});

test('T195 T198 curl follows, and is told to come back so; an address is not', async () => {
  const curl = (url: string): Promise<string> => {
    const resolve = ['a.test', 'b.test'].flatMap((name) => ['--resolve', `${name}:${server.port}:127.0.0.1`]);
    return said('curl', ['-si', '--cacert', ca, ...resolve, url]);
  };
  expect(await curl(`https://b.test:${server.port}/small.txt`)).toMatch(
    /Strict-Transport-Security: max-age=60\r\n[\s\S]*small$/,
  );
  expect(await curl(`https://b.test:${server.port}/none`)).toContain('Strict-Transport-Security: max-age=60');
  expect(await curl(`https://127.0.0.1:${server.port}/small.txt`)).not.toContain('Strict');
  expect(await curl(`http://a.test:${server.port}/small.txt`)).toContain(
    `Ask for https://a.test:${server.port}/small.txt`,
  );
});

test('T118 a Python client that says goodbye first gets its answer', async () => {
  const program = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
own = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def until(act):
    while True:
        try:
            return act()
        except ssl.SSLWantReadError:
            own.sendall(outgoing.read())
            incoming.write(own.recv(65536))
until(tls.do_handshake)
tls.write(b"GET /small.txt HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n")
try:
    tls.unwrap()
except ssl.SSLWantReadError:
    pass
# The request and the goodbye in one segment, and then the end.
own.sendall(outgoing.read())
own.shutdown(socket.SHUT_WR)
data = b""
while piece := own.recv(65536):
    incoming.write(piece)
try:
    while piece := tls.read():
        data += piece
except ssl.SSLError:
    pass
print(data.decode())
`;
  expect(await said('python3', ['-c', program, String(server.port), ca])).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*small\s*$/);
});
