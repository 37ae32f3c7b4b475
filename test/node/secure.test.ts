// https.createServer of programs that know nothing of gwanmun.

import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClientAuthority } from '../tls/client-authority.js';
import { ask, certificateOf, fingerprint, handshake } from '../tls/client.js';
import { made } from '../tls/made.js';

const REGISTER = fileURLToPath(new URL('../../dist/register.js', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const a = made(['a.example']);
const b = made(['b.example']);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-secure-'));
  writeFileSync(join(folder, 'certificates.cjs'), `module.exports = ${JSON.stringify({ a, b })};\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A program that has https, and certificates a and b; it ends with its standard input. */
class Program implements AsyncDisposable {
  private readonly child;
  output = '';

  constructor(code: string, options = ['--import', REGISTER]) {
    const file = join(folder, `program${Math.random()}.cjs`);
    writeFileSync(
      file,
      `const https = require('node:https');\nconst { a, b } = require('./certificates.cjs');\n${code}\n`,
    );
    this.child = spawn(process.execPath, [...options, file], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
  }

  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    await expect.poll(() => this.output, { timeout: 10_000, interval: 10 }).toMatch(pattern);
    return pattern.exec(this.output) as RegExpExecArray;
  }

  async port(): Promise<number> {
    return Number((await this.prints(/port (\d+)/))[1]);
  }

  write(text: string): void {
    this.child.stdin.write(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}

const LISTEN =
  "server.on('error', (error) => console.log('error', error.code, error.message)).listen(0, '127.0.0.1', () => console.log('port', server.address().port));";

test.each([
  ['register', ['--import', REGISTER]],
  ['gwanmun run', [MAIN, 'run']],
])('by %s its requests are the core’s, over TLS', async (_, options) => {
  const code = `const server = https.createServer(a, (request, response) => {
    response.setHeader('Seen', request.socket.encrypted + ' ' + request.headers.host).end();
  });\n${LISTEN}`;
  await using program = new Program(code, options);
  const port = await program.port();
  expect(await certificateOf(port)).toBe(fingerprint(a.cert));
  const socket = await handshake(port);
  expect(await ask(socket)).toMatch(/^seen: true a\.example\r$/im);
  // The core's own page.
  socket.write('GET / HTTP/1.1\nHost: a\n\n');
  let text = '';
  for await (const part of socket) text += part as string;
  expect(text).toContain('<title>400 Bad Request</title>');
  if (options[1] === 'run') expect(program.output).toMatch(/runs .* on its core: https:\/\/127\.0\.0\.1:/);
});

test('addContext adds names, and setSecureContext renews while connections go on', async () => {
  const code = `const server = https.createServer(a, (request, response) => response.end('ok'));
    server.addContext('b.example', b);
    process.stdin.once('data', () => { server.setSecureContext(b); console.log('renewed'); });
    ${LISTEN}`;
  await using program = new Program(code);
  const port = await program.port();
  expect(await certificateOf(port, 'b.example')).toBe(fingerprint(b.cert));
  expect(await certificateOf(port, 'other.example')).toBe(fingerprint(a.cert));
  const socket = await handshake(port);
  program.write('now\n');
  await program.prints(/renewed/);
  expect(await certificateOf(port, 'other.example')).toBe(fingerprint(b.cert));
  expect(await ask(socket)).toMatch(/^HTTP\/1\.1 200 /);
  socket.destroy();
});

test('T30 T47 requestCert asks for certificates of ca, and setSecureContext changes whose', async () => {
  using ops = new ClientAuthority('Ops');
  using other = new ClientAuthority('Other');
  const [alice, bob, revoked] = [ops.issue('/CN=alice'), other.issue('/CN=bob'), ops.issue('/CN=revoked')];
  ops.revoke(revoked);
  const files = JSON.stringify({ ca: [ops.pem], crl: ops.list(), other: other.pem });
  await using program = new Program(`const { ca, crl, other } = ${files};
    const server = https.createServer({ ...a, requestCert: true, ca, crl }, ({ socket, client }, response) => {
      const { subject, issuer } = socket.getPeerCertificate();
      response.setHeader('Seen', [socket.authorized, subject.CN, issuer.CN, client === socket].join(' ')).end();
    });
    process.stdin.once('data', () => { server.setSecureContext({ ...a, ca: other }); console.log('renewed'); });
    ${LISTEN}`);
  const port = await program.port();
  const seen = async (options: ConnectionOptions): Promise<string> => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'a.example', rejectUnauthorized: false, ...options });
    socket.setEncoding('latin1').write('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n');
    let text = '';
    try {
      for await (const part of socket) text += part as string;
    } catch (error) {
      return /alert number \d+/.exec(String(error))?.[0] ?? String(error);
    }
    return /^seen: (.*)\r$/im.exec(text)?.[1] ?? text;
  };
  expect(await seen(alice)).toBe('true alice Ops true');
  expect(await seen({})).toBe('alert number 116');
  expect(await seen(bob)).toBe('alert number 48');
  expect(await seen(revoked)).toBe('alert number 44');
  program.write('now\n');
  await program.prints(/renewed/);
  expect(await seen(alice)).toBe('alert number 48');
  expect(await seen(bob)).toBe('true bob Other true');
});

test('an encrypted key is read with its passphrase', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { cert } = made(['a.example'], { key: privateKey });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'word' });
  const options = JSON.stringify({ cert, key, passphrase: 'word' });
  await using program = new Program(`const server = https.createServer(${options}, (q, r) => r.end());\n${LISTEN}`);
  expect(await certificateOf(await program.port())).toBe(fingerprint(cert));
});

describe('what the core cannot honour is an error of listen()', () => {
  test.each([
    ['requestCert', '{ ...a, requestCert: true }'],
    ['rejectUnauthorized: false', '{ ...a, requestCert: true, ca: a.cert, rejectUnauthorized: false }'],
    ['SNICallback', '{ ...a, SNICallback() {} }'],
    ['ciphers', "{ ...a, ciphers: 'AES128-SHA' }"],
    ['maxVersion', "{ ...a, maxVersion: 'TLSv1.2' }"],
    ['addContext', 'a', "server.addContext('b.example', require('node:tls').createSecureContext(b));"],
  ])('%s', async (option, options, more = '') => {
    await using program = new Program(`const server = https.createServer(${options});\n${more}${LISTEN}`);
    const [, what] = await program.prints(/error GWM_TLS_OPTION the core cannot honour (.+) of https\.createServer/);
    expect(what).toBe(option);
  });

  test('and so is a server without a certificate', async () => {
    await using program = new Program(`const server = https.createServer({});\n${LISTEN}`);
    await program.prints(/error GWM_TLS_OPTION https\.createServer has no certificate/);
  });
});

test('a server that is closed lets its process end', async () => {
  await using program = new Program(`const server = https.createServer(a, (q, r) => r.end('ok'));
    server.listen(0, () => server.close(() => console.log('closed')));
    process.once('exit', () => console.log('ended'));`);
  await program.prints(/closed\nended/);
});
