// With `user`: keys that root alone may read, while the main process is not root any more.

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, test, vi } from 'vitest';
import { CertificateReader } from '../../src/certificates/reader.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { ClientAuthority } from './client-authority.js';
import { certificateOf, fingerprint } from './client.js';
import { made, type Made } from './made.js';

const NOBODY = 65_534;

const port = async (gwanmun: Gwanmun): Promise<number> =>
  Number((await gwanmun.says(/listening on https:\/\/127\.0\.0\.1:(\d+)/))[1]);

/** As certbot leaves them: the folders and the keys are root's. */
function put(folder: string, number: number, { cert, key }: Made): void {
  for (const name of ['archive', 'live']) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  for (const [name, text] of [
    ['fullchain', cert],
    ['privkey', key],
  ] as const) {
    writeFileSync(join(folder, `archive/${name}${number}.pem`), text, { mode: 0o600 });
    const link = join(folder, `live/${name}.pem`);
    rmSync(link, { force: true });
    symlinkSync(`../archive/${name}${number}.pem`, link);
  }
}

function start(site: Made, clientCertificates?: object, [ca = '', crl = ''] = ['', '']): Gwanmun {
  const gwanmun = new Gwanmun({
    config: {
      tls: { cert: './live/fullchain.pem', key: './live/privkey.pem', clientCertificates },
      user: NOBODY,
      group: NOBODY,
      mounts: [{ path: '/', files: './page' }],
    },
    files: { 'page/index.html': 'here', 'live/.keep': '', 'archive/.keep': '' },
  });
  put(gwanmun.folder, 1, site);
  for (const [name, text] of [
    ['ca', ca],
    ['crl', crl],
  ] as const) {
    writeFileSync(join(gwanmun.folder, `live/${name}.pem`), text, { mode: 0o600 });
  }
  for (const name of ['archive', 'live']) chmodSync(join(gwanmun.folder, name), 0o700);
  chmodSync(gwanmun.folder, 0o755);
  return gwanmun;
}

const uidOf = (pid: number): number => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

const parentOf = (pid: number): number =>
  Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

/** Whether the process has ended, whoever has to take note of it. */
function hasEnded(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

/** The process that reads certificates for another one. */
function readerOf(main: number): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.map(Number).filter((pid) => {
    try {
      return parentOf(pid) === main && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('reads certificates');
    } catch {
      return false;
    }
  });
  expect(found).toHaveLength(1);
  return found[0] as number;
}

