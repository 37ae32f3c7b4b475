// The protocol (RFC 8555, RFC 9773), one request after the other: what is sent, what comes back, and what an authority has against it.

import type { KeyObject } from 'node:crypto';
import type { Clock } from './clock.js';
import type { Fetch, FetchResponse } from './fetch.js';
import { jwkOf, signed, signedBySecret } from './jose.js';
import { identifierOf } from './request.js';

/** What an authority says is wrong, in its words (RFC 7807). */
export class AcmeProblem extends Error {
  /** Without its prefix: `rateLimited`. */
  readonly type: string;
  readonly status: number;
  /** When it wants to be asked again: milliseconds since 1970. */
  readonly retryAt: number | undefined;

  constructor(problem: Problem, status: number, retryAt?: number) {
    super(textOf(problem));
    this.type = (problem.type ?? '').replace('urn:ietf:params:acme:error:', '');
    this.status = status;
    this.retryAt = retryAt;
  }

  get isRateLimit(): boolean {
    return this.type === 'rateLimited' || this.status === 429;
  }
}

interface Problem {
  readonly type?: string;
  readonly detail?: string;
  readonly identifier?: { readonly value?: string };
  readonly subproblems?: readonly Problem[];
}

/** With the parts of which it consists. What is not text is not repeated. */
function textOf({ detail, type, subproblems }: Problem): string {
  const own = typeof detail === 'string' && detail !== '' ? detail : String(type ?? 'no reason given');
  const parts = Array.isArray(subproblems) ? (subproblems as Problem[]) : [];
  const texts = parts.map((part) => `${part.identifier?.value ?? ''}: ${textOf(part)}`.replace(/^: /, ''));
  return printable([own, ...texts].join('; '));
}

function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what must not reach a log or a terminal
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, 2000);
}

export interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly renewalInfo?: string;
  readonly meta?: {
    readonly termsOfService?: string;
    readonly externalAccountRequired?: boolean;
    readonly profiles?: Readonly<Record<string, string>>;
  };
}

export interface Order {
  readonly url: string;
  readonly status: string;
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate?: string;
  readonly error?: Problem;
}

export interface Authorization {
  readonly status: string;
  readonly challenges: readonly Challenge[];
}

export interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
  readonly status: string;
  readonly error?: Problem;
}

/** When a certificate should be renewed, as its authority has it. */
export interface RenewalInfo {
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly explanation: string | undefined;
  /** When to ask again. */
  readonly retryAt: number;
}

/** An agreement with an authority from before (RFC 8555 section 7.3.4). */
export interface ExternalAccount {
  readonly kid: string;
  /** Base64url. */
  readonly key: string;
}

/** So often a nonce may be refused. */
const NONCES = 3;
/** An order whose state does not change is polled so long. */
const POLL_MS = 90_000;
const LEAST_PAUSE_MS = 1000;
const MOST_PAUSE_MS = 30_000;
/** Until then an answer about renewal holds if it does not say. */
const RENEWAL_INFO_MS = 6 * 3_600_000;
const LEAST_RENEWAL_INFO_MS = 60_000;
const MOST_RENEWAL_INFO_MS = 86_400_000;

export interface ClientOptions {
  readonly directory: string;
  readonly fetch: Fetch;
  readonly clock: Clock;
}

/** What an account is proved by. */
export interface Account {
  readonly key: KeyObject;
  readonly url: string;
}

/** Talks to one authority. All methods reject with an AcmeProblem, or with what kept it from answering. */
export class AcmeClient {
  readonly #options: ClientOptions;
  readonly #nonces: string[] = [];

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async directory(signal: AbortSignal): Promise<Directory> {
    const { directory: url, fetch } = this.#options;
    const response = await fetch({ method: 'GET', url, signal });
    const directory = this.#expect<Directory>(response);
    for (const name of ['newNonce', 'newAccount', 'newOrder'] as const) {
      if (typeof directory[name] !== 'string')
        throw new Error(`${url} is not the directory of an ACME server: it names no ${name}`);
    }
    return directory;
  }

