// Files of certificates as they are renewed in the world: what is in use afterwards, and what an operator is told.

import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LocalFiles } from '../../src/certificates/files.js';
import { CertificateStore, toCoreTls, type CertificateNotice } from '../../src/certificates/store.js';
import { checkConfig } from '../../src/config/check.js';
import type { CoreTls } from '../../src/config/core.js';
import type { Tls } from '../../src/config/define.js';
import { displayPath } from '../../src/config/display-path.js';
import { resolveTls } from '../../src/config/tls.js';
import type { GwanmunError } from '../../src/errors.js';
import { loadNative } from '../../src/native.js';
import { made, type Made } from './made.js';

let folder: string;
let store: CertificateStore;
let applied: CoreTls[];
let told: CertificateNotice[];
/** The core refuses what it gets. */
let refusal: Error | undefined;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-store-')));
  applied = [];
  told = [];
  refusal = undefined;
  const native = loadNative();
  store = new CertificateStore({
    native,
    files: (onChange) => new LocalFiles(native.silentPaths, onChange),
    makeLocal: () => Promise.reject(new Error('not here')),
    apply: (tls) => {
      if (refusal !== undefined) throw refusal;
      applied.push(tls);
    },
    served: () => [],
    tell: (notice) => told.push(notice),
  });
});
afterEach(() => {
  store.end();
  rmSync(folder, { recursive: true });
});

const put = (name: string, text: string): void => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
};

const putPair = ({ cert, key }: Made, name = 'site'): void => {
  put(`${name}.pem`, cert);
  put(`${name}-key.pem`, key);
};

const ONE: Tls = { cert: './site.pem', key: './site-key.pem' };

async function load(tls: Tls = ONE): Promise<CoreTls | undefined> {
  const source = { name: 'gwanmun.config.ts' };
  const { tls: checked } = checkConfig({ tls, mounts: [{ path: '/', files: '.' }] }, source);
  const loaded = await store.load(resolveTls(checked, undefined, folder, source, { env: {}, faults: [] }));
  store.adopt(loaded);
  return toCoreTls(loaded);
}

async function failure(tls: Tls = ONE): Promise<GwanmunError> {
  return load(tls).then(
    () => expect.unreachable('it is used'),
    (error: unknown) => error as GwanmunError,
  );
}

/** Waits until the core has got this certificate. */
async function inUse({ cert }: Made): Promise<void> {
  await vi.waitFor(() => expect(applied.at(-1)?.certificates.map((one) => one.cert)).toContain(cert), 8000);
}

/** A file of the folder as messages name it. */
const shown = (name: string): string => displayPath(join(folder, name));

const toldErrors = (): string[] => told.flatMap(({ error }) => (error === undefined ? [] : [error.message]));

