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

describe('what cannot be meant is an error with its key', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ tls: {} }, 'tls: expected { cert, key } or { certificates: [{ cert, key }] }, got neither'],
    [{ tls: { key: 'a' } }, 'tls: expected { cert, key } or { certificates: [{ cert, key }] }, got a key alone'],
    [
      { tls: { cert: 'a', certificates: [{ cert: 'b' }] } },
      'tls: expected { cert, key } or { certificates: [{ cert, key }] }, got both',
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
    [{ listen: { port: 443, ssl: true } }, 'listen.ssl: unknown key; gwanmun calls it tls, as in tls: true'],
    [
      { forceSSL: true },
      "forceSSL: unknown key; it belongs to an address: listen: [{ port: 443, tls: true }, { port: 80, redirect: 'https' }]",
    ],
    [
      { acme: {} },
      'acme: unknown key; gwanmun does not get certificates by itself yet: let certbot do it, and name its files: tls: { cert, key }',
    ],
  ])('%j', (config, expected) => {
    expect(faults(config)).toEqual([expected]);
  });
});
