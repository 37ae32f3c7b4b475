// Which addresses speak TLS, and where the certificates for it come from.

import { resolve } from 'node:path';
import type { Where } from '../errors.js';
import { resolveAcme, type ResolvedAcme } from './acme.js';
import { place, type ConfigFault, type ConfigSource } from './check.js';
import type { CoreListener } from './core.js';
import type { KeyPath } from './locate.js';
import { pathInListen } from './origin.js';
import type { CheckedAcme, CheckedConfig, CheckedTls, PemSource } from './schema.js';

/** Where certificates come from, and what is asked of clients. */
export interface ResolvedTls {
  /** `local`: one for this machine, from a local authority. */
  readonly certificates: readonly CertificateSource[] | 'local';
  /** Others are got by themselves. */
  readonly acme: ResolvedAcme | undefined;
  readonly minVersion: '1.2' | '1.3';
  /** Undefined: clients are not asked for certificates. */
  readonly clients: ClientSource | undefined;
}

/** Who vouches for clients, as the configuration names it. */
export interface ClientSource {
  /** Files by absolute paths. */
  readonly ca: PemSource;
  /** Undefined: nobody looks whether a certificate was revoked. */
  readonly crl: PemSource | undefined;
  readonly isRequired: boolean;
  /** Where they were written. */
  readonly where: { readonly ca: Where; readonly crl: Where };
}

/** A certificate that the configuration names. */
export interface CertificateSource {
  /** Files by absolute paths. */
  readonly cert: PemSource;
  readonly key: PemSource;
  readonly isDefault: boolean;
  /** Where they were written. */
  readonly where: { readonly cert: Where; readonly key: Where };
}

/** What the command line says: files, names that certificates are got for, or `local` for a certificate of a local authority. */
export type TlsFlag =
  | 'local'
  | { readonly cert: string; readonly key: string | undefined }
  /** In their normal form. */
  | { readonly domains: readonly string[]; readonly email: string | undefined };

/** Where the certificates come from. A flag's take the place of the configuration's; what clients are asked for stays. */
export function resolveTls(
  configured: CheckedTls | undefined,
  flag: TlsFlag | undefined,
  directory: string,
  source: ConfigSource,
  { user, env, faults }: { user?: string | number | undefined; env: NodeJS.ProcessEnv; faults: ConfigFault[] },
): ResolvedTls | undefined {
  const minVersion = configured?.minVersion ?? '1.2';
  const absolute = (one: PemSource): PemSource => ('file' in one ? { file: resolve(directory, one.file) } : one);
  const asked = configured?.clients;
  const clients = asked && {
    ca: absolute(asked.ca),
    crl: asked.crl && absolute(asked.crl),
    isRequired: asked.isRequired,
    where: {
      ca: place(['tls', 'clientCertificates', 'ca'], source),
      crl: place(['tls', 'clientCertificates', 'crl'], source),
    },
  };
  const acmeOf = (one: CheckedAcme, path: KeyPath): ResolvedAcme =>
    resolveAcme(one, path, { folder: directory, user, env, faults });
  if (flag === 'local') return { certificates: 'local', acme: undefined, minVersion, clients };
  if (flag !== undefined && 'domains' in flag) {
    // Of the configuration stays what the flags do not say.
    const own = {
      ...configured?.acme,
      domains: [...flag.domains],
      ...(flag.email === undefined ? {} : { email: flag.email }),
    };
    return { certificates: [], acme: acmeOf(own, ['--domain']), minVersion, clients };
  }
  if (flag !== undefined) return { certificates: [ofFlag(flag)], acme: undefined, minVersion, clients };
  if (configured === undefined) return undefined;
  const acme = configured.acme && acmeOf(configured.acme, ['tls', 'acme', 'domains']);
  const certificates = configured.certificates.map(({ cert, key, isDefault, path }): CertificateSource => {
    const at = (name: string): Where => place([...path, name], source);
    return { cert: absolute(cert), key: absolute(key), isDefault, where: { cert: at('cert'), key: at('key') } };
  });
  return { certificates, acme, minVersion, clients };
}

/** A path of the command line is relative to where it was typed. */
function ofFlag({ cert, key }: Extract<TlsFlag, { cert: string }>): CertificateSource {
  const where = {
    cert: { key: `--cert ${cert}` },
    key: { key: key === undefined ? `--cert ${cert}` : `--key ${key}` },
  };
  return { cert: { file: resolve(cert) }, key: { file: resolve(key ?? cert) }, isDefault: false, where };
}

/**
 * Says of each address whether it speaks TLS. Where there are certificates and no address says so of itself, all TCP addresses do, except for those
 * that redirect.
 */
export function speakTls(
  listeners: readonly CoreListener[],
  tls: ResolvedTls | undefined,
  { hsts, tls: written }: CheckedConfig,
  source: ConfigSource,
  faults: ConfigFault[],
): void {
  const isSaid = listeners.some((listener) => listener.tls !== undefined);
  for (const [index, listener] of listeners.entries()) {
    const byDefault = !isSaid && tls !== undefined && listener.kind === 'tcp' && listener.redirect === undefined;
    if (!(listener.tls ?? byDefault)) {
      delete listener.tls;
      continue;
    }
    listener.tls = true;
    if (tls !== undefined) continue;
    const message = "there is no certificate for it: add tls: { cert: './fullchain.pem', key: './privkey.pem' }";
    faults.push({ path: pathInListen(index, 'tls', source), message });
  }
  const first = listeners.find((listener) => listener.tls);
  if (tls !== undefined && first === undefined) {
    const message = 'no address speaks it: listen: { port: 443, tls: true }';
    faults.push({ path: written === undefined ? ['listen'] : ['tls'], message });
  }
  if (hsts !== undefined && first === undefined) {
    faults.push({ path: ['hsts'], message: "is for HTTPS, but there is no tls: { cert: './fullchain.pem', key: … }" });
  }
  const tcp = listeners.find((listener) => listener.tls && listener.kind === 'tcp');
  for (const [index, listener] of listeners.entries()) {
    if (listener.kind !== 'tcp' || listener.redirect !== 0) continue;
    if (tcp?.kind === 'tcp') listener.redirect = tcp.port;
    else {
      const message = 'no address speaks HTTPS: add { port: 443, tls: true }, or write the port instead';
      faults.push({ path: pathInListen(index, 'redirect', source), message });
    }
  }
}
