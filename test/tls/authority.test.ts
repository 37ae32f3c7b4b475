// The authority for development: what it makes is taken by clients that trust its root, and its root is good for local names alone.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { rootFile } from '../../src/certificates/authority-folder.js';
import { LocalAuthority } from '../../src/certificates/authority.js';

let folder: string;
beforeEach(() => void (folder = join(mkdtempSync(join(tmpdir(), 'gwanmun-authority-')), 'gwanmun')));
afterEach(() => {
  vi.useRealTimers();
  rmSync(join(folder, '..'), { recursive: true });
});

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test('T200 the root and its key are kept for their owner alone; the certificate is for this machine', () => {
  const { cert } = new LocalAuthority(folder).certificate();
  expect(mode(folder)).toBe('700');
  expect(mode(join(folder, 'root-key.pem'))).toBe('600');
  expect(mode(join(folder, 'localhost.pem'))).toBe('600');
  expect(new X509Certificate(cert).subjectAltName).toBe(
    'DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
  );
  expect(readFileSync(rootFile(folder), 'utf8')).not.toContain('PRIVATE KEY');
});

test('T200 another start has the same root and the same certificate', () => {
  const first = new LocalAuthority(folder).certificate();
  const second = new LocalAuthority(folder).certificate();
  expect(second.cert).toBe(first.cert);
});

test('T202 a third of its time before the end there is a new certificate, of the same root', () => {
  const authority = new LocalAuthority(folder);
  const first = authority.certificate();
  const root = authority.root().pem;
  vi.useFakeTimers({ now: Date.now() + 61 * 86_400_000, toFake: ['Date'] });
  const second = authority.certificate();
  expect(second.cert).not.toBe(first.cert);
  expect(authority.root().pem).toBe(root);
  expect(new X509Certificate(second.cert).verify(new X509Certificate(root).publicKey)).toBe(true);
});

test('a certificate of another root, or a damaged one, is made anew', () => {
  new LocalAuthority(folder).certificate();
  writeFileSync(join(folder, 'localhost.pem'), '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n');
  const { cert } = new LocalAuthority(folder).certificate();
  expect(new X509Certificate(cert).verify(new X509Certificate(readFileSync(rootFile(folder))).publicKey)).toBe(true);
});

describe('clients that trust the root', () => {
  const verify = (cert: string, ...options: string[]): { status: number | null; output: string } => {
    const leaf = join(folder, 'leaf.pem');
    writeFileSync(leaf, cert);
    const { status, stdout, stderr } = spawnSync('openssl', ['verify', '-CAfile', rootFile(folder), ...options, leaf], {
      encoding: 'utf8',
    });
    return { status, output: stdout + stderr };
  };

  test.each([
    ['-verify_hostname', 'localhost'],
    ['-verify_ip', '127.0.0.1'],
    ['-verify_ip', '::1'],
  ])('openssl %s %s takes it', (option, name) => {
    const { cert } = new LocalAuthority(folder).certificate();
    expect(verify(cert, '-x509_strict', '-purpose', 'sslserver', option, name)).toMatchObject({ status: 0 });
  });

  test('Node, curl and Python take it', async () => {
    const { cert, key } = new LocalAuthority(folder).certificate();
    const server = createServer({ cert, key }, (_, response) => response.end('here')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    const run = async (program: string, args: string[], env = {}): Promise<string> => {
      const { stdout } = await promisify(execFile)(program, args, { env: { ...process.env, ...env } });
      return stdout.trim();
    };
    const root = rootFile(folder);
    try {
      expect(await run('curl', ['-sS', '--cacert', root, url])).toBe('here');
      const python =
        'import ssl, sys, urllib.request as r; print(r.urlopen(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2])).read().decode())';
      expect(await run('python3', ['-c', python, url, root])).toBe('here');
      const node = 'fetch(process.argv[1]).then((r) => r.text()).then(console.log)';
      expect(await run(process.execPath, ['-e', node, url], { NODE_EXTRA_CA_CERTS: root })).toBe('here');
      await expect(run(process.execPath, ['-e', node, url])).rejects.toThrow();
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test('none takes what the root’s key certifies for a public name', () => {
    new LocalAuthority(folder).certificate();
    const files = { key: join(folder, 'x.key'), request: join(folder, 'x.csr'), names: join(folder, 'x.ext') };
    const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      files.key,
      '-out',
      files.request,
      '-subj',
      '/CN=x',
    );
    writeFileSync(files.names, 'subjectAltName=DNS:example.com\n');
    const key = join(folder, 'root-key.pem');
    const cert = openssl(
      'x509',
      '-req',
      '-in',
      files.request,
      '-CA',
      rootFile(folder),
      '-CAkey',
      key,
      '-days',
      '1',
      '-extfile',
      files.names,
    );
    const { status, output } = verify(cert, '-verify_hostname', 'example.com');
    expect(status).not.toBe(0);
    expect(output).toContain('permitted subtree violation');
  });
});

test('a folder that cannot be made is an error that names it', () => {
  mkdirSync(join(folder, '..'), { recursive: true });
  writeFileSync(folder, '');
  expect(() => new LocalAuthority(folder).certificate()).toThrow(folder);
  expect(existsSync(join(folder, 'root-key.pem'))).toBe(false);
});
