// X.509 certificates (RFC 5280) as the local authority makes them.

import { createHash, randomBytes, sign, type KeyObject } from 'node:crypto';
import { bits, context, contextBytes, integer, octets, oid, pem, sequence, set, time, utf8, yes } from './der.js';

/** What a certificate says. */
export interface CertificateFields {
  readonly subject: string;
  readonly issuer: string;
  readonly spki: Uint8Array;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly signer: KeyObject;
  readonly extensions: Uint8Array;
}

/** A certificate in PEM (RFC 5280 section 4.1), signed with ECDSA and SHA-256. */
export function certify({ subject, issuer, spki, from, to, signer, extensions }: CertificateFields): string {
  const algorithm = sequence(oid('1.2.840.10045.4.3.2'));
  const body = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(serial()),
    algorithm,
    nameOf(issuer),
    sequence(time(from), time(to)),
    nameOf(subject),
    spki,
    context(3, extensions),
  );
  const signature = sign('sha256', body, { key: signer, dsaEncoding: 'der' });
  return pem('CERTIFICATE', sequence(body, algorithm, bits(signature)));
}

/** Positive, and of as many bits as can be guessed by nobody. */
function serial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** One common name. */
function nameOf(text: string): Buffer {
  return sequence(set(sequence(oid('2.5.4.3'), utf8(text))));
}

/** RFC 5280 section 4.2.1. */
const OIDS = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const;

export function extension(name: keyof typeof OIDS, value: Uint8Array, isCritical = false): Buffer {
  return sequence(oid(OIDS[name]), ...(isCritical ? [yes()] : []), octets(value));
}

/** GeneralName's. */
export const dnsName = (name: string): Buffer => contextBytes(2, Buffer.from(name));
export const ipAddress = (bytes: readonly number[]): Buffer => contextBytes(7, Buffer.from(bytes));

/** RFC 7093 section 2: of the key's own bytes, which on P-256 are the last 65 of its encoding. */
export function keyIdentifier(key: KeyObject): Buffer {
  const spki = key.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki.subarray(-65)).digest().subarray(0, 20);
}