  /** Makes an account for the key, or finds the one that it has. Gives its URL. */
  async account(
    directory: Directory,
    key: KeyObject,
    { email, externalAccount }: { email: string | undefined; externalAccount: ExternalAccount | undefined },
    signal: AbortSignal,
  ): Promise<string> {
    const { newAccount: url } = directory;
    const binding = externalAccount && {
      externalAccountBinding: signedBySecret(externalAccount.key, { kid: externalAccount.kid, url }, jwkOf(key)),
    };
    const payload = {
      termsOfServiceAgreed: true,
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
      ...binding,
    };
    const response = await this.#post(directory, url, { key, url: undefined }, payload, signal);
    const own = response.headers['location'];
    if (own === undefined) throw new Error('the authority gave the account no address');
    return own;
  }

  async newOrder(
    directory: Directory,
    account: Account,
    { domain, profile, replaces }: { domain: string; profile: string | undefined; replaces: string | undefined },
    signal: AbortSignal,
  ): Promise<Order> {
    const payload = {
      identifiers: [identifierOf(domain)],
      ...(profile === undefined ? {} : { profile }),
      ...(replaces === undefined ? {} : { replaces }),
    };
    const response = await this.#post(directory, directory.newOrder, account, payload, signal);
    const url = response.headers['location'];
    if (url === undefined) throw new Error('the authority gave the order no address');
    return this.#order(response, url);
  }

  async authorization(
    directory: Directory,
    account: Account,
    url: string,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const response = await this.#post(directory, url, account, undefined, signal);
    const { status, challenges } = this.#expect<Authorization>(response);
    return { status, challenges: Array.isArray(challenges) ? challenges : [] };
  }

  /** The answer is there: the authority may look. */
  async answerChallenge(directory: Directory, account: Account, url: string, signal: AbortSignal): Promise<void> {
    this.#expect(await this.#post(directory, url, account, {}, signal));
  }

