// What the core answers authorities, and everybody else while a certificate is awaited.

import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { connect, type PeerCertificate } from 'node:tls';
import { expect, test } from 'vitest';
import { challengeCertificate } from '../../src/acme/request.js';
import { certificateOf, fingerprint } from './client.js';
import { issue, TlsCore } from './core.js';

const LISTEN = [
  { kind: 'tcp' as const, host: '127.0.0.1', port: 0, tls: true },
  { kind: 'tcp' as const, host: '127.0.0.1', port: 0, redirect: 0 },
  { kind: 'tcp' as const, host: '::1', port: 0, tls: false },
];

/** Sends a head, and gives all that comes back. */
async function plain(port: number, head: string, host = '127.0.0.1'): Promise<string> {
  const socket = connectPlain(port, host);
  socket.write(`${head.replaceAll('\n', '\r\n')}\r\n\r\n`);
  let text = '';
  for await (const part of socket.setEncoding('latin1')) text += part as string;
  return text;
}

const get = (host: string, path: string): string => `GET ${path} HTTP/1.1\nHost: ${host}\nConnection: close`;
const TOKEN = '/.well-known/acme-challenge/tok-en';

test('T7 T162 a name whose certificate is awaited is refused over TLS, and not redirected to it', async () => {
  await using own = new TlsCore([], { domains: ['a.example', 'b.example'] }, LISTEN);
  const [secure = 0, redirecting = 0] = own.ports;
  await expect(certificateOf(secure, 'a.example')).rejects.toThrow(/unrecognized name/i);
  expect(await plain(redirecting, get('a.example', '/small.txt'))).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: /i);
  expect(await plain(redirecting, get('c.example', '/small.txt'))).toMatch(/^HTTP\/1\.1 404 /);
  const issued = issue(['a.example']);
  own.core.setCertificates({ certificates: [issued] });
  expect(await certificateOf(secure, 'a.example')).toBe(fingerprint(issued.cert));
  await expect(certificateOf(secure, 'b.example')).rejects.toThrow(/unrecognized name/i);
  expect(await plain(redirecting, get('a.example', '/'))).toMatch(/^HTTP\/1\.1 308 /);
});

test('T140 T141 the file that an authority asks for comes before redirects and mounts, for its host alone', async () => {
  await using own = new TlsCore([issue(['a.example'])], { domains: ['a.example'] }, LISTEN);
  const [, redirecting = 0, six = 0] = own.ports;
  own.core.setChallenges([
    { host: 'a.example', token: 'tok-en', answer: 'tok-en.print' },
    { host: '::1', token: 'tok-en', answer: 'six' },
  ]);
  expect(await plain(redirecting, get('A.example:80', TOKEN))).toMatch(/^HTTP\/1\.1 200 [^]*\r\n\r\ntok-en\.print$/);
  expect(await plain(redirecting, `GET ${TOKEN} HTTP/1.0\nHost: a.example`)).toMatch(/\r\n\r\ntok-en\.print$/);
  const head = await plain(redirecting, `HEAD ${TOKEN} HTTP/1.1\nHost: a.example\nConnection: close`);
  expect(head).toMatch(/^HTTP\/1\.1 200 [^]*content-length: 12\r\n[^]*\r\n\r\n$/i);
  expect(await plain(six, get(`[::1]:${six}`, TOKEN), '::1')).toMatch(/\r\n\r\nsix$/);
  expect(await plain(redirecting, get('b.example', TOKEN))).toMatch(/^HTTP\/1\.1 404 /);
  // Of another program's, as certbot's: the mount has it or has it not, and it is not redirected.
  expect(await plain(redirecting, get('a.example', `${TOKEN}2`))).toMatch(/^HTTP\/1\.1 404 /);
  expect(await plain(redirecting, get('a.example', '/'))).toMatch(/^HTTP\/1\.1 308 /);
  own.core.setChallenges([]);
  expect(await plain(redirecting, get('a.example', TOKEN))).toMatch(/^HTTP\/1\.1 404 /);
});

test('T142 the certificate that an authority asks for by acme-tls/1, and then the end', async () => {
  await using own = new TlsCore([], { domains: ['a.example'] }, LISTEN);
  const ask = async (): Promise<PeerCertificate> => {
    const socket = connect({
      port: own.port,
      host: '127.0.0.1',
      servername: 'a.example',
      rejectUnauthorized: false,
      ALPNProtocols: ['acme-tls/1'],
    });
    await once(socket, 'secureConnect');
    const certificate = socket.getPeerCertificate();
    expect(socket.alpnProtocol).toBe('acme-tls/1');
    socket.resume();
    await once(socket, 'end');
    socket.destroy();
    return certificate;
  };
  await expect(ask()).rejects.toThrow(/unrecognized name/i);
  const { cert, key } = challengeCertificate('a.example', 'tok-en.print');
  own.core.setChallenges([{ host: 'a.example', cert, key }]);
  const { raw, subjectaltname } = await ask();
  expect(subjectaltname).toBe('DNS:a.example');
  expect(raw.equals(cert)).toBe(true);
  own.core.setChallenges([]);
  await expect(ask()).rejects.toThrow(/unrecognized name/i);
});
