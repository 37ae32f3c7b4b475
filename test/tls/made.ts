// Certificates for tests, with whatever names and dates.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { certify, dnsName, extension } from '../../src/certificates/certify.js';
import { sequence } from '../../src/certificates/der.js';

export const DAY = 86_400_000;

export interface Made {
  readonly cert: string;
  readonly key: string;
}

const { privateKey: AUTHORITY } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** A certificate for these names. Days from now on; the key of another one if that is given. */
export function made(
  names: readonly string[],
  { from = -1, to = 90, key }: { from?: number; to?: number; key?: KeyObject } = {},
): Made {
  const pair = key === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : key;
  const now = Date.now();
  const cert = certify({
    subject: 'a test',
    // Its own root: nothing is missing in its chain.
    issuer: 'a test',
    spki: createPublicKey(pair).export({ type: 'spki', format: 'der' }),
    from: now + from * DAY,
    to: now + to * DAY,
    signer: AUTHORITY,
    extensions: sequence(extension('subjectAltName', sequence(...names.map(dnsName)))),
  });
  return { cert, key: pair.export({ type: 'pkcs8', format: 'pem' }) as string };
}
