// Programs: those that speak FastCGI, PHP above all, and those that are started for each request. What a mount says of them, with every default filled in.

import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { invalidConfig } from './check.js';
import type { CoreAddressOfUpstream, CoreCgi, CoreFastCgi, CoreUpstream } from './core.js';
import type { KeyPath } from './locate.js';
import { parallelism } from './parallelism.js';
import type { Looked, PathCheck } from './paths.js';
import type { ResolvedConfig, ResolvedMount } from './resolved.js';
import type { CheckedCgi, CheckedFastCgi } from './schema.js';

/** Where php-fpm listens: the sockets of Debian, Fedora, Alpine and Arch, a version without a number first, then the newest. */
const PHP_SOCKETS: readonly string[] = [
  '/run/php/php-fpm.sock',
  ...['8.6', '8.5', '8.4', '8.3', '8.2', '8.1', '8.0', '7.4'].map((version) => `/run/php/php${version}-fpm.sock`),
  '/run/php-fpm/www.sock',
  '/run/php-fpm/php-fpm.sock',
  '/run/php-fpm.sock',
  ...['85', '84', '83', '82'].map((version) => `/run/php-fpm${version}/php-fpm.sock`),
];

/** Where php-cgi is looked for, and looks for programs itself. */
const SAFE_PATH = '/usr/local/bin:/usr/bin:/bin';

/** A mount's program, and where it is or has to be. */
export type Program =
  | { readonly own: CheckedFastCgi; readonly to: PathCheck | CoreAddressOfUpstream }
  | { readonly cgi: CheckedCgi };

/** The program that a key of a mount names; what has to be looked at for it goes to `checks`. */
export function programOf(own: CheckedFastCgi, key: KeyPath, directory: string, checks: PathCheck[]): Program {
  if (own.root !== undefined) {
    checks.push({ key, paths: [resolve(directory, own.root.here)], kind: 'folder' });
  }
  if (own.to === undefined) {
    const socket = phpCheck(key);
    checks.push(socket);
    return { own, to: socket };
  }
  const to = absolute(own.to, directory);
  // It may be started later than this server: who connects says what is wrong with it.
  if (to.kind === 'unix' && !to.path.startsWith('@')) checks.push({ key, paths: [to.path], kind: 'anything' });
  return { own, to };
}

/** The programs of a mount that are started; what has to be looked at for them goes to `checks`. */
export function cgiProgramOf(own: CheckedCgi, key: KeyPath, directory: string, checks: PathCheck[]): Program {
  const folder = own.folder ?? dirname(own.program ?? '');
  checks.push({ key, paths: [resolve(directory, folder)], kind: 'folder' });
  if (own.program !== undefined) {
    checks.push({ key, paths: [resolve(directory, own.program)], kind: 'script', written: own.program });
  }
  return { cgi: own };
}

/** The programs, now that it is known where php-fpm listens: mounts that say the same of one server share it. */
export function withPrograms(
  resolved: ResolvedConfig,
  programs: ReadonlyMap<number, Program>,
  { found }: Looked,
): ResolvedConfig {
  const upstreams: CoreUpstream[] = [];
  const mounts = resolved.mounts.map((mount, index): ResolvedMount => {
    const own = programs.get(index);
    if (own === undefined) return mount;
    if ('cgi' in own) {
      const { upstream, program } = cgiOf(own.cgi, resolved.origin.directory, resolved);
      return { ...mount, cgi: { upstream: upstreams.push(upstream) - 1, ...program } };
    }
    const to = 'paths' in own.to ? found.get(own.to) : own.to;
    if (to === undefined) return mount;
    const { directory } = resolved.origin;
    const isProgram = typeof to === 'string' && !to.endsWith('.sock');
    if (isProgram && process.getuid?.() === 0 && resolved.privileges.user === undefined) {
      const path = ['mounts', index, 'php'];
      const message = `expected user: 'www-data' beside mounts, or php-fpm: there is only ${to} to be started, and scripts would run as root for whoever asks`;
      throw invalidConfig([{ path, message }], resolved.origin.source);
    }
    const address = isProgram ? privateSocket() : typeof to === 'string' ? ({ kind: 'unix', path: to } as const) : to;
    const { upstream, program } = fastCgiOf(own.own, address, directory, resolved, isProgram ? to : undefined);
    let number = upstreams.findIndex((other) => isDeepStrictEqual(other, upstream));
    if (number < 0) number = upstreams.push(upstream) - 1;
    const symlinks = mount.files?.symlinks;
    const scripts = program.scripts && { ...program.scripts, ...(symlinks === undefined ? {} : { symlinks }) };
    return { ...mount, fastcgi: { upstream: number, ...program, ...(scripts && { scripts }) } };
  });
  return { ...resolved, mounts, upstreams };
}

