// The whole of it, as an operator has it: the command, its log, its tables, restarts and upgrades.

import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { certificateOf } from '../tls/client.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';
import { freePort, hasPebble, Pebble, type PebbleOptions } from './pebble.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

interface World {
  readonly ports: readonly [tls: number, http: number];
  readonly pebble: Pebble;
  readonly storage: string;
  start(config?: Record<string, unknown>, settings?: Settings): Gwanmun;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An authority, and a folder for the certificates of however many servers. */
async function world(options: Partial<PebbleOptions> = {}): Promise<World> {
  const [tls, http] = [await freePort(), await freePort()];
  const pebble = await Pebble.start({ tls, http, ...options });
  const storage = mkdtempSync(join(tmpdir(), 'gwanmun-kept-'));
  return {
    ports: [tls, http],
    pebble,
    storage,
    start: (config = {}, settings = {}) => {
      const acme = { domains: ['a.example'], directory: pebble.directory, ca: './ca.pem', storage };
      const listen = [
        { host: '127.0.0.1', port: tls, tls: true },
        { host: '127.0.0.1', port: http, redirect: 'https' },
      ];
      return new Gwanmun({ ...settings, config: { listen, tls: { acme }, ...config }, files: { 'ca.pem': pebble.ca } });
    },
    async [Symbol.asyncDispose]() {
      await pebble[Symbol.asyncDispose]();
      rmSync(storage, { recursive: true });
    },
  };
}

function printed(gwanmun: Gwanmun, ...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { cwd: gwanmun.folder, env: { ...process.env, NO_COLOR: '1' } };
    execFile(process.execPath, [MAIN, ...args], options, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe.skipIf(!hasPebble)('with pebble', { timeout: 60_000 }, () => {
  test('T162 T171 T210 it serves at once, has its certificate in seconds, says so, and keeps it across a restart', async () => {
    await using all = await world();
    const [tls, http] = all.ports;
    let certificate: string;
    {
      await using gwanmun = all.start();
      await gwanmun.says(/listening on https/);
      await gwanmun.says(/info an account was made; these terms of service were agreed to: /);
      await gwanmun.says(/info the certificate for a\.example was issued, until/);
      certificate = await certificateOf(tls, 'a.example');
      const redirect = await fetch(`http://127.0.0.1:${http}/x`, { redirect: 'manual' });
      // Of another host nothing is said.
      expect(redirect.status).toBe(404);
      const table = await printed(gwanmun, 'certificates');
      expect(table).toMatch(
        /^ {2}[✓!] a\.example\n {6}ECDSA P-256, from .*, until .*\n {6}by ACME from localhost:\d+, renewed by itself on \d{4}-/,
      );
      expect(await printed(gwanmun, 'status')).toContain('by ACME from localhost');
      const [one] = JSON.parse(await printed(gwanmun, 'certificates', '--json')) as Record<string, unknown>[];
      expect(one).toMatchObject({ names: ['a.example'], acme: { state: 'issued', failures: 0, failure: null } });
    }
    await using again = all.start();
    await again.says(/listening on https/);
    expect(await certificateOf(tls, 'a.example')).toBe(certificate);
    expect(all.pebble.count(/There are now \d+ certificates in the db/i)).toBeLessThan(3);
  });

  test('T172 what the authority has against it stands in the log and in the table, with what to do', async () => {
    await using all = await world();
    await using gwanmun = all.start({
      tls: {
        acme: { domains: ['blocked.example'], directory: all.pebble.directory, ca: './ca.pem', storage: './kept' },
      },
    });
    await gwanmun.says(/error there is no certificate for blocked\.example yet; the next attempt is at/);
    await gwanmun.says(/GWM_ACME_FAILED {2}localhost:\d+: .*blocked\.example/);
    const table = await printed(gwanmun, 'certificates');
    expect(table).toMatch(
      /✗ blocked\.example: no certificate yet\n.*\n {6}an attempt at .*Z failed: .*blocked\.example.*\n {6}try: the authority does not issue for blocked\.example/,
    );
    expect(JSON.parse(await printed(gwanmun, 'certificates', '--json'))).toMatchObject([
      { names: ['blocked.example'], acme: { state: 'failing' } },
    ]);
  });

  test('T180 an upgrade in the middle of an order: the new process goes on, and both serve', async () => {
    await using all = await world({ slow: 2 });
    const [tls] = all.ports;
    await using gwanmun = all.start();
    await gwanmun.says(/an account was made/);
    await all.pebble.until(/Pulled a task from the Tasks queue/);
    await printed(gwanmun, 'upgrade');
    const [, successor] = await gwanmun.says(/process (\d+) has taken over/);
    await gwanmun.says(/the certificate for a\.example was issued/);
    expect(await certificateOf(tls, 'a.example')).toMatch(/:/);
    expect(gwanmun.stderr.match(/an account was made/g)).toHaveLength(1);
    process.kill(Number(successor), 'SIGTERM');
    await gwanmun.leavesNobody();
  });

  test('T181 a reload with another name: that gets a certificate, and the others are served meanwhile', async () => {
    await using all = await world();
    const [tls] = all.ports;
    await using gwanmun = all.start();
    await gwanmun.says(/the certificate for a\.example was issued/);
    const first = await certificateOf(tls, 'a.example');
    const file = join(gwanmun.folder, 'gwanmun.config.mjs');
    const more = readFileSync(file, 'utf8').replace('["a.example"]', '["a.example","b.example"]');
    writeFileSync(file, more);
    gwanmun.child.kill('SIGHUP');
    await gwanmun.says(/configuration 2 is in use/);
    await gwanmun.says(/the certificate for b\.example was issued/);
    expect(await certificateOf(tls, 'a.example')).toBe(first);
    expect(await certificateOf(tls, 'b.example')).not.toBe(first);
  });

  test.skipIf(process.getuid?.() !== 0)('T174 as root with a user, all that is kept is the user’s', async () => {
    await using all = await world();
    await using gwanmun = all.start({ user: 'nobody', mounts: [{ path: '/', files: '.' }] });
    chmodSync(gwanmun.folder, 0o755);
    await gwanmun.says(/the certificate for a\.example was issued/);
    const folder = all.storage;
    const { uid } = statSync(folder);
    expect(uid).not.toBe(0);
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      expect([name, statSync(join(folder, name)).uid]).toEqual([name, uid]);
    }
  });
});
