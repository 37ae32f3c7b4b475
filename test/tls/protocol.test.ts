// The corners of the protocol, as OpenSSL's command reaches them.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { issue, TlsCore } from './core.js';

const certificate = issue(['a.test']);
const CONFIG = { timeouts: { headerMs: 2000, bodyMs: 2000, keepAliveMs: 2000, writeMs: 2000 } };
let server: TlsCore;
beforeAll(() => {
  server = new TlsCore([certificate], CONFIG);
});
afterAll(() => server[Symbol.asyncDispose]());

const GET = 'GET /small.txt HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';

/** What s_client prints. `input` is typed when the handshake is done. */
async function client(args: string[], input: string | string[] = GET, port = server.port): Promise<string> {
  const all = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'a.test', ...args];
  const child = spawn('openssl', all, { timeout: 15_000 });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => void (text += part));
  }
  child.stdin.on('error', () => {});
  const hasMet = (): boolean => /Verify return code|DONE|errno|alert/.test(text);
  for (const part of [input].flat()) {
    await vi.waitFor(() => expect(hasMet() || child.exitCode !== null).toBe(true), 10_000);
    child.stdin.write(part);
    if (Array.isArray(input)) await new Promise((resolve) => setTimeout(resolve, 300));
  }
  if (child.exitCode === null) await once(child, 'close');
  return text;
}

test('T22 T24 the beginning of HTTP/2 is no request, whatever was agreed on', async () => {
  for (const ALPNProtocols of [undefined, ['http/1.1']]) {
    const options = { port: server.port, host: '127.0.0.1', servername: 'a.test', rejectUnauthorized: false };
    const socket = connectTls({ ...options, ...(ALPNProtocols && { ALPNProtocols }) });
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => void (text += part));
    await once(socket, 'end');
    socket.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 (400|505) [^]*Connection: close/);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  }
});

test('T105 an old client that shakes hands again is told no', async () => {
  // A line of R alone asks for that.
  const text = await client(['-tls1_2'], ['R\n']);
  expect(text).toContain('RENEGOTIATING');
  expect(text).toMatch(/no renegotiation/);
  expect(text).toContain('Secure Renegotiation IS supported');
});

test('T62 without tickets nothing is resumed', async () => {
  const text = await client(['-tls1_2', '-no_ticket', '-reconnect']);
  expect(text.match(/^New, TLSv1\.2/gm)?.length).toBeGreaterThanOrEqual(5);
  expect(text).not.toContain('Reused');
});

test('T56 T63 a ticket is for a day, and keys are exchanged anew with it', async () => {
  const session = join(server.folder, 'session');
  const first = await client(['-tls1_3', '-sess_out', session, '-ign_eof']);
  expect(first).toMatch(/ticket lifetime hint: 86400 /);
  const resumed = await client(['-tls1_3', '-sess_in', session, '-allow_no_dhe_kex', '-ign_eof']);
  expect(resumed).toContain('Reused, TLSv1.3');
  expect(resumed).toContain('Server Temp Key: X25519');
  await vi.waitFor(() => expect(server.log('access')).toMatch(/"resumed":true/));
});

test('T65 early data that was never offered is skipped, and the handshake goes on', async () => {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(server.folder, name)) as [string, string];
  writeFileSync(cert, certificate.cert);
  writeFileSync(key, certificate.key);
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  free.close();
  await once(free, 'close');
  // A server that takes early data gives the client a ticket for it.
  const take = ['-cert', cert, '-key', key, '-tls1_3', '-early_data', '-max_early_data', '16384'];
  const other = spawn('openssl', ['s_server', '-accept', `127.0.0.1:${port}`, ...take]);
  const [session, early] = ['other-session', 'early'].map((name) => join(server.folder, name)) as [string, string];
  try {
    await once(other.stdout, 'data');
    expect(await client(['-tls1_3', '-sess_out', session], ['\n', 'Q\n'], port)).toContain('Max Early Data: 16384');
  } finally {
    other.kill('SIGKILL');
  }
  // As much as a request may have: rustls counts again what it skips when more comes.
  for (const size of [100, 4000]) {
    writeFileSync(early, Buffer.alloc(size, 'GET /none HTTP/1.1\r\n'));
    const text = await client(['-tls1_3', '-sess_in', session, '-early_data', early, '-ign_eof']);
    expect(text).toContain('Early data was rejected');
    expect(text).toMatch(/HTTP\/1\.1 200 OK[^]*small/);
  }
  expect(server.log('access')).not.toContain('/none');
});

test.each([
  ['127.0.0.1:8443', 'https://127.0.0.1:PORT/small.txt?a=1'],
  ['a.test', 'https://a.test:PORT/small.txt?a=1'],
  ['A.test:80', 'https://A.test:PORT/small.txt?a=1'],
  ['[::1]', 'https://[::1]:PORT/small.txt?a=1'],
])('T99 a request in plain HTTP for %s is told where to go, also when it comes a byte at a time', async (host, url) => {
  const request = `GET /small.txt?a=1 HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`;
  for (const parts of [[request], request.split('')]) {
    const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => void (text += part));
    for (const part of parts) socket.write(part);
    await once(socket, 'end');
    socket.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toMatch(/^connection: close\r$/im);
    expect(text).toContain(`This port speaks HTTPS. Ask for ${url.replace('PORT', String(server.port))}\n`);
  }
});

test.each([
  'GET / HTTP/1.1\r\nHost: a.test/<script>\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
  'GET / HTTP/1.1\r\n\r\n',
  'GET /\r\nX: y HTTP/1.1\r\nHost: a.test\r\n\r\n',
])('T99 %j is no request in plain HTTP either, and nothing of it is said again', async (request) => {
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => void (text += part));
  socket.write(request);
  await once(socket, 'end');
  socket.destroy();
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).not.toMatch(/https:|script|a b|X: y/);
});
