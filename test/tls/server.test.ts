// A server with HTTPS as an operator has it: files that change under it, reloads, the command line.

import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import type { ServerStatus } from '../../src/supervisor/status.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';
import { ask, certificateOf, fingerprint, handshake } from './client.js';
import { made, type Made } from './made.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const ONE = { cert: './site.pem', key: './site-key.pem' };

function start(site: Made, config: Record<string, unknown> = {}, settings: Settings = {}): Gwanmun {
  return new Gwanmun({
    config: { tls: ONE, ...config },
    files: { 'site.pem': site.cert, 'site-key.pem': site.key, ...settings.files },
    ...settings,
  });
}

const port = async (gwanmun: Gwanmun): Promise<number> =>
  Number((await gwanmun.says(/listening on https:\/\/127\.0\.0\.1:(\d+)/))[1]);

function put(gwanmun: Gwanmun, { cert, key }: Made): void {
  writeFileSync(join(gwanmun.folder, 'site.pem'), cert);
  writeFileSync(join(gwanmun.folder, 'site-key.pem'), key);
}

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function command(gwanmun: Gwanmun, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd: gwanmun.folder, env: { ...process.env, NO_COLOR: '1' } };
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

test('T84 files that change are taken over: new connections get the new certificate, old ones go on', async () => {
  const [before, after] = [made(['a.example'], { to: 30 }), made(['a.example'])];
  await using gwanmun = start(before);
  const number = await port(gwanmun);
  const old = await handshake(number);
  expect(await certificateOf(number)).toBe(fingerprint(before.cert));
  put(gwanmun, after);
  await gwanmun.says(/info the certificate site\.pem has changed and is in use: for a\.example/);
  expect(await certificateOf(number)).toBe(fingerprint(after.cert));
  expect(await ask(old)).toMatch(/^HTTP\/1\.1 404 /);
  old.destroy();
});

test('T82 a reload reads the files again though the configuration is the same', async () => {
  const [before, after] = [made(['a.example', 'b.example'], { to: 30 }), made(['a.example'])];
  await using gwanmun = start(before);
  const number = await port(gwanmun);
  put(gwanmun, after);
  // By itself it would not take one that lacks a name.
  expect(await command(gwanmun, 'reload')).toMatchObject({ code: 0 });
  expect(await certificateOf(number)).toBe(fingerprint(after.cert));
});

test('T72 T83 a reload with a key that does not fit is an error with its line, and changes nothing', async () => {
  const site = made(['a.example']);
  await using gwanmun = start(site);
  const number = await port(gwanmun);
  writeFileSync(join(gwanmun.folder, 'site-key.pem'), made(['a.example']).key);
  const { code, stderr } = await command(gwanmun, 'reload');
  expect(code).toBe(2);
  expect(stderr).toMatch(/GWM_CERT_KEY {2}site-key\.pem \(for site\.pem\): .*does not belong/);
  expect(stderr).toMatch(/at gwanmun\.config\.mjs:1:\d+ {2}tls\.key/);
  expect(await certificateOf(number)).toBe(fingerprint(site.cert));
});

test('T210 gwanmun certificates and status say what is in use, and what is wrong with what came', async () => {
  const site = made(['a.example', 'b.example'], { to: 20 });
  await using gwanmun = start(site);
  await port(gwanmun);
  const healthy = await command(gwanmun, 'certificates');
  expect(healthy.stdout).toMatch(
    /^ {2}[✓!] a\.example, b\.example\n {6}ECDSA P-256, from a test, until \d{4}-\d\d-\d\d: 19 days left\n {6}site\.pem, site-key\.pem\n/,
  );
  writeFileSync(join(gwanmun.folder, 'site.pem'), 'nothing');
  await gwanmun.says(/GWM_CERT_INVALID {2}site\.pem: There is no certificate in it/);
  const [one] = JSON.parse((await command(gwanmun, 'certificates', '--json')).stdout) as Record<string, unknown>[];
  expect(one).toMatchObject({ names: ['a.example', 'b.example'], daysLeft: 19, fault: { code: 'GWM_CERT_INVALID' } });
  const { handshakes } = JSON.parse((await command(gwanmun, 'status', '--json')).stdout) as ServerStatus;
  expect(handshakes).toEqual({ full: 0, resumed: 0, versions: {}, groups: {}, failed: {} });
  const { stdout } = await command(gwanmun, 'status');
  expect(stdout).toMatch(/handshakes {3}0 full, 0 resumed, 0 failed\n/);
  expect(stdout).toMatch(/listening {4}https:\/\/127\.0\.0\.1:\d+\n/);
  expect(stdout).toMatch(/✗ a\.example, b\.example\n[^]*its files hold another one since [^]*GWM_CERT_INVALID/);
});

test('T12 of two certificates for one name the one that is good for longer is served, and the other is warned of', async () => {
  const [short, long] = [made(['a.example'], { to: 30 }), made(['a.example'], { to: 60 })];
  const certificates = [
    { cert: './site.pem', key: './site-key.pem' },
    { cert: './long.pem', key: './long-key.pem' },
  ];
  const files = { 'site.pem': short.cert, 'site-key.pem': short.key, 'long.pem': long.cert, 'long-key.pem': long.key };
  await using gwanmun = start(short, { tls: { certificates } }, { files });
  expect(await certificateOf(await port(gwanmun))).toBe(fingerprint(long.cert));
  await gwanmun.says(/warn the certificate site\.pem: a\.example is served with the certificate of \S*long\.pem/);
});