describe('at the start', () => {
  test('certificate and key are given to the core, with their path as label', async () => {
    const site = made(['a.example']);
    putPair(site);
    expect(await load()).toEqual({
      certificates: [{ label: shown('site.pem'), ...site, isDefault: false }],
    });
    expect(store.status()).toMatchObject([{ names: ['a.example'], issuer: 'a test', keyType: 'ECDSA P-256' }]);
  });

  test('T71 one file may hold both', async () => {
    const { cert, key } = made(['a.example']);
    put('both.pem', key + cert);
    expect(await load({ cert: './both.pem' })).toBeDefined();
  });

  test('a text in the place of a path is what the file would hold', async () => {
    const { cert, key } = made(['a.example']);
    expect((await load({ cert, key: Buffer.from(key) }))?.certificates).toMatchObject([
      { label: 'tls.cert', cert, key },
    ]);
  });

  test('T71 no file, no key, and an encrypted key are errors that name the file', async () => {
    const { cert } = made(['a.example']);
    put('site.pem', cert);
    expect(await failure()).toMatchObject({
      code: 'GWM_CERT_KEY',
      message: `the private key ${shown('site-key.pem')} does not exist`,
    });
    expect(await failure({ cert: './site.pem' })).toMatchObject({ code: 'GWM_CERT_KEY' });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    put(
      'site-key.pem',
      privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string,
    );
    expect((await failure()).message).toMatch(/site-key\.pem.*line 1 is encrypted/);
    expect(await failure({ cert: './none.pem' })).toMatchObject({ code: 'GWM_CERT_INVALID' });
  });

  test('T72 a key of another certificate is an error that names both files', async () => {
    putPair({ cert: made(['a.example']).cert, key: made(['a.example']).key });
    const { code, message } = await failure();
    expect(code).toBe('GWM_CERT_KEY');
    expect(message).toContain(`${shown('site-key.pem')} (for ${shown('site.pem')})`);
  });

  test('T73 an expired certificate is served, with an error', async () => {
    putPair(made(['a.example'], { from: -90, to: -1 }));
    await load();
    expect(told).toMatchObject([
      { level: 'error', message: expect.stringMatching(/site\.pem: it expired on 20/) as string },
    ]);
  });

  test('T73 one that is not valid yet is served, with an error', async () => {
    putPair(made(['a.example'], { from: 1 }));
    await load();
    expect(told).toMatchObject([{ level: 'error', message: expect.stringMatching(/not valid before/) as string }]);
  });

  test('T89 a certificate that names no host is refused', async () => {
    putPair(made([]));
    expect(await failure()).toMatchObject({
      code: 'GWM_CERT_INVALID',
      message: expect.stringContaining('names no host') as string,
    });
  });

  test('T89 a short RSA key and a signature with SHA-1 are refused', async () => {
    putPair(made(['a.example'], { key: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey }));
    expect((await failure()).message).toMatch(/Its RSA key has 1024 bits/);
    const [key, cert] = [join(folder, 'site-key.pem'), join(folder, 'site.pem')];
    // prettier-ignore
    execFileSync('openssl', ['req', '-x509', '-nodes', '-sha1', '-subj', '/CN=x', '-newkey', 'rsa:2048',
      '-keyout', key, '-out', cert, '-addext', 'subjectAltName=DNS:a.example'], { stdio: 'ignore' });
    expect((await failure()).message).toMatch(/signed with SHA-1/);
  });

  test('T88 a key that everybody may read is warned of, with the command', async () => {
    putPair(made(['a.example']));
    chmodSync(join(folder, 'site-key.pem'), 0o644);
    await load();
    expect(told).toMatchObject([
      { level: 'warn', message: expect.stringContaining(`chmod 600 ${shown('site-key.pem')}`) as string },
    ]);
  });

  test('all that cannot be used are named at once', async () => {
    const { problems } = await failure({ certificates: [{ cert: './a.pem' }, { cert: './b.pem' }] });
    expect(problems?.map(({ where }) => where?.key)).toEqual(['tls.certificates[0].cert', 'tls.certificates[1].cert']);
  });

  test('a pipe, a folder and a device in its place keep nobody waiting', async () => {
    mkdirSync(join(folder, 'site.pem'));
    expect((await failure({ cert: './site.pem' })).message).toContain('is a folder');
    expect((await failure({ cert: '/dev/null' })).message).toContain('is not a file');
  });
});

