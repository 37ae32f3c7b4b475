/** Targets that `new URL` leaves as they are. */
const PLAIN = /^\/[\w\-.~!$&()*+,;=:@/%]*(?:\?[\w\-.~!$&()*+,;=:@/%?]*)?$/;
/** Segments that it would take away. */
const DOTS = /\/(?:\.|%2e)/i;

/** Origins by scheme and Host, of a bounded number: clients choose what they send. Null: there is no such origin. */
const origins = new Map<string, string | null>();
const MOST_ORIGINS = 512;

/** `http://host:port` of a request; null if the host cannot stand in a URL. `authority`: its Host. */
export function originOf(scheme: string, authority: string): string | null {
  const key = `${scheme}://${authority}`;
  let origin = origins.get(key);
  if (origin === undefined) {
    origin = URL.canParse(key) ? new URL(key).origin : null;
    if (origins.size >= MOST_ORIGINS) origins.clear();
    origins.set(key, origin);
  }
  return origin;
}

/** The absolute URL of a request target, without what an absolute one says of the origin (RFC 9112 section 3.2). */
export function urlOf(origin: string, target: string): string {
  if (PLAIN.test(target) && !DOTS.test(target)) return origin + target;
  const path = target.replace(/^[a-z][a-z\d+\-.]*:\/\/[^/?#]*/i, '');
  // Bytes beyond ASCII stand for themselves, as in PATH_INFO: `URL` would take each for a character.
  const ascii = path.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
  // Joined and not resolved against the origin: a path that begins with two slashes is no other host.
  return new URL(`${origin}${path.startsWith('/') ? '' : '/'}${ascii}`).href;
}
