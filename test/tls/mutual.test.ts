// A server that asks its clients for certificates, as an operator has it: what applications see of them, and files that change.

import { execFile, execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { serve } from '../../src/serve.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';
import { ClientAuthority } from './client-authority.js';
import { made } from './made.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const site = made(['a.example']);
type Client = ReturnType<ClientAuthority['issue']>;

let ops: ClientAuthority;
let alice: Client;
let crl: string;

beforeAll(() => {
  ops = new ClientAuthority('Ops');
  alice = ops.issue('/O=Ex, Ltd/CN=älice "x" #1; <é>');
  crl = ops.list();
});
afterAll(() => ops[Symbol.dispose]());

const APPS = {
  'app.mjs': `export const application = (environ, startResponse) => {
    startResponse('200 OK', [['Content-Type', 'application/json']]);
    const names = Object.keys(environ).filter((name) => /SSL|HTTPS/.test(name));
    return JSON.stringify(Object.fromEntries(names.map((name) => [name, environ[name]])));
  };`,
  'fetch.mjs': `export default { fetch: (request, { tls }) => Response.json({ tls, names: [...request.headers.keys()] }) };`,
  'node.mjs': `export default (request, response) => {
    const { socket } = request;
    const { encrypted, authorized, authorizationError, servername, alpnProtocol } = socket;
    const certificate = socket.getPeerCertificate();
    response.end(JSON.stringify({ encrypted, authorized, authorizationError, servername, alpnProtocol,
      protocol: socket.getProtocol(), cipher: socket.getCipher(), reused: socket.isSessionReused(),
      certificate: { ...certificate, raw: certificate.raw?.toString('hex'), pubkey: undefined, issuerCertificate: undefined } }));
  };`,
  'app.py': `import json
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps({name: value for name, value in environ.items() if 'SSL' in name or name == 'HTTPS'}).encode()]
`,
};

function start(clients: Record<string, unknown> = {}, settings: Settings = {}): Gwanmun {
  return new Gwanmun({
    ...settings,
    files: {
      'site.pem': site.cert,
      'site-key.pem': site.key,
      'ca.pem': ops.pem,
      'crl.pem': crl,
      ...APPS,
      ...settings.files,
    },
    config: {
      tls: { cert: './site.pem', key: './site-key.pem', clientCertificates: { ca: './ca.pem', ...clients } },
      mounts: [
        { path: '/', app: './app.mjs' },
        { path: '/fetch', app: './fetch.mjs' },
        { path: '/node', app: './node.mjs' },
        { path: '/python', wsgi: 'app' },
      ],
      accessLog: 'json',
      ...settings.config,
    },
  });
}

const port = async (gwanmun: Gwanmun): Promise<number> =>
  Number((await gwanmun.says(/https:\/\/127\.0\.0\.1:(\d+)/))[1]);

interface Asking {
  cert?: string;
  key?: string;
  maxVersion?: 'TLSv1.2';
  ALPNProtocols?: string[];
  headers?: Record<string, string>;
}

/** What a client is answered, or its error. */
async function answer(number: number, path: string, { cert, key, headers, ...others }: Asking = {}): Promise<string> {
  return new Promise((resolve) => {
    const options: RequestOptions & Pick<ConnectionOptions, 'ALPNProtocols'> = {
      port: number,
      host: '127.0.0.1',
      servername: 'a.example',
      path,
      rejectUnauthorized: false,
      agent: false,
      headers: { Host: 'a.example', ...headers },
      ALPNProtocols: ['http/1.1'],
      cert,
      key,
      ...others,
    };
    const asking = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve(text));
    });
    asking.on('error', (error: NodeJS.ErrnoException) => resolve(`error ${error.code}`)).end();
  });
}

const json = async (number: number, path: string, options?: Asking): Promise<Record<string, unknown>> =>
  JSON.parse(await answer(number, path, options)) as Record<string, unknown>;