describe('a renewed certificate is taken over', () => {
  const before = made(['a.example'], { to: 30 });
  const after = made(['a.example']);

  test('T78 written in place', async () => {
    putPair(before);
    await load();
    putPair(after);
    await inUse(after);
    expect(told.at(-1)?.message).toMatch(/site\.pem has changed and is in use: for a\.example, from a test, until/);
  });

  test('T78 renamed over, and removed and made anew', async () => {
    putPair(before);
    await load();
    putPair(after, 'new');
    renameSync(join(folder, 'new.pem'), join(folder, 'site.pem'));
    renameSync(join(folder, 'new-key.pem'), join(folder, 'site-key.pem'));
    await inUse(after);
    for (const name of ['site.pem', 'site-key.pem']) rmSync(join(folder, name));
    putPair(before);
    await inUse(before);
  });

  test("T78 by certbot's links", async () => {
    mkdirSync(join(folder, 'archive'));
    mkdirSync(join(folder, 'live'));
    putPair(before, 'archive/site1');
    putPair(after, 'archive/site2');
    const link = (number: number): void => {
      for (const [name, target] of [
        ['fullchain.pem', `site${number}.pem`],
        ['privkey.pem', `site${number}-key.pem`],
      ] as const) {
        rmSync(join(folder, 'live', name), { force: true });
        symlinkSync(`../archive/${target}`, join(folder, 'live', name));
      }
    };
    link(1);
    await load({ cert: './live/fullchain.pem', key: './live/privkey.pem' });
    link(2);
    await inUse(after);
  });

  test('T77 by the swapped folder of a Kubernetes secret, the second and the third time too', async () => {
    const names = ['tls.crt', 'tls.key'];
    const mount = (version: string, { cert, key }: Made): void => {
      mkdirSync(join(folder, version));
      put(`${version}/tls.crt`, cert);
      put(`${version}/tls.key`, key);
      symlinkSync(version, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    mount('..2026_1', before);
    for (const name of names) symlinkSync(`..data/${name}`, join(folder, name));
    chmodSync(join(folder, '..2026_1/tls.key'), 0o644);
    await load({ cert: './tls.crt', key: './tls.key' });
    // The modes of a mounted secret are the cluster's.
    expect(told).toEqual([]);
    for (const [version, own] of [
      ['..2026_2', after],
      ['..2026_3', before],
      ['..2026_4', after],
    ] as const) {
      mount(version, own);
      await inUse(own);
    }
  });

  test('T80 with the same key, and when the key alone is new', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [first, second] = [made(['a.example'], { key: privateKey }), made(['a.example'], { key: privateKey })];
    putPair(first);
    await load();
    put('site.pem', second.cert);
    await inUse(second);
    const third = made(['a.example']);
    put('site-key.pem', third.key);
    await vi.waitFor(() => expect(toldErrors()).toHaveLength(1), 5000);
    put('site.pem', third.cert);
    await inUse(third);
  });

  test('T76 a burst of events is one change', async () => {
    putPair(before);
    await load();
    for (let count = 0; count < 20; count++) {
      put('site.pem', after.cert.slice(0, 100 + count));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    putPair(after);
    await inUse(after);
    expect(applied).toHaveLength(1);
    expect(toldErrors()).toEqual([]);
  });

  test('T83 T85 of one among many, the others stay as they are', async () => {
    const other = made(['b.example']);
    putPair(before);
    putPair(other, 'other');
    await load({
      certificates: [
        { cert: './site.pem', key: './site-key.pem' },
        { cert: './other.pem', key: './other-key.pem', default: true },
      ],
    });
    putPair(after);
    await inUse(after);
    expect(applied.at(-1)?.certificates).toMatchObject([
      { ...after, isDefault: false },
      { ...other, isDefault: true },
    ]);
  });
});

describe('a bad one never takes the place of a good one', () => {
  const good = made(['a.example', '*.a.example'], { to: 30 });
  const next = made(['a.example', '*.a.example']);

  test('T72 T75 while certificate and key do not fit, the old pair stays; then the new one comes', async () => {
    putPair(good);
    await load();
    put('site-key.pem', next.key);
    await vi.waitFor(() => expect(toldErrors()).toHaveLength(1), 5000);
    expect(toldErrors()[0]).toContain('does not belong to the certificate');
    expect(applied).toEqual([]);
    const [status] = store.status();
    expect(status).toMatchObject({ fault: { error: { code: 'GWM_CERT_KEY' } } });
    expect(status?.fault?.nextAttempt).toBeGreaterThan(status?.fault?.since ?? 0);
    put('site.pem', next.cert);
    await inUse(next);
    expect(store.status()[0]?.fault).toBeUndefined();
  });

  test.each<[string, string, RegExp]>([
    ['T75 an empty file', '', /It is empty/],
    ['T75 half of one', good.cert.slice(0, good.cert.length / 2), /has no end/],
    ['T74 an expired one', made(['a.example', '*.a.example'], { from: -30, to: -1 }).cert, /does not belong|expired/],
  ])('%s', async (_, text, expected) => {
    putPair(good);
    await load();
    put('site.pem', text);
    await vi.waitFor(() => expect(toldErrors().join()).toMatch(expected), 5000);
    expect(applied).toEqual([]);
  });

  test('T74 an expired pair, also when a reload brings it', async () => {
    putPair(good);
    await load();
    putPair(made(['a.example', '*.a.example'], { from: -30, to: -1 }));
    await vi.waitFor(() => expect(toldErrors().join()).toMatch(/expired on .* and the one in use has not/), 5000);
    expect((await failure()).message).toMatch(/expired on/);
    expect(applied).toEqual([]);
  });

  test('T74 one that lacks a name; a reload says that it is meant', async () => {
    putPair(good);
    await load();
    const less = made(['a.example']);
    putPair(less);
    await vi.waitFor(() => expect(toldErrors().join()).toContain('is not for *.a.example any more'), 5000);
    expect(applied).toEqual([]);
    expect((await load())?.certificates[0]?.cert).toBe(less.cert);
  });

  test('T81 a file that is gone: one error, and all is well when it is back', async () => {
    putPair(good);
    await load();
    rmSync(join(folder, 'site.pem'));
    await vi.waitFor(() => expect(toldErrors()).toHaveLength(1), 5000);
    // It is looked for again meanwhile.
    await vi.waitFor(() => expect(store.status()[0]?.fault?.nextAttempt).toBeGreaterThan(Date.now() + 2500), 8000);
    expect(toldErrors()).toHaveLength(1);
    put('site.pem', good.cert);
    await vi.waitFor(() => expect(store.status()[0]?.fault).toBeUndefined(), 8000);
  });

  test('what the core refuses', async () => {
    putPair(good);
    await load();
    refusal = Object.assign(new Error('no'), { code: 'GWM_CERT_INVALID' });
    putPair(next);
    await vi.waitFor(() => expect(toldErrors()).toHaveLength(1), 5000);
    expect(store.status()[0]?.notAfter).toBeLessThan(Date.now() + 31 * 86_400_000);
  });
});

test('T90 no status and no notice has a key in it', async () => {
  const site = made(['a.example']);
  putPair(site);
  await load();
  put('site-key.pem', made(['a.example']).key);
  await vi.waitFor(() => expect(toldErrors()).toHaveLength(1), 5000);
  const shown = JSON.stringify([store.status(), told.map((notice) => ({ ...notice, error: notice.error?.toJSON() }))]);
  expect(shown).not.toContain('PRIVATE KEY');
});
