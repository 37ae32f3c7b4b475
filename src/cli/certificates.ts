// Certificates for people: of a running server, and of a configuration that is checked.

import { createColors } from '../colors.js';
import type { DomainStatus } from '../acme/acme.js';
import type { CertificateStatus } from '../certificates/kept-certificate.js';
import type { ClientCertificatesStatus } from '../certificates/kept-clients.js';
import type { Fault } from '../certificates/kept.js';
import type { AuthorityRecord } from '../native.js';

/** What there is to say of them. */
export interface Shown {
  readonly certificates: readonly CertificateStatus[];
  readonly domains: readonly DomainStatus[];
  readonly clientCertificates: ClientCertificatesStatus | undefined;
}

/**
 * Each with dates that everybody can read, and the days that are left. Names that wait for their first certificate are there with what is known of them; the
 * last one is what clients are asked for, if they are.
 */
export function certificatesForPrograms({ certificates, domains, clientCertificates }: Shown): object[] {
  const waiting = domains.filter(({ name }) => !certificates.some(({ domain }) => domain === name));
  return [
    ...certificates.map((one) => certificateForPrograms(one, domains)),
    ...waiting.map((domain) => ({ names: [domain.name], source: 'ACME', acme: domainForPrograms(domain) })),
    ...(clientCertificates === undefined ? [] : [{ clientCertificates: clientsForPrograms(clientCertificates) }]),
  ];
}

function clientsForPrograms({ authorities, revocations, readAt, fault, ...others }: ClientCertificatesStatus): object {
  const dated = ({ name, notBefore, notAfter }: AuthorityRecord): object => ({
    name,
    notBefore: iso(notBefore),
    notAfter: iso(notAfter),
    daysLeft: daysLeft(notAfter),
  });
  return {
    ...others,
    authorities: authorities.map(dated),
    revocations: revocations.map(dated),
    readAt: iso(readAt),
    fault:
      fault === undefined ? null : { ...fault.error, since: iso(fault.since), nextAttempt: iso(fault.nextAttempt) },
  };
}

function certificateForPrograms(
  { notBefore, notAfter, readAt, fault, domain, ...others }: CertificateStatus,
  domains: readonly DomainStatus[],
): object {
  const acme = domains.find(({ name }) => name === domain);
  return {
    ...others,
    ...(acme === undefined ? {} : { acme: domainForPrograms(acme) }),
    notBefore: iso(notBefore),
    notAfter: iso(notAfter),
    daysLeft: daysLeft(notAfter),
    readAt: iso(readAt),
    fault:
      fault === undefined ? null : { ...fault.error, since: iso(fault.since), nextAttempt: iso(fault.nextAttempt) },
  };
}

/**
 * A line for each certificate, for each name that waits for its first one, and for what clients are asked for; below it what is wrong, and what to do.
 */
export function certificateTable(
  { certificates, domains, clientCertificates: clients }: Shown,
  color: boolean,
): string {
  const c = createColors(color);
  const lines = certificates.flatMap((one) => {
    const acme = domains.find(({ name }) => name === one.domain);
    const isBad = one.fault !== undefined || daysLeft(one.notAfter) < 0 || acme?.isCritical === true;
    const isOdd = one.warnings.length > 0 || acme?.state === 'failing';
    const mark = isBad ? c.red('✗') : isOdd ? c.yellow('!') : c.green('✓');
    const by = one.isDefault ? 'for all other names too; ' : '';
    const source = `${one.source}${one.keySource === one.source ? '' : `, ${one.keySource}`}`;
    return [
      `  ${mark} ${one.names.join(', ')}`,
      c.dim(`      ${by}${one.keyType}, from ${one.issuer}, until ${left(one.notAfter)}`),
      c.dim(`      ${acme === undefined ? source : `by ACME from ${acme.authority}${renewalOf(acme)}`}`),
      ...one.warnings.map((warning) => `      ${warning}`),
      ...(one.fault === undefined ? [] : faultLines(one.fault)),
      ...(acme === undefined ? [] : failureLines(acme)),
    ];
  });
  const waiting = domains.filter(({ name }) => !certificates.some(({ domain }) => domain === name));
  for (const one of waiting) {
    lines.push(
      `  ${one.state === 'failing' ? c.red('✗') : c.yellow('!')} ${one.name}: no certificate yet`,
      c.dim(`      by ACME from ${one.authority}${one.state === 'waiting' ? ', in progress' : ''}`),
      ...failureLines(one),
    );
  }
  if (clients !== undefined) {
    const { mode, authorities, revocations, revoked, source, crlSource, warnings, fault } = clients;
    const isBad = fault !== undefined || [...authorities, ...revocations].some((one) => daysLeft(one.notAfter) < 0);
    const mark = isBad ? c.red('✗') : warnings.length > 0 ? c.yellow('!') : c.green('✓');
    lines.push(
      `  ${mark} clients ${mode === 'require' ? 'need' : 'may have'} a certificate`,
      ...authorities.map(({ name, notAfter }) => c.dim(`      of ${name}, until ${left(notAfter)}`)),
      ...revocations.map(({ name, notAfter }) => c.dim(`      revocation list of ${name}, until ${left(notAfter)}`)),
      c.dim(`      ${source}${crlSource === undefined ? '' : `, ${crlSource}: ${revoked} revoked`}`),
      ...warnings.map((warning) => `      ${warning}`),
      ...(fault === undefined ? [] : faultLines(fault)),
    );
  }
  return lines.map((line) => `${line}\n`).join('');
}

function left(notAfter: number): string {
  const days = daysLeft(notAfter);
  const rest = days < 0 ? 'expired' : days === 1 ? '1 day left' : `${days} days left`;
  return `${iso(notAfter).slice(0, 10)}: ${rest}`;
}

function renewalOf({ state, nextAttempt }: DomainStatus): string {
  return state === 'issued' ? `, renewed by itself on ${iso(nextAttempt).slice(0, 10)}` : '';
}

/** What the authority says, and what to do. */
function failureLines({ failure, failures, nextAttempt }: DomainStatus): string[] {
  if (failure === undefined) return [];
  const times = failures === 1 ? 'an attempt' : `${failures} attempts in a row, the last`;
  return [
    `      ${times} at ${iso(failure.at)} failed: ${failure.message}`,
    `      try: ${failure.remedy}`,
    `      the next attempt is at ${iso(nextAttempt)}`,
  ];
}

function domainForPrograms({
  name: _name,
  notAfter: _notAfter,
  nextAttempt,
  failure,
  ...others
}: DomainStatus): object {
  return {
    ...others,
    nextAttempt: iso(nextAttempt),
    failure: failure === undefined ? null : { ...failure, at: iso(failure.at) },
  };
}

function faultLines({ error, since, nextAttempt }: Fault): string[] {
  return [
    `      its files hold another one since ${iso(since)}, which cannot be used:`,
    `      ${error.code}  ${error.message}`,
    `      read again when they change, and at ${iso(nextAttempt)}`,
  ];
}

function daysLeft(notAfter: number): number {
  return Math.floor((notAfter - Date.now()) / 86_400_000);
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
