// From a checked configuration, flags and environment to what is really run. Precedence: flag, configuration,
// environment (PORT, HOST), default.

import { dirname, resolve } from 'node:path';
import { resolveListen } from './addresses.js';
import { invalidConfig, type ConfigFault, type ConfigSource } from './check.js';
import type { Hooks } from './define.js';

import { FILE_KEYS, filesOf } from './files.js';
import type { KeyPath } from './locate.js';
import { resolveAccessLog, resolveErrorLog, resolveRequestIds } from './logs.js';
import { parallelism } from './parallelism.js';
import { look, silentAmong, type Kind, type Looked, type PathCheck } from './paths.js';
import { cgiProgramOf, programOf, withPrograms, type Program } from './programs.js';
import { pythonCheck, pythonFrom, type WsgiApplication } from './python.js';
import type { ResolvedApplication, ResolvedConfig, ResolvedMount } from './resolved.js';
import { addressesOf, headerRules, loginOf, rateLimitOf, rulesOf } from './rules.js';
import type { CheckedConfig } from './schema.js';
import { resolveTls, speakTls, type TlsFlag } from './tls.js';
import { VERSION } from './version.js';

/** Keys of a configuration, as they are after its check. */
export type Settings = Omit<Partial<CheckedConfig>, 'mounts'>;

/** What flags of the command line say. */
export interface Overrides {
  readonly port?: number | undefined;
  readonly host?: string | undefined;
  readonly workers?: number | 'auto' | undefined;
  /** Certificates instead of the configuration's. */
  readonly tls?: TlsFlag | undefined;
  /** Instead of the configuration's, key by key. */
  readonly settings?: Settings | undefined;
  /** `gwanmun dev`: a debugger may hold a request for as long as somebody thinks. */
  readonly development?: boolean | undefined;
}

/** A configuration and where it comes from. */
export interface ConfigInput {
  readonly config: CheckedConfig;
  /** What its paths are relative to. */
  readonly directory: string;
  readonly source: ConfigSource;
}

/**
 * Fills in what is left open, and checks that folders and modules exist. Throws one error that names every fault. Waits as long as a disk makes
 * it wait.
 */
export function resolveConfig(input: ConfigInput, overrides?: Overrides, env?: NodeJS.ProcessEnv): ResolvedConfig {
  const { checks, finish } = beginResolving(input, overrides, env);
  return finish(look(checks));
}

/** The same, but a path that does not answer is a fault after ten seconds, and holds up nothing meanwhile. */
export async function resolveInTime(input: ConfigInput, overrides?: Overrides): Promise<ResolvedConfig> {
  const { checks, finish } = beginResolving(input, overrides);
  return finish(look(checks, await silentAmong(checks)));
}