/** As openssl prints it. */
const openssl = (...args: string[]): string =>
  execFileSync('openssl', ['x509', '-noout', '-nameopt', 'RFC2253', ...args, '-in', alice.file], { encoding: 'utf8' })
    .replace(/^[^=]*=\s?/, '')
    .trim();

describe('applications', () => {
  test('T47 of every kind are told who the client is, whatever it says itself', async () => {
    await using gwanmun = start({ mode: 'optional', crl: './crl.pem' });
    const number = await port(gwanmun);
    const forged = { 'SSL-Client-Verify': 'SUCCESS', SSL_CLIENT_VERIFY: 'SUCCESS', SSL_CLIENT_S_DN: 'CN=root' };
    const dates = execFileSync('openssl', ['x509', '-noout', '-dates', '-in', alice.file], { encoding: 'utf8' });
    const known = {
      HTTPS: 'on',
      SSL_CLIENT_VERIFY: 'SUCCESS',
      SSL_CLIENT_S_DN: openssl('-subject'),
      SSL_CLIENT_I_DN: 'CN=Ops',
      SSL_CLIENT_M_SERIAL: openssl('-serial'),
      SSL_CLIENT_V_START: /notBefore=(.*)/.exec(dates)?.[1],
      SSL_CLIENT_V_END: /notAfter=(.*)/.exec(dates)?.[1],
      SSL_CLIENT_FINGERPRINT_SHA256: openssl('-fingerprint', '-sha256').replaceAll(':', '').toLowerCase(),
      SSL_CLIENT_CERT: alice.cert,
      SSL_ALPN_PROTOCOL: 'http/1.1',
      SSL_TLS_SNI: 'a.example',
    };
    for (const path of ['/', '/python']) {
      expect(await json(number, path, alice)).toMatchObject(known);
      const nobody = await json(number, path, { headers: forged });
      expect(nobody).toMatchObject({ SSL_CLIENT_VERIFY: 'NONE' });
      expect(Object.keys(nobody).filter((name) => name.startsWith('SSL_CLIENT'))).toEqual(['SSL_CLIENT_VERIFY']);
    }
    const { fingerprint256, serialNumber } = new X509Certificate(alice.cert);
    expect(await json(number, '/fetch', alice)).toMatchObject({
      tls: {
        protocol: 'TLSv1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        servername: 'a.example',
        isResumed: false,
        clientCertificate: {
          subject: known.SSL_CLIENT_S_DN,
          issuer: 'CN=Ops',
          serialNumber,
          validFrom: known.SSL_CLIENT_V_START,
          validTo: known.SSL_CLIENT_V_END,
          fingerprint256,
          pem: alice.cert,
        },
      },
    });
    const nobody = await json(number, '/fetch', { headers: forged });
    expect(nobody.tls).not.toHaveProperty('clientCertificate');
    expect(nobody.names).not.toContain('ssl_client_verify');
    await vi.waitFor(() => expect(gwanmun.stdout).toMatch(/"client_verify":"SUCCESS","client_subject":"CN=/));
    expect(gwanmun.stdout).toContain('"client_verify":"NONE","status"');
  });

  test('T46 T47 a Node handler’s socket says what Node’s own would', async () => {
    await using gwanmun = start({ mode: 'optional' });
    const number = await port(gwanmun);
    const code = `const { createServer } = await import('node:https');
      const { default: handler } = await import('./node.mjs');
      const { readFileSync } = await import('node:fs');
      const [cert, key, ca] = ['site.pem', 'site-key.pem', 'ca.pem'].map((name) => readFileSync(name));
      const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: false }, handler);
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
    const own = execFile(process.execPath, ['--input-type=module', '-e', code], { cwd: gwanmun.folder });
    try {
      const theirs = Number(((await once(own.stdout as NodeJS.ReadableStream, 'data')) as [string])[0]);
      for (const options of [alice, { ...alice, maxVersion: 'TLSv1.2' as const }, { ...alice, ALPNProtocols: [] }]) {
        expect(await json(number, '/node', options)).toEqual(await json(theirs, '/node', options));
      }
      const { authorizationError: _, ...rest } = await json(theirs, '/node');
      expect(await json(number, '/node')).toMatchObject(rest);
    } finally {
      own.kill();
    }
  });
});

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

const command = (gwanmun: Gwanmun, ...args: string[]): Promise<Outcome> =>
  new Promise((resolve) => {
    const options = { cwd: gwanmun.folder, env: { ...process.env, NO_COLOR: '1' } };
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });

test('T30 no mount of a server that requires one answers a client without, and files neither', async () => {
  await using gwanmun = start(
    {},
    {
      config: {
        mounts: [
          { path: '/', files: './public' },
          { path: '/app', app: './app.mjs' },
        ],
      },
      files: { 'public/index.html': 'here' },
    },
  );
  const number = await port(gwanmun);
  for (const path of ['/', '/app', '/none'])
    expect(await answer(number, path)).toMatch(/^error (ERR_SSL|EPROTO|ECONNRESET)/);
  expect(await answer(number, '/', alice)).toBe('here');
  await vi.waitFor(() => expect(gwanmun.stdout.match(/"event":"request"/g)).toHaveLength(1));
  const { stdout } = await command(gwanmun, 'status', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ handshakes: { failed: { no_certificate: 3 } } });
});

describe('files', () => {
  const put = (gwanmun: Gwanmun, name: string, text: string): void => writeFileSync(join(gwanmun.folder, name), text);

  test('T45 a list that changes is taken over, and whom it names goes; a bad one changes nothing', async () => {
    using own = new ClientAuthority('Own');
    const [bob, carol] = [own.issue('/CN=bob'), own.issue('/CN=carol')];
    const files = { 'ca.pem': own.pem, 'crl.pem': own.list() };
    await using gwanmun = start({ crl: './crl.pem' }, { files, config: { errorLog: { format: 'text' } } });
    const number = await port(gwanmun);
    const idle = connect({
      port: number,
      host: '127.0.0.1',
      servername: 'a.example',
      rejectUnauthorized: false,
      ...bob,
    });
    await once(idle, 'session');
    const closed = once(idle.resume(), 'end');
    expect(await json(number, '/', bob)).toMatchObject({ SSL_CLIENT_S_DN: 'CN=bob' });
    own.revoke(bob);
    const list = own.list();
    put(gwanmun, 'crl.pem', list);
    await gwanmun.says(
      /info who vouches for clients \(ca\.pem, crl\.pem\) has changed and is in use: CN=Own; 1 revoked/,
    );
    await closed;
    expect(await answer(number, '/', bob)).toMatch(/^error/);
    expect(await json(number, '/', carol)).toMatchObject({ SSL_CLIENT_S_DN: 'CN=carol' });
    for (const [text, why] of [
      ['', /crl\.pem: It is empty/],
      [list.slice(0, 200), /crl\.pem: The section X509 CRL at line 1 has no end/],
      [own.list(-3), /was to be renewed by .*, and the one in use is good/],
      [ops.list(), /has no revocation list of "CN=Own" any more/],
    ] as const) {
      put(gwanmun, 'crl.pem', text);
      await gwanmun.says(why);
      expect(await answer(number, '/', bob)).toMatch(/^error/);
      expect(await json(number, '/', carol)).toMatchObject({ SSL_CLIENT_S_DN: 'CN=carol' });
    }
    const { stdout } = await command(gwanmun, 'certificates');
    expect(stdout).toMatch(
      /✗ clients need a certificate\n {6}of CN=Own, until .*\n {6}revocation list of CN=Own, until .*\n {6}ca\.pem, crl\.pem: 1 revoked\n/,
    );
    expect(stdout).toMatch(/its files hold another one since/);
  });

  test('T45 an authority that is taken out of the file is believed no more', async () => {
    using old = new ClientAuthority('Old');
    const bob = old.issue('/CN=bob');
    await using gwanmun = start({}, { files: { 'ca.pem': ops.pem + old.pem } });
    const number = await port(gwanmun);
    expect(await json(number, '/', bob)).toMatchObject({ SSL_CLIENT_I_DN: 'CN=Old' });
    put(gwanmun, 'ca.pem', ops.pem);
    await gwanmun.says(/ca\.pem\) has changed and is in use: CN=Ops/);
    expect(await answer(number, '/', bob)).toMatch(/^error/);
    const { stdout } = await command(gwanmun, 'certificates', '--json');
    expect(JSON.parse(stdout)).toMatchObject([
      { names: ['a.example'] },
      {
        clientCertificates: {
          mode: 'require',
          authorities: [{ name: 'CN=Ops', daysLeft: 364 }],
          revocations: [],
          fault: null,
        },
      },
    ]);
  });

  test('T212 a list that is out of date refuses all, and check says so', async () => {
    await using gwanmun = start(
      { crl: './crl.pem' },
      { files: { 'crl.pem': ops.list(-2) }, config: { errorLog: { format: 'text' } } },
    );
    const number = await port(gwanmun);
    await gwanmun.says(/error who vouches for clients .*the revocation list of "CN=Ops" was to be renewed by/);
    expect(await answer(number, '/', alice)).toMatch(/^error/);
    await gwanmun.says(
      /"CN=.*", from "CN=Ops", is not accepted: the list of what its authority has revoked is out of date/,
    );
    const { code, stdout, stderr } = await command(gwanmun, 'check');
    expect(code).toBe(1);
    expect(stdout).toMatch(/clients need a certificate/);
    expect(stderr).toMatch(/✗ clients of CN=Ops are refused, by the dates above/);
  });

  test('what cannot be used is an error with its line', async () => {
    for (const [clients, files, message] of [
      [
        { ca: './none.pem' },
        {},
        /GWM_CERT_INVALID {2}the file of clients' authorities none\.pem does not exist[^]*tls\.clientCertificates\.ca/,
      ],
      [
        { crl: './crl.pem' },
        { 'crl.pem': 'nothing' },
        /GWM_CERT_INVALID {2}crl\.pem: There is no revocation list in it[^]*tls\.clientCertificates\.crl/,
      ],
      [{ mode: 'maybe' }, {}, /GWM_CONFIG_INVALID[^]*expected 'require' or 'optional'/],
      [{ ca: undefined }, {}, /GWM_CONFIG_INVALID[^]*clientCertificates/],
    ] as const) {
      await using gwanmun = start(clients, { files });
      expect(await gwanmun.exit()).toBe(2);
      expect(gwanmun.stderr).toMatch(message);
    }
  });
});

test('T85 a program that sets certificates does not by that stop asking for clients’', async () => {
  await using server = await serve({
    port: 0,
    tls: { ...site, clientCertificates: { ca: ops.pem, crl } },
    fetch: (_, { tls }) => new Response(tls?.clientCertificate?.issuer),
  });
  const number = Number(new URL(server.url).port);
  const renewed = made(['a.example']);
  await server.setCertificates(renewed);
  expect(await answer(number, '/')).toMatch(/^error/);
  expect(await answer(number, '/', alice)).toBe('CN=Ops');
  using other = new ClientAuthority('Other');
  await server.setCertificates({ ...renewed, clientCertificates: { ca: other.pem, mode: 'optional' } });
  expect(await answer(number, '/')).toBe('');
  expect(await answer(number, '/', alice)).toMatch(/^error/);
});

test('T50 no variable of the environment lets somebody in', async () => {
  await using gwanmun = start({}, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_EXTRA_CA_CERTS: '/dev/null' } });
  const number = await port(gwanmun);
  expect(await answer(number, '/')).toMatch(/^error /);
  expect(await json(number, '/', alice)).toMatchObject({ SSL_CLIENT_VERIFY: 'SUCCESS' });
});
