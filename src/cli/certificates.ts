// Certificates for people: of a running server, and of a configuration that is checked.

import { createColors } from '../colors.js';
import type { CertificateStatus } from '../certificates/store.js';

/** With dates that everybody can read, and the days that are left. */
export function certificateForPrograms({ notBefore, notAfter, readAt, fault, ...others }: CertificateStatus): object {
  return {
    ...others,
    notBefore: iso(notBefore),
    notAfter: iso(notAfter),
    daysLeft: daysLeft(notAfter),
    readAt: iso(readAt),
    fault:
      fault === undefined ? null : { ...fault.error, since: iso(fault.since), nextAttempt: iso(fault.nextAttempt) },
  };
}

/** A line for each certificate, and below it what is wrong with it. */
export function certificateTable(certificates: readonly CertificateStatus[], color: boolean): string {
  const c = createColors(color);
  const lines = certificates.flatMap((one) => {
    const days = daysLeft(one.notAfter);
    const left = days < 0 ? 'expired' : days === 1 ? '1 day left' : `${days} days left`;
    const isBad = one.fault !== undefined || days < 0;
    const mark = isBad ? c.red('✗') : one.warnings.length > 0 ? c.yellow('!') : c.green('✓');
    const by = one.isDefault ? 'for all other names too; ' : '';
    return [
      `  ${mark} ${one.names.join(', ')}`,
      c.dim(`      ${by}${one.keyType}, from ${one.issuer}, until ${iso(one.notAfter).slice(0, 10)}: ${left}`),
      c.dim(`      ${one.source}${one.keySource === one.source ? '' : `, ${one.keySource}`}`),
      ...one.warnings.map((warning) => `      ${warning}`),
      ...(one.fault === undefined ? [] : faultLines(one.fault)),
    ];
  });
  return lines.map((line) => `${line}\n`).join('');
}

function faultLines({ error, since, nextAttempt }: NonNullable<CertificateStatus['fault']>): string[] {
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
