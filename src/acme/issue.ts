// One certificate from an authority: ordered, proved, fetched, checked.

import type { AcmeClient, Account, Authorization, Challenge, Directory, Order } from './client.js';
import { AcmeProblem } from './client.js';
import type { Clock } from './clock.js';
import { thumbprintOf } from './jose.js';
import { certificateKey, certificateRequest, type KeyType } from './request.js';

export type ChallengeKind = 'http-01' | 'tls-alpn-01';

/** What an authority is about to ask. */
export interface Question {
  readonly kind: ChallengeKind;
  readonly domain: string;
  readonly token: string;
  /** The key authorization (RFC 8555 section 8.1). */
  readonly answer: string;
}

export interface Wish {
  readonly domain: string;
  readonly profile: string | undefined;
  readonly keyType: KeyType;
  /** What its authority knows the certificate by that it takes the place of. */
  readonly replaces: string | undefined;
  /** The ways in which this server can prove the name, the one that is tried first. */
  readonly kinds: readonly ChallengeKind[];
}

export interface IssueOptions {
  readonly client: AcmeClient;
  readonly directory: Directory;
  readonly account: Account;
  readonly clock: Clock;
  /** Has the question answered, by every thread and process that can be asked. Gives what ends that. */
  readonly publish: (question: Question) => Promise<() => void>;
  readonly signal: AbortSignal;
}

/** Gives the key and the chain as one text of PEM. Rejects with an AcmeProblem, or with what kept the authority from answering. */
export async function issue(wish: Wish, options: IssueOptions): Promise<string> {
  const { client, directory, account, signal } = options;
  const order = await newOrder(wish, options);
  for (const url of order.authorizations) {
    const authorization = await client.authorization(directory, account, url, signal);
    if (authorization.status !== 'valid') await prove(wish, url, authorization, options);
  }
  const key = certificateKey(wish.keyType);
  const csr = certificateRequest(wish.domain, key);
  const ready = await client.ready(directory, account, order.url, signal);
  const chain = await client.finalize(directory, account, ready, csr, signal);
  return `${key.export({ type: 'pkcs8', format: 'pem' }) as string}${chain.trimEnd()}\n`;
}

async function newOrder({ domain, profile, replaces }: Wish, options: IssueOptions): Promise<Order> {
  const { client, directory, account, signal } = options;
  try {
    return await client.newOrder(directory, account, { domain, profile, replaces }, signal);
  } catch (error) {
    // Another server has renewed it, or the authority knows it no more (RFC 9773 section 5): it is ordered like a first one.
    const isAboutReplaces =
      replaces !== undefined &&
      error instanceof AcmeProblem &&
      (error.type === 'alreadyReplaced' || error.status === 404 || error.type === 'malformed');
    if (!isAboutReplaces) throw error;
    return client.newOrder(directory, account, { domain, profile, replaces: undefined }, signal);
  }
}

async function prove(
  { domain, kinds }: Wish,
  url: string,
  authorization: Authorization,
  { client, directory, account, publish, signal }: IssueOptions,
): Promise<void> {
  const found = kinds.flatMap((kind) => {
    const challenge = authorization.challenges.find(({ type }) => type === kind);
    return challenge === undefined ? [] : [{ kind, challenge }];
  })[0];
  if (found === undefined) {
    const offered = authorization.challenges.map(({ type }) => type).join(', ');
    throw new Error(
      `the authority takes ${offered || 'no proof'} for ${domain}, and this server can give ${kinds.join(', ') || 'none'}`,
    );
  }
  const { kind, challenge } = found;
  // It becomes part of a file's name and of a path.
  if (!/^[\w-]{1,256}$/.test(challenge.token)) throw new Error('the authority gave a token that is none');
  const answer = `${challenge.token}.${thumbprintOf(account.key)}`;
  const withdraw = await publish({ kind, domain, token: challenge.token, answer });
  try {
    await client.answerChallenge(directory, account, challenge.url, signal);
    const result = await client.authorized(directory, account, url, signal);
    if (result.status !== 'valid') throw failureOf(result, challenge);
  } finally {
    withdraw();
  }
}

function failureOf(authorization: Authorization, tried: Challenge): AcmeProblem {
  const failed = authorization.challenges.find(({ error, url }) => error !== undefined && url === tried.url);
  return new AcmeProblem(failed?.error ?? { detail: `the authorization is ${authorization.status}` }, 0);
}