/** What has to be looked at, and what the configuration then is. Looks at nothing itself. */
function beginResolving(
  { config: written, directory, source }: ConfigInput,
  overrides: Overrides = {},
  env: NodeJS.ProcessEnv = process.env,
): { readonly checks: readonly PathCheck[]; readonly finish: (looked: Looked) => ResolvedConfig } {
  const config = withSettings(written, overrides.settings);
  const faults: ConfigFault[] = [];
  const checks: PathCheck[] = [];
  const check = (key: KeyPath, kind: Kind, path: string): string => {
    checks.push({ key, paths: [path], kind });
    return path;
  };
  /** A file that the server makes: its folder has to be there. */
  const checkPlace = (key: KeyPath, file: string): string => {
    check(key, 'folder', dirname(file));
    return check(key, 'anything', file);
  };
  const applications: ResolvedApplication[] = [];
  const pythons = new Map<number, PathCheck>();
  const programs = new Map<number, Program>();
  const mounts = config.mounts.map((mount, index): ResolvedMount => {
    const key = ['mounts', index];
    const site = mount.files ?? mount.php?.root?.here;
    const files =
      site === undefined
        ? undefined
        : check([...key, mount.files === undefined ? 'php' : 'files'], 'folder', resolve(directory, site));
    const { stream } = mount;
    const sendfile = (mount.sendfile ?? []).map((path, at) =>
      check([...key, 'sendfile', at], 'folder', resolve(directory, path)),
    );
    const errorPages = Object.entries(mount.errorPages ?? {}).map(([status, page]) => {
      const file = check([...key, 'errorPages', status], 'page', resolve(directory, page));
      return { status: Number(status), file };
    });
    for (const name of FILE_KEYS) {
      if (files !== undefined || mount[name] === undefined) continue;
      faults.push({ path: [...key, name], message: 'is about files, but the mount has no files' });
    }
    const compress = mount.compression ?? config.compression ?? true;
    if (mount.auth !== undefined && mount.auth !== false && typeof mount.auth.basic === 'string') {
      check([...key, 'auth', 'basic'], 'page', resolve(directory, mount.auth.basic));
    }
    const common = {
      path: mount.path,
      ...filesOf(files, mount, compress),
      stream,
      sendfile,
      errorPages,
      compress,
      rules: rulesOf(config, mount, directory),
    };
    if (mount.wsgi !== undefined) {
      // It is started there.
      check([...key, 'wsgi'], 'anything', directory);
      const python = pythonCheck(mount.python, directory, key);
      checks.push(python);
      pythons.set(index, python);
      return common;
    }
    if (mount.cgi !== undefined) {
      programs.set(index, cgiProgramOf(mount.cgi, [...key, 'cgi'], directory, checks));
      if (process.getuid?.() === 0 && config.user === undefined) {
        faults.push({
          path: [...key, 'cgi'],
          message: "expected user: 'www-data' beside mounts: as it is, programs would run as root for whoever asks",
        });
      }
      return common;
    }
    const program = mount.php ?? mount.fastcgi;
    if (program !== undefined) {
      programs.set(index, programOf(program, [...key, mount.php === undefined ? 'fastcgi' : 'php'], directory, checks));
      return common;
    }
    if (mount.app === undefined) return common;
    const app = { ...mount.app, module: check([...key, 'app'], 'module', resolve(directory, mount.app.module)) };
    let application = applications.findIndex(({ module, kind }) => module === app.module && kind === app.kind);
    if (application < 0) application = applications.push(app) - 1;
    return { ...common, application };
  });
  if (typeof config.auth?.basic === 'string') check(['auth', 'basic'], 'page', resolve(directory, config.auth.basic));
  const accessLog = resolveAccessLog(config.accessLog, directory);
  const errorLog = resolveErrorLog(config.errorLog, accessLog, directory);
  for (const [key, file] of [
    ['accessLog', accessLog.file],
    ['errorLog', errorLog.file],
  ] as const) {
    if (file !== undefined) checkPlace([key, 'file'], file);
  }
  const pidFile =
    config.pidFile === undefined ? undefined : checkPlace(['pidFile'], resolve(directory, config.pidFile));
  const { compressionCache: cache } = config;
  const compressionCache =
    cache === undefined ? undefined : check(['compressionCache'], 'folder or nothing', resolve(directory, cache));
  const isPublic = typeof overrides.tls === 'object' && 'domains' in overrides.tls;
  const addresses = resolveListen(config.listen, directory, { ...overrides, isPublic }, env, source);
  const listen = addresses.map((address) => address.listen);
  for (const [index, address] of listen.entries()) {
    // Who binds it says what else is wrong with it.
    if (address.kind === 'unix') check(['listen', index], 'anything', address.path);
  }
  const wantsLocal = overrides.development === true && config.listen?.some((one) => one.tls) === true;
  // Nobody's authority finds its way to where somebody develops.
  const isPublicName = overrides.development === true && config.tls?.acme !== undefined;
  const flag = overrides.tls ?? (isPublicName || (wantsLocal && !config.tls) ? 'local' : undefined);
  const tls = resolveTls(config.tls, flag, directory, source, { user: config.user, env, faults });
  if (tls?.acme !== undefined) {
    check(['tls', 'acme', 'storage'], 'anything', tls.acme.storage);
    if (tls.acme.ca !== undefined) check(['tls', 'acme', 'ca'], 'page', tls.acme.ca);
  }
  speakTls(listen, tls, config, source, faults);

  const workers = overrides.workers ?? config.workers ?? 1;
  const { limits = {}, timeouts = {}, queue = {} } = config;
  const resolved: ResolvedConfig = {
    listen,
    mounts,
    applications,
    wsgi: [],
    upstreams: [],
    ...(applications.length + pythons.size === 0 ? { workers: 0, mostWorkers: 0 } : workerCounts(workers)),
    concurrency: config.concurrency ?? 1024,
    queue: { length: queue.length ?? 1024, timeout: queue.timeout ?? 30_000 },
    limits: {
      requestLine: limits.requestLine ?? 8192,
      headerBytes: limits.headerBytes ?? 16_384,
      headerCount: limits.headerCount ?? 100,
      body: limits.body ?? 10_485_760,
      bodyInMemory: limits.bodyInMemory ?? 65_536,
      spool: limits.spool ?? Math.max(1_073_741_824, limits.body ?? 10_485_760),
      minRate: limits.minRate ?? 240,
    },
    timeouts: {
      headerMs: timeouts.header ?? 15_000,
      bodyMs: timeouts.body ?? 30_000,
      keepAliveMs: timeouts.keepAlive ?? 75_000,
      writeMs: timeouts.write ?? 30_000,
    },
    tls,
    // Part of what protects a page, where HTTPS is spoken at all.
    hsts: config.hsts ?? (config.securityHeaders ? 'max-age=31536000' : undefined),
    serverHeader:
      config.server === false ? null : typeof config.server === 'string' ? config.server : `gwanmun/${VERSION}`,
    accessLog,
    errorLog,
    environ: config.environ ?? {},
    requestIds: resolveRequestIds(config.requestId, accessLog.format === 'json' || errorLog.format === 'json'),
    trustedProxies: config.trustedProxies ?? [],
    headerRules: headerRules(config),
    addresses: addressesOf(config).addresses,
    login: loginOf(config.auth, 'this site', directory).login,
    rateLimit: rateLimitOf(config.rateLimit, 'this site').rateLimit,
    threads: config.threads ?? 0,
    timeout: config.timeout ?? (overrides.development ? 0 : 30_000),
    startTimeout: config.startTimeout ?? 30_000,
    drainTimeout: config.drainTimeout ?? 30_000,
    recycle: config.recycle ?? {},
    shutdownTimeout: config.shutdownTimeout ?? 10_000,
    compressionCache,
    pidFile,
    hooks: (config.hooks ?? {}) as Hooks,
    privileges: { user: config.user, group: config.group, umask: config.umask },
    origin: { source, directory, listen: addresses.map(({ where }) => where) },
  };
  const finish = (looked: Looked): ResolvedConfig => {
    const all = [...faults, ...looked.faults];
    if (all.length > 0) throw invalidConfig(all, source);
    return withPrograms(withPythons(resolved, config, pythons, looked), programs, looked);
  };
  return { checks, finish };
}