test('T59 a ticket from before an upgrade is good after it', async () => {
  await using gwanmun = start(made(['a.example']), { tls: { ...ONE, minVersion: '1.3' } });
  const number = await port(gwanmun);
  const first = await handshake(number);
  const ticket = once(first, 'session') as Promise<[Buffer]>;
  await ask(first);
  const [session] = await ticket;
  first.destroy();
  expect(await command(gwanmun, 'upgrade')).toMatchObject({ code: 0 });
  const [, successor] = await gwanmun.says(/process (\d+) has taken over/);
  expect(await gwanmun.exit()).toBe(0);
  const resumed = connect({
    port: number,
    host: '127.0.0.1',
    servername: 'a.example',
    rejectUnauthorized: false,
    session,
  });
  await once(resumed, 'secureConnect');
  expect(resumed.isSessionReused()).toBe(true);
  resumed.destroy();
  process.kill(Number(successor), 'SIGTERM');
  await gwanmun.leavesNobody();
});

test('T91 no worker process has the key in its memory or in its environment', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const site = made(['a.example'], { key: privateKey });
  const secret = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  await using gwanmun = start(site);
  const socket = await handshake(await port(gwanmun));
  await ask(socket);
  socket.destroy();
  const line = site.key.split('\n')[1] as string;
  const has = (pid: number): boolean => memoryOf(pid).some((part) => part.includes(secret) || part.includes(line));
  expect(has(gwanmun.child.pid ?? 0)).toBe(true);
  expect(gwanmun.workers()).toHaveLength(1);
  for (const pid of gwanmun.workers()) {
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain(line);
    expect(has(pid)).toBe(false);
  }
});

/** What a process may write to of its memory. */
function memoryOf(pid: number): Buffer[] {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .flatMap((line) => {
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
        if (from === undefined || to === undefined) return [];
        const part = Buffer.alloc(Math.min(parseInt(to, 16) - parseInt(from, 16), 64 * 1024 * 1024));
        try {
          readSync(memory, part, 0, part.length, parseInt(from, 16));
        } catch {
          // It has been given back meanwhile.
        }
        return [part];
      });
  } finally {
    closeSync(memory);
  }
}

describe('addresses', () => {
  const answers = async (number: number, host: string): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      const options = { port: number, host: '127.0.0.1', path: '/x?y=%41', headers: { Host: host }, agent: false };
      request(options, (response) => {
        response.resume();
        resolve(`${response.statusCode} ${response.headers.location}`);
      })
        .once('error', reject)
        .end();
    });

  test('T195 one with redirect sends to the one with TLS, whose port it knows', async () => {
    await using gwanmun = start(made(['a.example']), {
      listen: [
        { port: 0, tls: true },
        { port: 0, redirect: 'https' },
      ],
    });
    const [, secure, plain] = await gwanmun.says(/listening on https:\S+?:(\d+), http:\S+?:(\d+)/);
    expect(await answers(Number(plain), 'a.example')).toBe(`308 https://a.example:${secure}/x?y=%41`);
  });

  test('T195 or to the port that clients see', async () => {
    await using gwanmun = start(made(['a.example']), {
      listen: [
        { port: 0, tls: true },
        { port: 0, redirect: 443 },
      ],
    });
    const [, plain] = await gwanmun.says(/listening on https:\S+, http:\S+?:(\d+)/);
    expect(await answers(Number(plain), 'a.example')).toBe('308 https://a.example/x?y=%41');
  });

  test('T198 hsts is sent over TLS', async () => {
    await using gwanmun = start(made(['a.example']), { hsts: '1y includeSubDomains' });
    const socket = await handshake(await port(gwanmun));
    expect(await ask(socket)).toMatch(/^strict-transport-security: max-age=31536000; includeSubDomains\r$/im);
    socket.destroy();
  });

  test('minVersion is kept across a change of certificates (T85)', async () => {
    const [before, after] = [made(['a.example'], { to: 30 }), made(['a.example'])];
    await using gwanmun = start(before, { tls: { ...ONE, minVersion: '1.3' } });
    const number = await port(gwanmun);
    put(gwanmun, after);
    await gwanmun.says(/has changed and is in use/);
    const options = ['s_client', '-connect', `127.0.0.1:${number}`, '-servername', 'a.example', '-tls1_2'];
    const refused = await new Promise<string>((resolve) => {
      execFile('openssl', options, (_, stdout, stderr) => resolve(stdout + stderr)).stdin?.end();
    });
    expect(refused).toMatch(/alert protocol version/);
  });
});

