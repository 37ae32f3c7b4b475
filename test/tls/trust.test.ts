// gwanmun trust: says what it would change, and changes it when told.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Machine } from '../../src/certificates/trust-stores.js';
import { trust } from '../../src/cli/trust.js';

const SYSTEM = 'usr/local/share/ca-certificates';

let folder: string;
let machine: Machine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-trust-'));
  for (const path of [SYSTEM, 'bin', 'home/.pki/nssdb', 'home/.mozilla/firefox/x.default']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  for (const path of ['home/.pki/nssdb', 'home/.mozilla/firefox/x.default']) {
    writeFileSync(join(folder, path, 'cert9.db'), '');
  }
  for (const name of ['update-ca-certificates', 'certutil']) {
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\necho "${name} $*" >> ${folder}/calls\n`);
    chmodSync(join(folder, 'bin', name), 0o755);
  }
  const env = { ...process.env, PATH: `${folder}/bin:${process.env['PATH']}`, XDG_DATA_HOME: join(folder, 'data') };
  machine = { root: folder, home: join(folder, 'home'), env };
  vi.spyOn(process, 'getuid').mockReturnValue(0);
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const calls = (): string => (existsSync(join(folder, 'calls')) ? readFileSync(join(folder, 'calls'), 'utf8') : '');
const trusted = (): string[] => readdirSync(join(folder, SYSTEM));

test('T201 it says what it would change, and changes nothing', () => {
  const text = trust('trust', false, machine);
  expect(text).toContain('Nothing has changed yet.');
  expect(text).toMatch(
    /install -m 644 \S+\/data\/gwanmun\/root\.pem \S+\/ca-certificates\/gwanmun-[0-9a-f]{8}\.crt\n {4}update-ca-certificates\n/,
  );
  expect(text).toMatch(/certutil -A -d sql:\S+\/home\/\.pki\/nssdb -n 'gwanmun [0-9a-f]{8}' -t C,, -i /);
  expect(text).toContain('x.default');
  expect(trusted()).toEqual([]);
  expect(calls()).toBe('');
});

test('T203 it names the root for clients with a list of their own', () => {
  const text = trust('trust', false, machine);
  for (const words of ['curl --cacert', 'NODE_EXTRA_CA_CERTS=', 'SSL_CERT_FILE=']) {
    expect(text).toContain(`${words}${words.endsWith('=') ? '' : ' '}${folder}/data/gwanmun/root.pem`);
  }
});

test('T201 told to, it does it, and untrust reverts it', () => {
  expect(trust('trust', true, machine)).toMatch(
    /✓ trusted by the system[^]*✓ trusted by browsers[^]*✓ trusted by browsers/,
  );
  const [name = ''] = trusted();
  expect(readFileSync(join(folder, SYSTEM, name), 'utf8')).toBe(
    readFileSync(join(folder, 'data/gwanmun/root.pem'), 'utf8'),
  );
  expect(calls()).toMatch(/^update-ca-certificates \ncertutil -A [^\n]*nssdb[^\n]*\ncertutil -A [^\n]*x\.default/);
  expect(trust('untrust', false, machine)).toContain('Nothing has changed yet.');
  expect(trusted()).toEqual([name]);
  expect(trust('untrust', true, machine)).toContain('✓ not trusted by the system');
  expect(trusted()).toEqual([]);
  expect(calls()).toMatch(/certutil -D [^\n]*x\.default/);
});

test('T201 what only root may do is printed, never done by sudo', () => {
  vi.spyOn(process, 'getuid').mockReturnValue(1000);
  const text = trust('trust', true, machine);
  expect(text).toMatch(/! not changed: the system[^\n]* that is for root to do:\n {4}sudo install -m 644 /);
  expect(text).toContain('✓ trusted by browsers');
  expect(trusted()).toEqual([]);
});

test('without certutil it says which package has it', () => {
  rmSync(join(folder, 'bin/certutil'));
  const withoutTools = { ...machine, env: { ...machine.env, PATH: `${folder}/bin` } };
  expect(trust('trust', false, withoutTools)).toContain('needs certutil, of the package libnss3-tools or nss-tools');
});

test('untrust where there is no root says so', () => {
  expect(trust('untrust', true, machine)).toContain('there is no root of gwanmun');
});