/** The Python applications, now that it is known where their interpreters are: mounts of one application and interpreter share it. */
function withPythons(
  resolved: ResolvedConfig,
  config: CheckedConfig,
  pythons: ReadonlyMap<number, PathCheck>,
  { found }: Looked,
): ResolvedConfig {
  const { directory } = resolved.origin;
  const wsgi: WsgiApplication[] = [];
  const mounts = resolved.mounts.map((mount, index) => {
    const { wsgi: target, python: named } = config.mounts[index] ?? {};
    const check = pythons.get(index);
    const path = check && found.get(check);
    if (target === undefined || path === undefined) return mount;
    const python = pythonFrom(path, named, directory);
    let application = wsgi.findIndex((other) => other.target === target && other.python === python);
    if (application < 0) application = wsgi.push({ target, python, directory }) - 1;
    return { ...mount, wsgi: application };
  });
  return { ...resolved, mounts, wsgi };
}

function workerCounts(workers: NonNullable<CheckedConfig['workers']>): Pick<ResolvedConfig, 'workers' | 'mostWorkers'> {
  if (typeof workers === 'object') return { workers: workers.min, mostWorkers: workers.max };
  const count = workers === 'auto' ? parallelism() : workers;
  return { workers: count, mostWorkers: count };
}

/** A configuration with some of its keys said by flags. */
function withSettings(config: CheckedConfig, settings: Settings = {}): CheckedConfig {
  const merged: Record<string, unknown> = { ...config };
  for (const [key, value] of Object.entries(settings)) {
    // A log may be named by its format alone.
    const before = key === 'accessLog' && typeof merged[key] === 'string' ? { format: merged[key] } : merged[key];
    const isGroup = typeof before === 'object' && typeof value === 'object' && !Array.isArray(value);
    merged[key] = isGroup ? { ...before, ...(value as object) } : value;
  }
  return merged as CheckedConfig;
}
