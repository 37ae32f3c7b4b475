// What an authority is sent and asks back, in DER: requests for certificates (RFC 2986), and the certificates that answer TLS-ALPN-01 (RFC 8737).

import { createHash, createPublicKey, generateKeyPairSync, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { isIP, SocketAddress } from 'node:net';
import { certify, dnsName, ipAddress } from '../certificates/certify.js';
import { bits, context, integer, octets, oid, sequence, set, tagged, yes } from '../certificates/der.js';

/** The kind of a certificate's key. */
export type KeyType = 'ecdsa' | 'rsa';

/** The key of a certificate: of P-256, or of RSA with 2048 bits for clients that know no other (T152). */
export function certificateKey(type: KeyType): KeyObject {
  return type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** A request for one name: the name alone, and nothing that authorities refuse (T152). DER. */
export function certificateRequest(domain: string, key: KeyObject): Buffer {
  const san = sequence(oid('2.5.29.17'), octets(sequence(generalName(domain))));
  const extensions = sequence(oid('1.2.840.113549.1.9.14'), set(sequence(san)));
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const body = sequence(integer(Buffer.from([0])), sequence(), spki, context(0, extensions));
  const signature = sign('sha256', body, { key, dsaEncoding: 'der' });
  const algorithm =
    key.asymmetricKeyType === 'rsa'
      ? sequence(oid('1.2.840.113549.1.1.11'), tagged(0x05))
      : sequence(oid('1.2.840.10045.4.3.2'));
  return sequence(body, algorithm, bits(signature));
}

/** A name, or an address. */
export function identifierOf(domain: string): { readonly type: 'dns' | 'ip'; readonly value: string } {
  return { type: isIP(domain) === 0 ? 'dns' : 'ip', value: domain };
}

function generalName(domain: string): Buffer {
  return isIP(domain) === 0 ? dnsName(domain) : ipAddress(addressBytes(domain));
}

export function addressBytes(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number);
  // Its canonical form has no dots.
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' });
  const [head = '', tail] = canonical
    .replace(/^::ffff:(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
      const group = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
      return `::ffff:${group(a, b)}:${group(c, d)}`;
    })
    .split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const middle = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...middle, ...right].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** RFC 8737 section 3: self-signed, for the name alone, with the answer's digest. DER, the key PKCS #8. */
export function challengeCertificate(domain: string, answer: string): { readonly cert: Buffer; readonly key: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const digest = createHash('sha256').update(answer).digest();
  const now = Date.now();
  const pem = certify({
    subject: 'ACME challenge',
    issuer: 'ACME challenge',
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    from: now - 3_600_000,
    to: now + 86_400_000,
    signer: privateKey,
    extensions: sequence(
      sequence(oid('2.5.29.17'), octets(sequence(generalName(domain)))),
      sequence(oid('1.3.6.1.5.5.7.1.31'), yes(), octets(octets(digest))),
    ),
  });
  const cert = new X509Certificate(pem).raw;
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'der' }) };
}

/** What an authority knows a certificate by when it is asked for its renewal (RFC 9773 section 4.1). Undefined: it says too little of itself. */
export function renewalIdOf(pem: string): string | undefined {
  const certificate = elements(new X509Certificate(pem).raw)[0];
  const body = certificate && elements(certificate.content)[0];
  if (body === undefined) return undefined;
  const fields = elements(body.content);
  const serial = fields.find(({ tag }) => tag === 0x02);
  const extensions = fields.find(({ tag }) => tag === 0xa3);
  if (serial === undefined || extensions === undefined) return undefined;
  const wanted = oid('2.5.29.35');
  const list = elements(elements(extensions.content)[0]?.content ?? Buffer.alloc(0));
  const own = list.map(({ content }) => content).find((content) => content.subarray(0, wanted.length).equals(wanted));
  const value = own && elements(own).findLast(({ tag }) => tag === 0x04);
  const identifier = value && elements(value.content)[0];
  const key = identifier && elements(identifier.content).find(({ tag }) => tag === 0x80);
  if (key === undefined) return undefined;
  return `${key.content.toString('base64url')}.${serial.content.toString('base64url')}`;
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

/** The values that stand side by side in DER. */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0;
    const count = first < 0x80 ? 0 : first & 0x7f;
    const length = count === 0 ? first : bytes.readUIntBE(at + 2, Math.min(count, 6));
    const start = at + 2 + count;
    found.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}
