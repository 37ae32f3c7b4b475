// What a configuration says of every request and response of a mount, whatever answers: who may enter, fields of heads, other origins.

import { resolve } from 'node:path';
import type { CoreAddresses, CoreCors, CoreHeaderRules, CoreLogin, CoreRateLimit } from './core.js';
import type { CheckedConfig } from './schema.js';

type Checked = Pick<CheckedConfig, 'responseHeaders' | 'securityHeaders'>;
type CheckedMount = CheckedConfig['mounts'][number];

/** What `securityHeaders: true` stands for (A118). */
const SECURITY: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'strict-origin-when-cross-origin',
  'X-Frame-Options': 'SAMEORIGIN',
  'Content-Security-Policy': "frame-ancestors 'self'",
  'Cross-Origin-Opener-Policy': 'same-origin',
};

interface Rule {
  readonly kind: 'set' | 'default' | 'remove';
  readonly name: string;
  readonly value: string;
}

/** The rules for heads. Of a field the last rule counts: those of a mount come behind those of the whole. */
export function headerRules(...levels: readonly Checked[]): CoreHeaderRules {
  const rules = new Map<string, Rule>();
  const add = (kind: Rule['kind'], name: string, value = ''): void => {
    rules.set(name.toLowerCase(), { kind, name, value });
  };
  let isOn = false;
  for (const { securityHeaders, responseHeaders } of levels) {
    if (securityHeaders === false) {
      for (const name of Object.keys(SECURITY)) rules.delete(name.toLowerCase());
      isOn = false;
    } else if (securityHeaders !== undefined) {
      // A mount that changes some of them goes on from those of the whole.
      const own = isOn && securityHeaders !== true ? {} : SECURITY;
      const said = securityHeaders === true ? {} : securityHeaders;
      for (const [name, value] of Object.entries(own)) add('default', name, value);
      for (const [name, value] of Object.entries(said)) {
        if (value === false) rules.delete(name.toLowerCase());
        else add('default', name, value);
      }
      isOn = true;
    }
    const { set = {}, default: defaults = {}, remove = [] } = responseHeaders ?? {};
    for (const [name, value] of Object.entries(defaults)) add('default', name, value);
    for (const name of remove) add('remove', name);
    for (const [name, value] of Object.entries(set)) add('set', name, value);
  }
  const of = (kind: Rule['kind']): [string, string][] =>
    [...rules.values()].filter((rule) => rule.kind === kind).map(({ name, value }) => [name, value]);
  return { set: of('set'), default: of('default'), remove: of('remove').map(([name]) => name) };
}

/** Whether there is anything in them. */
export function isEmpty({ set, default: defaults, remove }: CoreHeaderRules): boolean {
  return set.length + defaults.length + remove.length === 0;
}

/** Who may enter, as far as it is said here. */
export function addressesOf({ allow, deny }: Pick<CheckedMount, 'allow' | 'deny'>): {
  readonly addresses?: CoreAddresses;
} {
  const allowed = allow === 'all' ? undefined : allow;
  if (allowed === undefined && deny === undefined) return {};
  return { addresses: { allow: [...(allowed ?? [])], deny: [...(deny ?? [])] } };
}

/** Who may enter by password. `realm`: if none is said. */
export function loginOf(
  auth: CheckedConfig['auth'] | false,
  realm: string,
  directory: string,
): { readonly login?: CoreLogin } {
  if (auth === undefined || auth === false) return {};
  const { basic, attempts = 30 } = auth;
  const users =
    typeof basic === 'string'
      ? { file: resolve(directory, basic) }
      : {
          users: Object.entries(basic)
            .map(([user, hash]) => `${user}:${hash}\n`)
            .join(''),
        };
  return {
    login: { ...users, realm: auth.realm ?? realm, ...(attempts === false ? {} : { attempts }) },
  };
}

/** How often somebody may ask. `name`: if none is said. */
export function rateLimitOf(
  limit: CheckedConfig['rateLimit'] | false,
  name: string,
): { readonly rateLimit?: CoreRateLimit } {
  if (limit === undefined || limit === false) return {};
  const { requests, per = 1000, burst = requests, key = 'address', status = 429, dryRun = false } = limit;
  return { rateLimit: { name: limit.name ?? name, requests, per, burst, key, status, dryRun } };
}

/** What of a mount's rules the core gets. `whole`: what is said of all mounts; `directory`: what paths are relative to. */
export function rulesOf(whole: CheckedConfig, mount: CheckedMount, directory: string): MountRules {
  const headers = headerRules(whole, mount);
  return {
    ...(mount.respond === undefined ? {} : { respond: { ...mount.respond, headers: [...mount.respond.headers] } }),
    ...(mount.redirect === undefined ? {} : { redirect: { ...mount.redirect } }),
    ...(isEmpty(headers) ? {} : { headerRules: headers }),
    ...(mount.cors === undefined ? {} : { cors: corsOf(mount.cors) }),
    ...addressesOf(mount),
    ...(mount.allow === 'all' ? { open: true } : {}),
    // A path may have what no field's value may.
    ...loginOf(mount.auth, mount.path.replaceAll(/[^\x20-\x7e]/g, '?'), directory),
    ...(mount.auth === false ? { noLogin: true } : {}),
    ...rateLimitOf(mount.rateLimit, mount.path),
    ...(mount.rateLimit === false ? { noRateLimit: true } : {}),
    ...(mount.passAuthorization === true ? { passAuthorization: true } : {}),
  };
}

/** The part of a mount that the core gets of them. */
export interface MountRules {
  readonly respond?: { status: number; headers: [name: string, value: string][]; body: string };
  readonly redirect?: { to: string; status: number };
  readonly headerRules?: CoreHeaderRules;
  readonly cors?: CoreCors;
  readonly addresses?: CoreAddresses;
  readonly open?: boolean;
  readonly login?: CoreLogin;
  readonly noLogin?: boolean;
  readonly passAuthorization?: boolean;
  readonly rateLimit?: CoreRateLimit;
  readonly noRateLimit?: boolean;
}

function corsOf(cors: NonNullable<CheckedMount['cors']>): CoreCors {
  return {
    origins: [...cors.origins],
    credentials: cors.credentials ?? false,
    methods: [...(cors.methods ?? ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])],
    // `*` stands for every field but Authorization, and for nothing where there are credentials.
    headers: [...(cors.headers ?? (cors.credentials === true ? [] : ['*']))],
    expose: [...(cors.expose ?? [])],
    maxAge: Math.round((cors.maxAge ?? 3_600_000) / 1000),
  };
}
