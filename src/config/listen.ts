import { isIPv6 } from 'node:net';
import type { TcpListen, UnixListen } from './define.js';

/** An address as written, or what is wrong with it. */
export type ParsedListen = { readonly ok: TcpListen | UnixListen } | { readonly fault: string };

const EXPECTED = "expected '8080', ':8080', '127.0.0.1:8080', '[::1]:8080' or 'unix:/run/site.sock'";

/** Reads an address: `8080`, `:8080`, `host:8080`, `host`, `[::1]:8080` or `unix:/path`. Parts that are absent stay so. */
export function parseListen(text: string): ParsedListen {
  if (text.startsWith('unix:')) {
    const unix = text.slice('unix:'.length);
    return unix === '' ? { fault: `${EXPECTED}, got "${text}" without a path` } : { ok: { unix } };
  }
  const match = /^(?:\[([^\]]*)\]|([^:\s/[\]]+(?=:|$)))?(?::(\d+))?$/.exec(/^\d+$/.test(text) ? `:${text}` : text);
  if (!match || text === '') {
    const hint = isIPv6(text) ? `; write an IPv6 address in brackets: '[${text}]:8080'` : '';
    return { fault: `${EXPECTED}, got "${text}"${hint}` };
  }
  const [, bracketed, name, digits] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) return { fault: `"${bracketed}" is not an IPv6 address` };
  const host = bracketed ?? name;
  const listen: TcpListen = {};
  if (host !== undefined) listen.host = host;
  if (digits !== undefined) {
    const port = parsePort(digits);
    if (port === undefined) return { fault: `${PORT_RANGE}, got ${digits}` };
    listen.port = port;
  }
  return { ok: listen };
}

/** What a port may be. */
export const PORT_RANGE = 'expected a port from 0 to 65535';

/** A port of decimal digits, or undefined. */
export function parsePort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}
