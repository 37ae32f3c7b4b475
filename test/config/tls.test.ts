// HTTPS in a configuration: which addresses speak it, with which certificates, and what is said about first guesses.

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../src/config/check.js';
import type { CoreListener } from '../../src/config/core.js';
import type { Config } from '../../src/config/define.js';
import { resolveConfig, type Overrides } from '../../src/config/resolve.js';
import type { ResolvedConfig } from '../../src/config/resolved.js';
import { toCoreConfig } from '../../src/config/to-core.js';
import type { GwanmunError } from '../../src/errors.js';

let directory: string;
beforeAll(() => void (directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-tls-')))));
afterAll(() => rmSync(directory, { recursive: true }));

const TLS = { cert: './fullchain.pem', key: './privkey.pem' };

function resolved(config: Record<string, unknown>, overrides: Overrides = {}): ResolvedConfig {
  const source = { name: 'gwanmun.config.ts' };
  const checked = checkConfig({ mounts: [{ path: '/', files: '.' }], ...config }, source);
  return resolveConfig({ config: checked, directory, source }, overrides, {});
}

/** What is wrong, each with its key. */
function faults(config: Record<string, unknown>, overrides?: Overrides): string[] {
  try {
    resolved(config, overrides);
  } catch (error) {
    const { message, problems } = error as GwanmunError;
    return problems?.map(({ where, message: own }) => `${where?.key}: ${own}`) ?? [message];
  }
  return [];
}

const spoken = ({ listen }: ResolvedConfig): string[] =>
  listen.map((one: CoreListener) => {
    const address = one.kind === 'tcp' ? String(one.port) : 'unix';
    const redirect = one.kind === 'tcp' && one.redirect !== undefined ? ` to ${one.redirect}` : '';
    return `${address}${one.tls === true ? ' tls' : ''}${redirect}`;
  });

describe('an address speaks TLS', () => {
  test.each<[string, Config['listen'], string[]]>([
    ['if there are certificates and none says it', [443, 8443], ['443 tls', '8443 tls']],
    ['if it says so, and then only it', [80, { port: 443, tls: true }], ['80', '443 tls']],
    ['not if it redirects', [{ port: 80, redirect: 'https' }, 443], ['80 to 443', '443 tls']],
    [
      'not if it says that it does not',
      [
        { port: 80, tls: false },
        { port: 443, tls: true },
      ],
      ['80', '443 tls'],
    ],
    ['not by itself if it is a Unix socket', ['unix:./a.sock', 443], ['unix', '443 tls']],
    ['if a Unix socket says so', { unix: './a.sock', tls: true }, ['unix tls']],
    [
      'and a redirect may name the port that clients see',
      [8443, { port: 8080, redirect: 443 }],
      ['8443 tls', '8080 to 443'],
    ],
  ])('%s', (_, listen, expected) => {
    expect(spoken(resolved({ tls: TLS, listen }))).toEqual(expected);
  });

  test('of no certificates nothing speaks it', () => {
    expect(spoken(resolved({ listen: 443 }))).toEqual(['443']);
    expect(toCoreConfig(resolved({}))).not.toHaveProperty('minTls');
  });

  test('--port keeps what the one address says', () => {
    expect(spoken(resolved({ tls: TLS, listen: { port: 443, tls: true } }, { port: 8443 }))).toEqual(['8443 tls']);
  });
});

describe('certificates', () => {
  test('are paths relative to the configuration; the key is in the same file by default', () => {
    const both = { file: join(directory, 'both.pem') };
    expect(resolved({ tls: { cert: './both.pem' } }).tls?.certificates).toMatchObject([{ cert: both, key: both }]);
  });

  test('of a flag take the place of those of the configuration', () => {
    const { tls } = resolved({ tls: TLS }, { tls: { cert: 'a.pem', key: 'b.pem' } });
    expect(tls?.certificates).toMatchObject([
      { cert: { file: join(process.cwd(), 'a.pem') }, where: { key: { key: '--key b.pem' } } },
    ]);
    expect(resolved({ tls: TLS }, { tls: 'local' }).tls?.certificates).toBe('local');
  });

  test('T204 are local ones in development, for an address that wants one and has none', () => {
    const listen = { port: 443, tls: true };
    expect(resolved({ listen }, { development: true }).tls?.certificates).toBe('local');
    expect(faults({ listen })).toEqual([
      "listen[0].tls: there is no certificate for it: add tls: { cert: './fullchain.pem', key: './privkey.pem' }",
    ]);
  });
});

test.each([
  ['1y', 'max-age=31536000'],
  ['1y includeSubDomains', 'max-age=31536000; includeSubDomains'],
  ['2y includeSubDomains preload', 'max-age=63072000; includeSubDomains; preload'],
  ['0s', 'max-age=0'],
])('T198 hsts %s is %s', (written, header) => {
  expect(toCoreConfig(resolved({ tls: TLS, hsts: written })).hsts).toBe(header);
});

test('minVersion reaches the core', () => {
  expect(toCoreConfig(resolved({ tls: { ...TLS, minVersion: '1.3' } })).minTls).toBe('1.3');
});

describe('certificates by themselves', () => {
  test('the names are brought into their normal form, and reach the core', () => {
    const acme = {
      domains: ['Example.ORG.', 'bücher.example.org', '2001:DB8::1', 'example.org'],
      directory: 'https://ca.lan/dir',
    };
    const config = resolved({ tls: { acme }, listen: { port: 443, tls: true } });
    expect(toCoreConfig(config).domains).toEqual(['example.org', 'xn--bcher-kva.example.org', '2001:db8::1']);
    expect(config.tls?.acme).toMatchObject({ directory: 'https://ca.lan/dir', terms: undefined });
  });

  test('--domain listens at the usual ports of every address, unless the configuration or a flag says otherwise', () => {
    const overrides: Overrides = { tls: { domains: ['example.org'], email: 'a@example.org' } };
    const config = resolved({}, overrides);
    expect(config.listen).toEqual([
      { kind: 'tcp', host: '::', port: 443, tls: true },
      { kind: 'tcp', host: '::', port: 80, redirect: 443 },
    ]);
    expect(config.tls?.acme).toMatchObject({
      domains: ['example.org'],
      email: 'a@example.org',
      directory: 'https://acme-v02.api.letsencrypt.org/directory',
      terms: 'https://letsencrypt.org/repository/',
    });
    expect(spoken(resolved({}, { ...overrides, port: 8443 }))).toEqual(['8443 tls', '80 to 8443']);
    expect(spoken(resolved({ listen: { port: 4000 } }, overrides))).toEqual(['4000 tls']);
  });

  test('gwanmun dev asks no authority for anything: it has a certificate for this machine', () => {
    const tls = { acme: { domains: 'example.org' } };
    expect(resolved({ tls }, { development: true }).tls).toMatchObject({ certificates: 'local', acme: undefined });
  });

  test('the storage is the service manager’s, root’s, this user’s, or what is written', () => {
    const storage = (
      env: NodeJS.ProcessEnv,
      config: Record<string, unknown> = {},
      acme: Record<string, unknown> = {},
    ): string | undefined => {
      const source = { name: 'gwanmun.config.ts' };
      const tls = { acme: { domains: 'example.org', ...acme } };
      const checked = checkConfig({ mounts: [{ path: '/', files: '.' }], tls, ...config }, source);
      return resolveConfig({ config: checked, directory, source }, {}, env).tls?.acme?.storage;
    };
    expect(storage({ STATE_DIRECTORY: '/var/lib/site:/other' })).toBe('/var/lib/site/acme');
    expect(storage({}, { user: 'www-data' })).toBe('/var/lib/gwanmun/acme');
    expect(storage({}, {}, { storage: './kept' })).toBe(join(directory, 'kept'));
    if (process.geteuid?.() !== 0) expect(storage({ XDG_DATA_HOME: '/data' })).toBe('/data/gwanmun/acme');
  });

  test.each<[Record<string, unknown>, string]>([
    [{ domains: [] }, 'tls.acme.domains: expected at least one name, got 0'],
    [
      { domains: 'https://example.org/' },
      'tls.acme.domains: expected a name such as \'example.org\', without scheme, port or path, got "https://example.org/"',
    ],
    [
      { domains: 'exa mple.org' },
      'tls.acme.domains: expected a name such as \'example.org\', without scheme, port or path, got "exa mple.org"',
    ],
    [
      { domains: 'example.org', directory: 'http://ca.lan' },
      "tls.acme.directory: expected 'letsencrypt', 'letsencrypt-staging' or the https: address of a directory, got \"http://ca.lan\"",
    ],
    [
      { domains: 'example.org', email: 'me' },
      'tls.acme.email: expected an address such as admin@example.org, got "me"',
    ],
    [
      { domains: 'example.org', externalAccount: { kid: 'a', key: 'no base64!' } },
      'tls.acme.externalAccount.key: expected the key that the authority has given you, in base64url, got "no base64!"',
    ],
  ])('%j', (acme, expected) => {
    expect(faults({ tls: { acme } })).toEqual([expected]);
  });

  test('T146 a wildcard: the error says what is needed', () => {
    expect(faults({ tls: { acme: { domains: ['example.org', '*.example.org'] } } })).toEqual([
      expect.stringMatching(
        /^tls\.acme\.domains\[1\]: a certificate for \*\.example\.org needs a proof in the DNS.*certificates: \[/,
      ),
    ]);
  });

  test.each([
    'localhost',
    'site.test',
    'site.internal',
    '192.168.1.2',
    '10.0.0.1',
    'fd00::1',
    '::1',
    'intranet',
    'nas.local',
  ])('T160 no public authority issues for %s, but one’s own may', (domain) => {
    expect(faults({ tls: { acme: { domains: [domain] } } })).toEqual([
      expect.stringMatching(
        /no public authority issues a certificate for .*for development: gwanmun --tls, else name your own/,
      ),
    ]);
    expect(faults({ tls: { acme: { domains: [domain], directory: 'https://ca.internal/acme' } } })).toEqual([]);
  });

  test.each(['example.org', 'a.b.example.co.uk', '93.184.216.34', '2606:2800:21f::1', '172.32.0.1'])(
    'T160 %s is public',
    (domain) => {
      expect(faults({ tls: { acme: { domains: [domain] } } })).toEqual([]);
    },
  );
});

describe('what cannot be meant is an error with its key', () => {
  test.each<[Record<string, unknown>, string]>([
    [
      { tls: {} },
      'tls: expected { cert, key }, { certificates: [{ cert, key }] } or { acme: { domains } }, got none of them',
    ],
    [
      { tls: { key: 'a' } },
      'tls: expected { cert, key }, { certificates: [{ cert, key }] } or { acme: { domains } }, got a key alone',
    ],
    [
      { tls: { cert: 'a', certificates: [{ cert: 'b' }] } },
      'tls: expected { cert, key }, { certificates: [{ cert, key }] } or { acme: { domains } }, got both',
    ],
    [{ tls: true }, "tls: expected { cert: './fullchain.pem', key: './privkey.pem' }, got true"],
    [{ tls: { certificates: [] } }, 'tls.certificates: expected at least one certificate, got 0'],
    [{ tls: { ...TLS, minVersion: '1.1' } }, "tls.minVersion: expected '1.2' or '1.3', got \"1.1\""],
    [{ tls: TLS, listen: 'unix:./a.sock' }, 'tls: no address speaks it: listen: { port: 443, tls: true }'],
    [
      { listen: { port: 80, redirect: 'https' } },
      'listen[0].redirect: no address speaks HTTPS: add { port: 443, tls: true }, or write the port instead',
    ],
    [{ tls: TLS, listen: { port: 80, redirect: 'https', tls: true } }, 'listen: expected tls or redirect, got both'],
    [{ hsts: '1y' }, "hsts: is for HTTPS, but there is no tls: { cert: './fullchain.pem', key: … }"],
    [
      { tls: TLS, hsts: 'forever' },
      "hsts: expected a duration such as '1y', which 'includeSubDomains' and 'preload' may follow, got \"forever\"",
    ],
    [
      { tls: TLS, listen: { port: 443, tls: TLS } },
      'listen.tls: expected true or false; certificates belong beside listen: tls: { cert, key }, got Object',
    ],
  ])('%j', (config, expected) => {
    expect(faults(config)).toEqual([expected]);
  });
});

describe('first guesses are understood', () => {
  const TLS_EXAMPLE = "tls: { cert: './fullchain.pem', key: './privkey.pem' }";
  test.each<[Record<string, unknown>, string]>([
    [{ ssl: TLS }, `ssl: unknown key; gwanmun calls it tls, as in ${TLS_EXAMPLE}`],
    [{ https: {} }, `https: unknown key; gwanmun calls it tls, as in ${TLS_EXAMPLE}`],
    [{ ssl_certificate: 'a' }, `ssl_certificate: unknown key; gwanmun calls it tls, as in ${TLS_EXAMPLE}`],
    [{ certFile: 'a' }, `certFile: unknown key; gwanmun calls it tls, as in ${TLS_EXAMPLE}`],
    [{ tls: { certFile: 'a' } }, "tls.certFile: unknown key; gwanmun calls it cert, as in cert: './fullchain.pem'"],
    [
      { tls: { cert: 'a', ssl_certificate_key: 'b' } },
      "tls.ssl_certificate_key: unknown key; gwanmun calls it key, as in key: './privkey.pem'",
    ],
    [
      { tls: { cert: 'a', ca: 'b' } },
      "tls.ca: unknown key; gwanmun calls it clientCertificates, as in clientCertificates: { ca: './clients-ca.pem', crl: './clients-crl.pem' }",
    ],
    [{ listen: { port: 443, ssl: true } }, 'listen.ssl: unknown key; gwanmun calls it tls, as in tls: true'],
    [
      { forceSSL: true },
      "forceSSL: unknown key; it belongs to an address: listen: [{ port: 443, tls: true }, { port: 80, redirect: 'https' }]",
    ],
    [{ acme: {} }, "acme: unknown key; gwanmun calls it tls, as in tls: { acme: { domains: ['example.org'] } }"],
  ])('%j', (config, expected) => {
    expect(faults(config)).toEqual([expected]);
  });
});
