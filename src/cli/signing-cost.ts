// What an operator pays for an RSA key: most of a handshake's time is its signature.

import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { CertificateStatus } from '../certificates/kept-certificate.js';

/** What signing with an RSA key costs a handshake, measured: clients verify an ECDSA certificate as well. */
export function costOf({ keyType, source }: CertificateStatus, key: string): string[] {
  if (!keyType.startsWith('RSA')) return [];
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const times = signingMs(createPrivateKey(pemKey(key))) / signingMs(privateKey);
  return [
    `  the signature of a handshake with ${source} (${keyType}) takes ${Math.round(times)} times as long as with ECDSA P-256`,
  ];
}

/** The file may have the certificate before it. */
function pemKey(text: string): string {
  return text.slice(text.search(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/m));
}

function signingMs(key: KeyObject): number {
  const text = Buffer.alloc(64);
  const run = (): number => {
    const began = performance.now();
    for (let count = 0; count < 8; count++) sign('sha256', text, key);
    return performance.now() - began;
  };
  return Math.min(run(), run(), run());
}
