// A certificate for a server that this process alone asks, and that ends with it.

import { generateKeyPairSync } from 'node:crypto';
import type { CertificateSource } from '../config/tls.js';
import { certify, dnsName, extension } from './certify.js';
import { sequence } from './der.js';

const HOUR_MS = 3_600_000;

export function certificateForOneself(): CertificateSource {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Date.now();
  const cert = certify({
    subject: 'localhost',
    issuer: 'localhost',
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    from: now - HOUR_MS,
    to: now + 24 * HOUR_MS,
    signer: privateKey,
    extensions: sequence(extension('subjectAltName', sequence(dnsName('localhost')))),
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { cert: { text: cert }, key: { text: key }, isDefault: true, where: { cert: {}, key: {} } };
}