/** A socket in a folder of its own, which is made when the program is started. */
function privateSocket(): CoreAddressOfUpstream {
  return { kind: 'unix', path: join(tmpdir(), `gwanmun-php-${randomUUID()}`, 'php.sock') };
}

/** The program of a mount, in the core's form, and the server that it is. `address`: absolute. */
function fastCgiOf(
  own: CheckedFastCgi,
  address: CoreAddressOfUpstream,
  directory: string,
  defaults: { readonly timeout: number; readonly queue: { readonly length: number; readonly timeout: number } },
  spawned: string | undefined,
): { readonly upstream: CoreUpstream; readonly program: Omit<CoreFastCgi, 'upstream'> } {
  const children = own.children ?? 2 * parallelism();
  const { root, index, splitPath, scripts, noExec, env, passAuthorization, maxConnections, timeout } = own;
  return {
    upstream: {
      address,
      maxConnections: maxConnections ?? (spawned === undefined ? 64 : children),
      queue: defaults.queue.length,
      queueTimeoutMs: defaults.queue.timeout,
      connectTimeoutMs: 5000,
      timeoutMs: timeout ?? defaults.timeout,
      ...(spawned === undefined
        ? {}
        : { spawn: { program: spawned, children, env: { PATH: SAFE_PATH, PHP_FCGI_MAX_REQUESTS: '1000' } } }),
    },
    program: {
      ...(root === undefined
        ? {}
        : {
            scripts: {
              root: resolve(directory, root.here),
              ...(root.there === undefined ? {} : { rootThere: root.there }),
              ...(index === false ? {} : { index: index ?? 'index.php' }),
              extensions: [...(splitPath ?? ['.php'])],
              ...(scripts === undefined ? {} : { only: scripts.map((path) => `/${path.replace(/^\/+/, '')}`) }),
              noExec: [...(noExec ?? [])],
            },
          }),
      env: { ...env },
      passAuthorization: passAuthorization ?? false,
    },
  };
}

/** An address with the path of its socket absolute. */
function absolute(address: CoreAddressOfUpstream, directory: string): CoreAddressOfUpstream {
  if (address.kind !== 'unix' || address.path.startsWith('@')) return address;
  return { kind: 'unix', path: resolve(directory, address.path) };
}

/** Programs that are started, in the core's form, and what bounds how many run at once. */
function cgiOf(
  own: CheckedCgi,
  directory: string,
  defaults: { readonly timeout: number; readonly queue: { readonly length: number; readonly timeout: number } },
): { readonly upstream: CoreUpstream; readonly program: Omit<CoreCgi, 'upstream'> } {
  const { folder, program, maxProcesses, timeout, env, passAuthorization, limits = {} } = own;
  const place = resolve(directory, folder ?? dirname(program ?? ''));
  const shown = program === undefined ? place : resolve(directory, program);
  return {
    upstream: {
      address: { kind: 'processes', folder: shown },
      maxConnections: maxProcesses ?? 2 * parallelism(),
      queue: defaults.queue.length,
      queueTimeoutMs: defaults.queue.timeout,
      connectTimeoutMs: 10_000,
      timeoutMs: timeout ?? defaults.timeout,
    },
    program: {
      folder: place,
      ...(program === undefined ? {} : { program: basename(program) }),
      env: { ...env },
      passAuthorization: passAuthorization ?? false,
      limits: {
        ...(limits.cpu === undefined ? {} : { cpu: Math.ceil(limits.cpu / 1000) }),
        ...(limits.memory === undefined ? {} : { memory: limits.memory }),
        ...(limits.fileSize === undefined ? {} : { fileSize: limits.fileSize }),
      },
    },
  };
}

/** Where php-fpm has to be, if its mount does not say it. */
function phpCheck(key: KeyPath): PathCheck {
  return {
    key,
    paths: [...PHP_SOCKETS, ...SAFE_PATH.split(':').map((folder) => `${folder}/php-cgi`)],
    kind: 'socket or program',
    nowhere:
      "there is no socket of php-fpm in /run/php or /run/php-fpm, nor a program php-cgi. Install one (apt-get install php-fpm, or php-cgi), or say where php-fpm listens: php: { root: './public', to: '127.0.0.1:9000' }",
  };
}
