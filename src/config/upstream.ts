// Addresses of other servers.

import { isIPv6 } from 'node:net';
import { parsePort } from './listen.js';
import type { CoreAddressOfUpstream } from './core.js';

const EXPECTED = "expected 'unix:/run/php/php-fpm.sock', '127.0.0.1:9000' or '[::1]:9000'";

/** Reads the address of a server: `host:port`, `[::1]:port`, `unix:/path`, or `unix:@name` for one of the abstract namespace. */
export function parseUpstream(text: string): { readonly ok: CoreAddressOfUpstream } | { readonly fault: string } {
  if (text.startsWith('unix:') && text !== 'unix:' && text !== 'unix:@') {
    return { ok: { kind: 'unix', path: text.slice('unix:'.length) } };
  }
  if (/^\.{0,2}\//.test(text)) return { fault: `${EXPECTED}, got "${text}"; did you mean "unix:${text}"?` };
  const [, bracketed, name, digits = ''] = /^(?:\[([^\]]+)\]|([^:\s/[\]]+)):(\d+)$/.exec(text) ?? [];
  const port = parsePort(digits);
  const host = bracketed ?? name;
  if (host === undefined || port === undefined || port === 0 || (bracketed !== undefined && !isIPv6(bracketed))) {
    return { fault: `${EXPECTED}, got "${text}"` };
  }
  return { ok: { kind: 'tcp', host, port } };
}