describe.skipIf(process.getuid?.() !== 0)('started as root, with a user', () => {
  const sites = [40, 50, 60, 70].map((to) => made(['a.example'], { to })) as [Made, Made, Made, Made];

  test('certificates are read at the start, when they are renewed, at a reload, and by a successor', async () => {
    await using gwanmun = start(sites[0]);
    const number = await port(gwanmun);
    const main = gwanmun.child.pid ?? 0;
    expect(uidOf(main)).toBe(NOBODY);
    const reader = readerOf(main);
    expect(uidOf(reader)).toBe(0);
    expect(await certificateOf(number)).toBe(fingerprint(sites[0].cert));

    put(gwanmun.folder, 2, sites[1]);
    await gwanmun.says(/fullchain\.pem has changed and is in use/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[1].cert));

    put(gwanmun.folder, 3, sites[2]);
    process.kill(main, 'SIGHUP');
    await gwanmun.says(/configuration 2 is in use/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[2].cert));

    process.kill(main, 'SIGUSR2');
    const [, successor] = await gwanmun.says(/process (\d+) has taken over/);
    expect(await gwanmun.exit()).toBe(0);
    expect(uidOf(Number(successor))).toBe(NOBODY);
    expect(await certificateOf(number)).toBe(fingerprint(sites[2].cert));

    // It watches them by the same process.
    gwanmun.stderr = '';
    put(gwanmun.folder, 4, sites[3]);
    await gwanmun.says(/fullchain\.pem has changed and is in use/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[3].cert));
    process.kill(Number(successor), 'SIGTERM');
    await gwanmun.leavesNobody();
    await vi.waitFor(() => expect(hasEnded(reader)).toBe(true), 5000);
  });

  test('T81 certificates that a reload adds need a restart if only root may read them, and that is said', async () => {
    await using gwanmun = new Gwanmun({
      config: { user: NOBODY, group: NOBODY, mounts: [{ path: '/', files: './page' }] },
      files: { 'page/index.html': 'here', 'live/.keep': '', 'archive/.keep': '' },
    });
    put(gwanmun.folder, 1, sites[0]);
    chmodSync(gwanmun.folder, 0o755);
    for (const name of ['archive', 'live']) chmodSync(join(gwanmun.folder, name), 0o755);
    const [, number] = await gwanmun.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    const config = {
      listen: { host: '127.0.0.1', port: Number(number), tls: true },
      tls: { cert: './live/fullchain.pem', key: './live/privkey.pem' },
      user: NOBODY,
      group: NOBODY,
      mounts: [{ path: '/', files: './page' }],
    };
    writeFileSync(join(gwanmun.folder, 'gwanmun.config.mjs'), `export default ${JSON.stringify(config)};\n`);
    process.kill(gwanmun.child.pid ?? 0, 'SIGHUP');
    await gwanmun.says(
      /may not be read by this user \(65534\): it belongs to user 0, its mode is 0600\. The server was root until its start .*: restart it/,
    );
    expect(await fetch(`http://127.0.0.1:${number}/`).then((response) => response.text())).toBe('here');
  });

  test('T45 authorities of clients and what they have revoked are read as certificates are', async () => {
    using ops = new ClientAuthority('Ops');
    const [alice, bob] = [ops.issue('/CN=alice'), ops.issue('/CN=bob')];
    await using gwanmun = start(sites[0], { ca: './live/ca.pem', crl: './live/crl.pem' }, [ops.pem, ops.list()]);
    const number = await port(gwanmun);
    const isLetIn = async (client: Made): Promise<boolean> => {
      const socket = connect({
        port: number,
        host: '127.0.0.1',
        servername: 'a.example',
        rejectUnauthorized: false,
        ...client,
      });
      socket.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
      const got = await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => []);
      socket.destroy();
      return got[0] instanceof Buffer;
    };
    expect(await isLetIn(alice)).toBe(true);
    ops.revoke(alice);
    writeFileSync(join(gwanmun.folder, 'live/crl.pem'), ops.list());
    await gwanmun.says(/crl\.pem\) has changed and is in use: CN=Ops; 1 revoked/);
    expect(await isLetIn(alice)).toBe(false);
    expect(await isLetIn(bob)).toBe(true);
  });

  test('a successor that does not come about leaves everything as it was', async () => {
    await using gwanmun = start(sites[0]);
    const number = await port(gwanmun);
    const main = gwanmun.child.pid ?? 0;
    const file = join(gwanmun.folder, 'gwanmun.config.mjs');
    const config = readFileSync(file, 'utf8');
    writeFileSync(file, 'export default {};\n');
    process.kill(main, 'SIGUSR2');
    await gwanmun.says(/the upgrade failed; this process goes on serving/);
    writeFileSync(file, config);
    put(gwanmun.folder, 2, sites[1]);
    await gwanmun.says(/fullchain\.pem has changed and is in use/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[1].cert));
  });

  test('T81 without the process that reads them, the last good ones stay, and the log says so', async () => {
    await using gwanmun = start(sites[0]);
    const number = await port(gwanmun);
    process.kill(readerOf(gwanmun.child.pid ?? 0), 'SIGKILL');
    await gwanmun.says(/error the process that reads certificates as root has ended/);
    process.kill(gwanmun.child.pid ?? 0, 'SIGHUP');
    await gwanmun.says(/the process that reads certificates as root does not answer; restart the server/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[0].cert));
  });

  test('signals to all processes do not end the one that reads them before the server', async () => {
    await using gwanmun = start(sites[0]);
    const number = await port(gwanmun);
    const reader = readerOf(gwanmun.child.pid ?? 0);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(reader, signal);
    put(gwanmun.folder, 2, sites[1]);
    await gwanmun.says(/fullchain\.pem has changed and is in use/);
    expect(await certificateOf(number)).toBe(fingerprint(sites[1].cert));
    expect(hasEnded(reader)).toBe(false);
  });
});

test('the process that reads certificates gives nothing else of a file, and keeps the lines’ numbers', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-reader-'));
  const reader = CertificateReader.start(
    () => {},
    () => {},
  );
  try {
    const { cert, key } = made(['a.example']);
    const file = join(folder, 'both.pem');
    writeFileSync(file, `secret\n# note\n${key}between\n${cert}-----BEGIN OPENSSH PRIVATE KEY-----\nx\n`);
    const half = join(folder, 'half.pem');
    writeFileSync(half, `a\n${cert.slice(0, 200)}`);
    using ops = new ClientAuthority();
    const list = join(folder, 'crl.pem');
    const crl = ops.list();
    writeFileSync(list, `Certificate Revocation List:\n${crl}`);
    const paths = ['/etc/passwd', file, half, join(folder, 'none'), list];
    const [passwd, both, written, none, revoked] = await reader.read(paths);
    expect(revoked).toMatchObject({ text: `\n${crl.trimEnd()}` });
    expect(passwd).toMatchObject({ text: expect.stringMatching(/^\n*$/) as string });
    expect(both).toMatchObject({ text: `\n\n${key}\n${cert.trimEnd()}` });
    expect(written).toMatchObject({ text: '\n-----BEGIN CERTIFICATE-----\n' });
    expect(none).toEqual({ fault: 'does not exist', state: 'ENOENT' });
  } finally {
    reader.end();
    rmSync(folder, { recursive: true });
  }
});
