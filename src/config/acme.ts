// Where certificates come from that are got by themselves, and where they are kept.

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ConfigFault } from './check.js';
import { DIRECTORIES, TERMS, whyNotPublic } from './domains.js';
import type { KeyPath } from './locate.js';
import type { CheckedAcme } from './schema.js';

export interface ResolvedAcme {
  /** In their normal form. */
  readonly domains: readonly string[];
  /** The URL of the authority's directory. */
  readonly directory: string;
  /** Where its terms of service are, if that is known. */
  readonly terms: string | undefined;
  readonly email: string | undefined;
  readonly profile: string | undefined;
  readonly keyType: 'ecdsa' | 'rsa';
  /** Absolute path of a PEM file. */
  readonly ca: string | undefined;
  readonly externalAccount: { readonly kid: string; readonly key: string } | undefined;
  /** Absolute path of a folder, which need not be there. */
  readonly storage: string;
}

/** `at`: where it was written. */
export function resolveAcme(
  { domains, directory = 'letsencrypt', email, profile, keyType = 'ecdsa', ca, externalAccount, storage }: CheckedAcme,
  at: KeyPath,
  {
    folder,
    user,
    env,
    faults,
  }: { folder: string; user: string | number | undefined; env: NodeJS.ProcessEnv; faults: ConfigFault[] },
): ResolvedAcme {
  const url = directory in DIRECTORIES ? DIRECTORIES[directory as keyof typeof DIRECTORIES] : directory;
  for (const [index, domain] of domains.entries()) {
    const why = url === directory ? undefined : whyNotPublic(domain);
    if (why !== undefined) faults.push({ path: [...at, index], message: why });
  }
  return {
    domains: [...new Set(domains)],
    directory: url,
    terms: url === directory ? undefined : TERMS,
    email,
    profile,
    keyType,
    ca: ca === undefined ? undefined : resolve(folder, ca),
    externalAccount,
    storage: storage === undefined ? defaultStorage(user, env) : resolve(folder, storage),
  };
}

/** The service manager's folder for state, root's, or this user's own. A server that becomes another user has root's, also when it is that user already. */
function defaultStorage(user: string | number | undefined, env: NodeJS.ProcessEnv): string {
  const [state] = (env['STATE_DIRECTORY'] ?? '').split(':');
  if (state !== undefined && state !== '') return join(state, 'acme');
  if (user !== undefined || process.geteuid?.() === 0) return '/var/lib/gwanmun/acme';
  return join(env['XDG_DATA_HOME'] || join(homedir(), '.local/share'), 'gwanmun/acme');
}