  /** Until the authority has looked. */
  async authorized(directory: Directory, account: Account, url: string, signal: AbortSignal): Promise<Authorization> {
    return this.#poll(async () => {
      const response = await this.#post(directory, url, account, undefined, signal);
      const authorization = this.#expect<Authorization>(response);
      return { value: authorization, isOver: authorization.status !== 'pending', response };
    }, signal);
  }

  /** Sends the request for the certificate, and gives its chain in PEM. */
  async finalize(
    directory: Directory,
    account: Account,
    order: Order,
    csr: Buffer,
    signal: AbortSignal,
  ): Promise<string> {
    const payload = { csr: csr.toString('base64url') };
    let first: FetchResponse | undefined = await this.#post(directory, order.finalize, account, payload, signal);
    const done = await this.#poll(async () => {
      const response = first ?? (await this.#post(directory, order.url, account, undefined, signal));
      first = undefined;
      const now = this.#order(response, order.url);
      return { value: now, isOver: now.status !== 'processing' && now.status !== 'ready', response };
    }, signal);
    if (done.certificate === undefined) {
      throw new AcmeProblem(done.error ?? { detail: `the order is ${done.status}` }, 0);
    }
    const response = await this.#post(directory, done.certificate, account, undefined, signal);
    if (response.status !== 200) this.#expect(response);
    return response.body;
  }

  /** Until the authority has taken note that all is proved. */
  async ready(directory: Directory, account: Account, url: string, signal: AbortSignal): Promise<Order> {
    const order = await this.#poll(async () => {
      const response = await this.#post(directory, url, account, undefined, signal);
      const value = this.#order(response, url);
      return { value, isOver: value.status !== 'pending', response };
    }, signal);
    if (order.status === 'invalid') throw new AcmeProblem(order.error ?? { detail: 'the order is invalid' }, 0);
    return order;
  }

  /** Undefined: this authority says nothing about renewal. */
  async renewalInfo(directory: Directory, id: string, signal: AbortSignal): Promise<RenewalInfo | undefined> {
    const { fetch, clock } = this.#options;
    if (directory.renewalInfo === undefined) return undefined;
    const response = await fetch({ method: 'GET', url: `${directory.renewalInfo.replace(/\/$/, '')}/${id}`, signal });
    const { suggestedWindow, explanationURL } = this.#expect<{
      suggestedWindow?: { start?: string; end?: string };
      explanationURL?: string;
    }>(response);
    const [start, end] = [Date.parse(suggestedWindow?.start ?? ''), Date.parse(suggestedWindow?.end ?? '')];
    if (!(start <= end)) throw new Error('the authority suggests no time for the renewal');
    const asked = retryAtOf(response, clock.now()) ?? clock.now() + RENEWAL_INFO_MS;
    const retryAt = Math.min(Math.max(asked, clock.now() + LEAST_RENEWAL_INFO_MS), clock.now() + MOST_RENEWAL_INFO_MS);
    return { start, end, explanation: explanationURL === undefined ? undefined : printable(explanationURL), retryAt };
  }

  #order(response: FetchResponse, url: string): Order {
    const order = this.#expect<Omit<Order, 'url'>>(response);
    if (!Array.isArray(order.authorizations) || typeof order.finalize !== 'string') {
      throw new Error('the authority gave an order without authorizations');
    }
    return { ...order, url };
  }

  async #poll<T>(
    ask: () => Promise<{ readonly value: T; readonly isOver: boolean; readonly response: FetchResponse }>,
    signal: AbortSignal,
  ): Promise<T> {
    const { clock } = this.#options;
    const end = clock.now() + POLL_MS;
    for (let pause = LEAST_PAUSE_MS; ; pause = Math.min(pause * 1.5, 5000)) {
      const { value, isOver, response } = await ask();
      if (isOver) return value;
      if (clock.now() >= end) throw new Error('the authority has not decided for 90 s');
      const asked = (retryAtOf(response, clock.now()) ?? clock.now() + pause) - clock.now();
      await clock.sleep(Math.min(Math.max(asked, LEAST_PAUSE_MS), MOST_PAUSE_MS), signal);
    }
  }

  async #post(
    directory: Directory,
    url: string,
    { key, url: kid }: { readonly key: KeyObject; readonly url: string | undefined },
    payload: unknown,
    signal: AbortSignal,
  ): Promise<FetchResponse> {
    const { fetch } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const nonce = this.#nonces.pop() ?? (await this.#nonce(directory, signal));
      const who = kid === undefined ? { jwk: jwkOf(key) } : { kid };
      const body = JSON.stringify(signed(key, { ...who, nonce, url }, payload));
      const headers = { 'content-type': 'application/jose+json' };
      const response = await fetch({ method: 'POST', url, headers, body, signal });
      this.#keepNonce(response);
      if (response.status < 400) return response;
      const problem = this.#problem(response);
      if (problem.type !== 'badNonce' || attempt >= NONCES) throw problem;
    }
  }

  async #nonce({ newNonce: url }: Directory, signal: AbortSignal): Promise<string> {
    const response = await this.#options.fetch({ method: 'HEAD', url, signal });
    this.#keepNonce(response);
    const nonce = this.#nonces.pop();
    if (nonce === undefined) throw new Error(`${url} gave no nonce, but status ${response.status}`);
    return nonce;
  }

  #keepNonce({ headers }: FetchResponse): void {
    const nonce = headers['replay-nonce'];
    if (nonce !== undefined && this.#nonces.length < 16) this.#nonces.push(nonce);
  }

  #expect<T = object>(response: FetchResponse): T {
    if (response.status >= 400) throw this.#problem(response);
    const value = parse(response.body);
    if (typeof value !== 'object' || value === null) {
      throw new Error(
        `the authority's answer is not JSON, but begins with ${JSON.stringify(response.body.slice(0, 80))}`,
      );
    }
    return value as T;
  }

  #problem(response: FetchResponse): AcmeProblem {
    const value = parse(response.body);
    const problem = typeof value === 'object' && value !== null ? (value as Problem) : {};
    const known =
      problem.detail === undefined ? { ...problem, detail: `the authority answered ${response.status}` } : problem;
    return new AcmeProblem(known, response.status, retryAtOf(response, this.#options.clock.now()));
  }
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAtOf({ headers }: FetchResponse, now: number): number | undefined {
  const value = headers['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return now + Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : date;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
