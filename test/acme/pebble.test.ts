// Against an authority that refuses nonces at random and asks like the real ones.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { renewalIdOf } from '../../src/acme/request.js';
import { certificateOf } from '../tls/client.js';
import { hasPebble, Pebble } from './pebble.js';
import { FakeClock, makeCore, Site } from './site.js';

const DAY = 86_400_000;
const of = ({ ca, directory }: Pebble): { ca: string; directory: string } => ({ ca, directory });
const own = (pem: string | undefined): X509Certificate =>
  new X509Certificate(pem?.replace(/^[^]*?-----END PRIVATE KEY-----\n/, '') ?? '');

describe.skipIf(!hasPebble)('with pebble', { timeout: 60_000 }, () => {
  for (const kind of ['http-01', 'tls-alpn-01'] as const) {
    test(`T140 T142 T149 T151 T155 a first certificate by ${kind}`, async () => {
      await using core = makeCore();
      const [tls = 0, http = 0] = core.ports;
      await using pebble = await Pebble.start({ tls, http });
      await using site = new Site({ ...of(pebble), core, kinds: [kind] }).begin();
      await site.says(/the certificate for a\.example was issued/);
      const certificate = own(site.certificates.get('a.example'));
      expect(await certificateOf(tls, 'a.example')).toBe(certificate.fingerprint256);
      expect(certificate.subjectAltName).toBe('DNS:a.example');
      // T174
      const files = readdirSync(site.folder, { recursive: true, encoding: 'utf8' }).map((name) =>
        join(site.folder, name),
      );
      for (const file of files) expect([0o40700, 0o100600]).toContain(statSync(file).mode);
      expect(files.filter((file) => /\.tmp$|challenges\//.test(file))).toEqual([]);
      expect(site.acme.status()).toMatchObject([{ name: 'a.example', state: 'issued', failures: 0 }]);
    });
  }

  test('T165 T166 renewal when the authority suggests it, which is told what is replaced', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    const clock = new FakeClock();
    await using site = new Site({ ...of(pebble), core, clock }).begin();
    await site.says(/was issued/);
    const first = site.certificates.get('a.example') ?? '';
    await expect
      .poll(() => site.storage.read('names/a.example.json', (text) => JSON.parse(text) as unknown))
      .toMatchObject({
        renewal: { id: renewalIdOf(first) },
      });
    const [one] = site.acme.status();
    expect(one?.nextAttempt).toBeGreaterThan(Date.now() + DAY);
    await pebble.suggest(own(first).toString(), new Date(Date.now() - DAY), new Date(Date.now() - 1000));
    clock.pass(7 * 3_600_000);
    await site.says(/was issued/, 2);
    const second = site.certificates.get('a.example') ?? '';
    expect(second).not.toBe(first);
    expect(await certificateOf(tls, 'a.example')).toBe(own(second).fingerprint256);
    expect(pebble.log).toMatch(/replac/i);
  });

  test('T152 an RSA key, for who asks for one', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    await using site = new Site({ ...of(pebble), core, keyType: 'rsa' }).begin();
    await site.says(/was issued/);
    const certificate = own(site.certificates.get('a.example'));
    expect(certificate.publicKey.asymmetricKeyType).toBe('rsa');
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(await certificateOf(tls, 'a.example')).toBe(certificate.fingerprint256);
  });

  test('T154 a certificate for an address, of the profile for that', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    await using site = new Site({ ...of(pebble), core, domains: ['127.0.0.1'] }).begin();
    await site.says(/was issued/);
    const certificate = own(site.certificates.get('127.0.0.1'));
    expect(certificate.subjectAltName).toBe('IP Address:127.0.0.1');
    expect(Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)).toBeLessThan(7 * DAY);
  });

  test('T145 T168 a name that leads nowhere is tried again in the other way, and what the authority says is told with what to do', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    await pebble.lead('a.example', false);
    const clock = new FakeClock();
    await using site = new Site({ ...of(pebble), core, clock, domains: ['a.example', 'b.example'] }).begin();
    const { error } = await site.says(/there is no certificate for a\.example yet; the next attempt is at/);
    expect(error).toMatchObject({
      code: 'GWM_ACME_FAILED',
      remedy: expect.stringContaining('dig +short a.example') as string,
    });
    // Another name does not wait for this one.
    await site.says(/the certificate for b\.example was issued/);
    expect(site.acme.status()[0]).toMatchObject({
      state: 'failing',
      failures: 1,
      failure: { message: error?.message.replace(/^[^ ]* /, '') },
    });
    clock.pass(2 * 60_000);
    await site.says(/there is no certificate for a\.example yet/, 2);
    expect(site.storage.read('names/a.example.json', (text) => JSON.parse(text) as unknown)).toMatchObject({
      failures: 2,
      failure: { kind: 'tls-alpn-01' },
    });
    await pebble.lead('a.example', true);
    clock.pass(10 * 60_000);
    await site.says(/the certificate for a\.example was issued/);
  });

  test('T156 an external account; without one the error says what is missing', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    const key = Buffer.alloc(32, 7).toString('base64url');
    await using pebble = await Pebble.start({ tls, http, externalAccounts: { 'kid-1': key } });
    {
      await using site = new Site({ ...of(pebble), core }).begin();
      await site.says(/tls: \{ acme: \{ externalAccount/);
    }
    await using site = new Site({ ...of(pebble), core, externalAccount: { kid: 'kid-1', key } }).begin();
    await site.says(/was issued/);
    expect(readFileSync(join(site.storage.folder, 'account.json'), 'utf8')).not.toContain(key);
  });

  test('T153 an unknown profile: the error names those that there are', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    await using site = new Site({ ...of(pebble), core, profile: 'tlsserver' }).begin();
    await site.says(/no profile "tlsserver".*it offers default, shortlived/);
  });

  test('an authority that was set up anew gets another account', async () => {
    await using core = makeCore();
    const [tls = 0, http = 0] = core.ports;
    await using pebble = await Pebble.start({ tls, http });
    await using first = new Site({ ...of(pebble), core }).begin();
    await first.says(/was issued/);
    await first.acme.end();
    await pebble.end();
    await pebble.begin();
    await using second = new Site({ ...of(pebble), core, storage: first.folder, domains: ['b.example'] }).begin();
    await second.says(/the certificate for b\.example was issued/);
  });
});
