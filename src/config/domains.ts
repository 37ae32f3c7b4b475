// What certificates are asked for, and of whom: names in their normal form, which of them no public authority issues for, and where authorities are.

import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** Authorities that have a name here. */
export const DIRECTORIES = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  'letsencrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
} as const;

/** Of the authorities above. */
export const TERMS = 'https://letsencrypt.org/repository/';

/** A name as it is asked for, A-labels in lower case, or an address; or what is wrong with it. */
export function parseDomain(text: string): { readonly ok: string } | { readonly fault: string } {
  if (isIP(text) !== 0) return { ok: text.toLowerCase() };
  if (text.startsWith('*.')) {
    return {
      fault: `a certificate for ${text} needs a proof in the DNS, which gwanmun does not give; list the names one by one, or get it with another program (certbot, lego) and name its files: certificates: [{ cert, key }]`,
    };
  }
  if (/[/:@?#\s]/.test(text))
    return { fault: `expected a name such as 'example.org', without scheme, port or path, got "${text}"` };
  const name = domainToASCII(text.replace(/\.$/, ''));
  const isName = name.length <= 253 && name.split('.').every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(label));
  return isName ? { ok: name } : { fault: `expected a name such as 'example.org', got "${text}"` };
}

/** Nobody's in public: RFC 6761, RFC 6762, RFC 7686, RFC 8375, and what ICANN keeps for private use. */
const LOCAL = /(?:^|\.)(?:localhost|test|example|invalid|local|internal|onion|home\.arpa|lan|home|corp)$/;
/** RFC 6890. */
const PRIVATE_4 =
  /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[789]\d|1[01]\d|12[0-7])|22[4-9]|2[345]\d)\./;
const PRIVATE_6 = /^(?:::1?$|f[cd]|fe[89ab]|ff)/;

/** Why no public authority issues for it; undefined: one may (T160). */
export function whyNotPublic(domain: string): string | undefined {
  const version = isIP(domain);
  const isPrivate =
    version === 4
      ? PRIVATE_4.test(domain)
      : version === 6
        ? PRIVATE_6.test(domain)
        : LOCAL.test(domain) || !domain.includes('.');
  if (!isPrivate) return undefined;
  return `no public authority issues a certificate for ${domain}, which is local; for development: gwanmun --tls, else name your own authority: tls: { acme: { directory: 'https://…', ca: './root.pem' } }`;
}
