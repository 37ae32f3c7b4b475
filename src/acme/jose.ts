// Keys and signatures as ACME wants them (RFC 8555 section 6.2, RFC 7515, RFC 7638).

import { createHash, createHmac, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** The members in the order that a thumbprint needs. */
interface Jwk {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
  readonly y: string;
}

export function jwkOf(key: KeyObject): Jwk {
  const { crv = '', kty = '', x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' });
  return { crv, kty, x, y };
}

/** What an authority knows an account's key by. */
export function thumbprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(JSON.stringify(jwkOf(key)))
    .digest('base64url');
}

export interface Jws {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

/** `payload` undefined: what is asked for is only read (RFC 8555 section 6.3). */
export function signed(key: KeyObject, header: object, payload: unknown): Jws {
  const parts = encoded({ alg: 'ES256', ...header }, payload);
  const data = Buffer.from(`${parts.protected}.${parts.payload}`);
  const signature = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  return { ...parts, signature };
}

/** With a secret that was agreed on otherwise (RFC 8555 section 7.3.4). */
export function signedBySecret(secret: string, header: object, payload: unknown): Jws {
  const parts = encoded({ alg: 'HS256', ...header }, payload);
  const hmac = createHmac('sha256', Buffer.from(secret, 'base64url'));
  return { ...parts, signature: hmac.update(`${parts.protected}.${parts.payload}`).digest('base64url') };
}

function encoded(header: object, payload: unknown): Omit<Jws, 'signature'> {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return { protected: encode(header), payload: payload === undefined ? '' : encode(payload) };
}
