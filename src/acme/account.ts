// The account at an authority: one for each storage, whoever of several processes makes it (T155).

import { createPrivateKey } from 'node:crypto';
import { AcmeProblem, type Account, type AcmeClient, type Directory, type ExternalAccount } from './client.js';
import { newKey } from './jose.js';
import type { Storage } from './storage.js';

export interface AccountOptions {
  readonly storage: Storage;
  readonly client: AcmeClient;
  readonly email: string | undefined;
  readonly externalAccount: ExternalAccount | undefined;
  /** Is told where the terms of service are that were agreed to. */
  readonly onTerms: (terms: string) => void;
}

const FILE = 'account.json';

/**
 * The account that is kept, else a new one. Nobody else may be at it. `unknown`: the address of an account that the authority does not know any
 * more.
 */
export async function accountFor(
  directory: Directory,
  { storage, client, email, externalAccount, onTerms }: AccountOptions,
  signal: AbortSignal,
  unknown?: string,
): Promise<Account> {
  let kept = storage.read(FILE, parse);
  if (kept === undefined) {
    // Before it is used: an account whose key is lost is one that nobody can ever use again.
    kept = { key: newKey() };
    storage.write(FILE, textOf(kept));
  }
  if (kept.url !== undefined && kept.url !== unknown) return { key: kept.key, url: kept.url };
  const { meta } = directory;
  if (meta?.externalAccountRequired === true && externalAccount === undefined) {
    const detail = 'this authority gives accounts only to customers that it knows';
    throw new AcmeProblem({ type: 'externalAccountRequired', detail }, 0);
  }
  const url = await client.account(directory, kept.key, { email, externalAccount }, signal);
  storage.write(FILE, textOf({ ...kept, url }));
  if (typeof meta?.termsOfService === 'string') onTerms(meta.termsOfService);
  return { key: kept.key, url };
}

interface KeptAccount {
  readonly key: Account['key'];
  readonly url?: string | undefined;
}

function parse(text: string): KeptAccount {
  const { key, url } = JSON.parse(text) as { key: string; url?: string };
  return { key: createPrivateKey(key), ...(typeof url === 'string' ? { url } : {}) };
}

function textOf({ key, url }: KeptAccount): string {
  return JSON.stringify({ key: key.export({ type: 'pkcs8', format: 'pem' }), url });
}
