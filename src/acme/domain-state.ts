// What is known of a name beside its certificate, as it is kept in the storage.

import type { ChallengeKind } from './issue.js';

/** Times are milliseconds since 1970. */
export interface DomainState {
  /** Attempts in a row that did not lead to a certificate. */
  readonly failures: number;
  /** Not before. */
  readonly nextAttempt: number;
  readonly failure?: Failure | undefined;
  readonly renewal?: Renewal | undefined;
}

export interface Failure {
  readonly at: number;
  /** In the authority's words, or in those of the system. */
  readonly message: string;
  /** The authority's type of it; empty: it has not answered. */
  readonly type: string;
  /** How the name was to be proved. */
  readonly kind?: ChallengeKind | undefined;
  /** Of an attempt that did not come to its end: a digest of the certificate that there was. */
  readonly instead?: string | undefined;
  /** It has said when it wants to be asked again. */
  readonly isLimit?: boolean | undefined;
}

/** What the authority has said about the renewal of a certificate. */
export interface Renewal {
  /** The certificate: {@link renewalIdOf}. */
  readonly id: string;
  readonly start: number;
  readonly end: number;
  /** The moment that was chosen between the two. */
  readonly moment: number;
  readonly explanation?: string | undefined;
  /** When it is asked again. */
  readonly askAt: number;
}

export const NOTHING_KNOWN: DomainState = { failures: 0, nextAttempt: 0 };

/** Throws if it is none. */
export function parseState(text: string): DomainState {
  const state = JSON.parse(text) as DomainState | null;
  const isState =
    typeof state === 'object' &&
    state !== null &&
    Number.isSafeInteger(state.failures) &&
    Number.isFinite(state.nextAttempt) &&
    (state.failure === undefined || (typeof state.failure.message === 'string' && Number.isFinite(state.failure.at))) &&
    (state.renewal === undefined || [state.renewal.moment, state.renewal.askAt].every(Number.isFinite));
  if (!isState) throw new Error('it has not the parts that it should have');
  return state;
}

/** What to do about a failure. */
export function remedyFor(domain: string, { type, kind, message }: Failure): string {
  switch (type) {
    case 'dns':
      return resolvable(domain);
    case 'caa':
      return `the CAA record of ${domain} forbids this authority; allow it there: dig +short ${domain} CAA`;
    case 'tls':
      if (/ALPN/i.test(message)) return elsewhere(domain);
      return reachable(domain, kind);
    case 'connection':
      return /resolv|NXDOMAIN|SERVFAIL/.test(message) ? resolvable(domain) : reachable(domain, kind);
    case 'unauthorized':
    case 'incorrectResponse':
      return elsewhere(domain);
    case 'rateLimited':
      return 'nothing: it is tried again when the authority allows it';
    case 'externalAccountRequired':
      return "get a key from the authority, and name it: tls: { acme: { externalAccount: { kid: '…', key: process.env.EAB_KEY } } }";
    case 'invalidContact':
    case 'unsupportedContact':
      return 'correct tls.acme.email, or leave it out';
    case 'rejectedIdentifier':
      return `the authority does not issue for ${domain}: take it out of tls.acme.domains, or name another tls.acme.directory`;
    case '':
      return 'check that this machine reaches the authority (HTTPS_PROXY names a proxy), and that its clock is right';
    default:
      return 'see what the authority says; it is tried again by itself';
  }
}

function resolvable(domain: string): string {
  return `check that ${domain} has an A or AAAA record that leads to this server: dig +short ${domain} A ${domain} AAAA`;
}

function reachable(domain: string, kind: ChallengeKind | undefined): string {
  const port = kind === 'tls-alpn-01' ? 443 : 80;
  return `port ${port} of every address of ${domain}, also of IPv6, has to lead to this server: check firewall, port forwarding and DNS`;
}

function elsewhere(domain: string): string {
  return `another server has answered for ${domain}, perhaps a CDN or proxy in front: have it pass on /.well-known/acme-challenge/ on port 80, or correct the DNS`;
}