describe('gwanmun check', () => {
  const check = async (site: Made): Promise<Outcome> => {
    await using gwanmun = start(site);
    await port(gwanmun);
    return await command(gwanmun, 'check');
  };

  test('T212 lists certificates with their dates', async () => {
    const { code, stdout } = await check(made(['a.example'], { from: -80, to: 10 }));
    expect(code).toBe(0);
    expect(stdout).toMatch(/listen {3}https:[^]*! a\.example\n[^]*: 9 days left[^]*it expires in 9 days/);
  });

  test('T98 says what an RSA key costs, measured', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
    const { code, stdout } = await check(made(['a.example'], { key: privateKey }));
    expect(code).toBe(0);
    const [, times] =
      /the signature of a handshake with site\.pem \(RSA 4096\) takes (\d+) times as long as with ECDSA P-256/.exec(
        stdout,
      ) ?? [];
    expect(Number(times)).toBeGreaterThan(5);
    expect((await check(made(['a.example']))).stdout).not.toContain('times as long');
  });

  test('T73 ends with 1 for one that has expired', async () => {
    const { code, stderr } = await check(made(['a.example'], { from: -9, to: -1 }));
    expect(code).toBe(1);
    expect(stderr).toContain('clients refuse site.pem');
  });
});

test('gwanmun fetch asks as the addresses speak, or as its URL says', async () => {
  const app = `export function application(environ, startResponse) {
    startResponse('200 OK', []);
    return [environ['wsgi.url_scheme'], environ.HTTPS, environ.HTTP_HOST, environ.SSL_TLS_SNI].join(' ');
  }`;
  const site = made(['a.example']);
  await using gwanmun = start(
    site,
    { mounts: [{ path: '/', app: './scheme.mjs' }], hsts: '1h' },
    { files: { 'site.pem': site.cert, 'site-key.pem': site.key, 'scheme.mjs': app } },
  );
  await port(gwanmun);
  const fetched = async (...args: string[]): Promise<string> => (await command(gwanmun, 'fetch', ...args)).stdout;
  expect(await fetched('/')).toMatch(/^https on 127\.0\.0\.1:\d+ localhost$/);
  expect(await fetched('-i', 'https://b.example/')).toMatch(
    /strict-transport-security: max-age=3600\n[^]*https on b\.example b\.example$/i,
  );
  expect(await fetched('http://b.example/')).toBe('http  b.example ');
});

describe('the command line', () => {
  const site = made(['a.example']);
  const files = { 'site.pem': site.cert, 'site-key.pem': site.key, 'page/index.html': 'here' };

  test('--cert and --key serve a folder; gunicorn’s names do too', async () => {
    for (const args of [
      ['--cert', 'site.pem', '--key', 'site-key.pem'],
      ['--certfile=site.pem', '--keyfile=site-key.pem'],
    ]) {
      await using gwanmun = new Gwanmun({ args: ['./page', '--port', '0', ...args], files });
      expect(await certificateOf(await port(gwanmun))).toBe(fingerprint(site.cert));
    }
  });

  test('T200 T203 --tls makes a certificate for this machine, and says how clients trust it', async () => {
    await using gwanmun = new Gwanmun({ args: ['./page', '--port', '0', '--tls'], files, env: { XDG_DATA_HOME: '.' } });
    const number = await port(gwanmun);
    expect(gwanmun.stderr).toContain('curl --cacert gwanmun/root.pem, NODE_EXTRA_CA_CERTS=gwanmun/root.pem');
    const root = join(gwanmun.folder, 'gwanmun/root.pem');
    const text = await new Promise<string>((resolve) => {
      execFile('curl', ['-sS', '--cacert', root, `https://localhost:${number}/`], (_, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
    expect(text).toBe('here');
  });

  test('T87 with a certificate of its own no other is made', async () => {
    await using gwanmun = start(site, {}, { args: ['dev'], env: { XDG_DATA_HOME: '.' } });
    await port(gwanmun);
    expect(existsSync(join(gwanmun.folder, 'gwanmun'))).toBe(false);
  });

  test('T204 an address with tls and no certificate does not start, except in development', async () => {
    const config = { listen: { port: 0, tls: true } };
    await using production = new Gwanmun({ config });
    expect(await production.exit()).toBe(2);
    expect(production.stderr).toMatch(/listen\.tls: there is no certificate for it: add tls: \{/);
    const folder = { XDG_DATA_HOME: production.folder };
    await using development = new Gwanmun({ config, args: ['dev'], env: folder });
    await port(development);
    expect(existsSync(join(production.folder, 'gwanmun/root.pem'))).toBe(true);
  });
});

test('T7 T205 unknown names make no certificates on a development server', async () => {
  await using gwanmun = new Gwanmun({
    args: ['./page', '--port', '0', '--tls'],
    files: { 'page/a': '' },
    env: { XDG_DATA_HOME: '.' },
  });
  const number = await port(gwanmun);
  const before = readdirSync(join(gwanmun.folder, 'gwanmun')).sort();
  for (let count = 0; count < 20; count++)
    await handshake(number, `x${count}.example`).then(
      (socket) => socket.destroy(),
      () => {},
    );
  expect(readdirSync(join(gwanmun.folder, 'gwanmun')).sort()).toEqual(before);
  await vi.waitFor(async () => expect(await certificateOf(number, 'localhost')).toBeTruthy());
});
