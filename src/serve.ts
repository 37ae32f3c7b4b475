// serve(): the web server and the application in one process. The same core, frames and dispatcher as with worker
// processes; only the worker's end of the links is attached to this process's event loop.

import type { RequestListener } from 'node:http';
import type { FetchHandler } from './adapters/fetch/types.js';
import { LocalFiles } from './certificates/files.js';
import { CertificateStore, toCoreTls, type Loaded } from './certificates/store.js';
import type { CoreConfig, CoreTls } from './config/core.js';
import { checkConfig, type ConfigSource } from './config/check.js';
import type { ApplicationKind, Config, Listen, Mount, Tls } from './config/define.js';
import { placeError } from './config/origin.js';
import type { CheckedConfig } from './config/schema.js';
import { resolveInTime, type ConfigInput } from './config/resolve.js';
import type { ResolvedConfig } from './config/resolved.js';
import { toCoreConfig } from './config/to-core.js';
import { resolveTls } from './config/tls.js';
import { fromCore, GwanmunError } from './errors.js';
import { formatError } from './format-error.js';
import { loadNative, type CertificateRecord, type NativeBinding } from './native.js';
import { adapt } from './adapters/adapt.js';
import { InProcessServer, type CloseOptions, type Server as BaseServer } from './in-process.js';
import { nameHolder } from './supervisor/socket-holder.js';
import type { Adapter } from './gateway/adapter.js';
import type { Application } from './gateway/types.js';

/** What a mount can say beside its application, as in a configuration. */
type MountOptions = Pick<
  Mount,
  | 'tryFiles'
  | 'types'
  | 'cacheControl'
  | 'headers'
  | 'nosniff'
  | 'errorPages'
  | 'listing'
  | 'symlinks'
  | 'compression'
  | 'respond'
  | 'redirect'
  | 'allow'
  | 'deny'
  | 'auth'
  | 'passAuthorization'
  | 'rateLimit'
  | 'responseHeaders'
  | 'securityHeaders'
  | 'cors'
>;

/** A URL path and what answers below it. With both, a file that exists wins. */
export interface ServeMount extends MountOptions {
  /** `'/'`, `'/admin'`. A request goes to the longest path that matches. */
  path: string;
  /** A folder of static files, relative to the current folder. */
  files?: string | undefined;
  /** Files that answer for a folder. Default `'index.html'`; `[]` for none. */
  index?: string | readonly string[] | undefined;
  application?: Application | undefined;
  /** A fetch handler, `(request) => Response`, such as Hono's `app.fetch`. It sees the whole URL, the mount's path included. */
  fetch?: FetchHandler | undefined;
  /** A Node handler, `(request, response) => void`, such as an Express application. It sees the whole URL, the mount's path included. */
  node?: RequestListener | undefined;
  /** `true`: the application is called at once and reads the request body as it arrives. `false`: it is called when the whole body is there. Default: `false`; `true` for `fetch` and `node`. */
  stream?: boolean | undefined;
  /** A folder, or several. The application can have their files sent by naming one in the response header `X-Sendfile`. */
  sendfile?: string | readonly string[] | undefined;
}

/** What to serve and how. Everything but `application`, `fetch`, `node`, `files` and `mounts` has a default. */
export interface ServeOptions extends Omit<
  Config,
  | 'listen'
  | 'mounts'
  | 'workers'
  | 'startTimeout'
  | 'drainTimeout'
  | 'recycle'
  | 'pidFile'
  | 'hooks'
  | 'user'
  | 'group'
  | 'umask'
> {
  /** Answers every path that no file and no mount answers. */
  application?: Application | undefined;
  /** The same as a fetch handler, `(request, info) => Response`: your own, or `app.fetch` of Hono, h3 or Elysia. */
  fetch?: FetchHandler | undefined;
  /** The same as a Node handler, `(request, response) => void`: your own, an Express application, or Koa's `app.callback()`. */
  node?: RequestListener | undefined;
  /** `true`: it is called at once and reads the request body as it arrives. `false`: it is called when the whole body is there. Default: `false`; `true` for `fetch` and `node`. */
  stream?: boolean | undefined;
  /** A folder, or several. It can have their files sent by naming one in the response header `X-Sendfile`. */
  sendfile?: string | readonly string[] | undefined;
  /** A folder of static files to serve at `/`. */
  files?: string | undefined;
  mounts?: readonly ServeMount[] | undefined;
  /** 0 takes a free port. Default: PORT of the environment, else 3000. */
  port?: number | undefined;
  /** Default: HOST of the environment, else 127.0.0.1. */
  hostname?: string | undefined;
  /** The same as `hostname`. */
  host?: string | undefined;
  /** Instead of `port` and `hostname`: several addresses, or a Unix socket. */
  listen?: Listen | readonly Listen[] | undefined;
  /** Closes the server when it is aborted. */
  signal?: AbortSignal | undefined;
  /** Default: none, because the terminal is your program's. */
  accessLog?: Config['accessLog'];
}

/** A server of {@link serve}. */
export interface Server extends BaseServer {
  /**
   * Has new connections use these certificates; those of now go on. Files are read again even if nothing has changed. Rejects with a GwanmunError if one
   * cannot be used; then nothing has changed. Files that change are taken over without it. Without `clientCertificates`, clients are asked for the same as before.
   */
  setCertificates(tls: Omit<Tls, 'minVersion'>): Promise<void>;
  /**
   * Serves something else from now on; give all options again. Connections stay open, and so do addresses that both have. Requests that have
   * begun end as they began. `threads` and the logs do not change. Rejects with a GwanmunError if the options are not valid or an address
   * cannot be bound; then nothing has changed.
   */
  reload(options: ServeOptions): Promise<void>;
}

/**
 * Serves an application, files, or both:
 *
 *     const server = await serve({ application, port: 8000 });
 *     console.log(server.url);
 *
 * Resolves when the addresses are bound.
 * @throws GwanmunError with a `code` that says what is wrong and a `remedy`
 */
export async function serve(options: ServeOptions): Promise<Server> {
  return serveWith(loadNative(), options);
}

/** @internal {@link serve} with a given native binding. */
export async function serveWith(native: NativeBinding, options: ServeOptions): Promise<Server> {
  options.signal?.throwIfAborted();
  const { config, resolved, applications } = await prepare(options);
  const { concurrency } = resolved;
  let server: ReloadableServer | undefined;
  const store = makeStore(
    native,
    (tls) => server?.useCertificates(tls),
    () => server?.servedCertificates() ?? [],
  );
  try {
    const certificates = await store.load(resolved.tls);
    server = new ReloadableServer(native, config, resolved, store, certificates);
  } catch (error) {
    throw placeError(nameHolder(fromCore(error), resolved.listen), resolved);
  }
  if (applications.length > 0) server.attach(applications, concurrency);
  if (options.signal !== undefined) server.closeOn(options.signal);
  return server;
}

class ReloadableServer extends InProcessServer implements Server {
  /** One after the other. */
  #changing: Promise<void> = Promise.resolve();
  #resolved: ResolvedConfig;
  readonly #store: CertificateStore;

  constructor(
    native: NativeBinding,
    config: CoreConfig,
    resolved: ResolvedConfig,
    store: CertificateStore,
    certificates: Loaded,
  ) {
    super(native, config, resolved.shutdownTimeout, undefined, toCoreTls(certificates));
    this.#resolved = resolved;
    this.#store = store;
    store.adopt(certificates);
  }

  reload(options: ServeOptions): Promise<void> {
    return this.#change(async () => {
      const { config, resolved, applications } = await prepare(options);
      try {
        const certificates = await this.#store.load(resolved.tls);
        await this.renew(config, applications, resolved.concurrency, toCoreTls(certificates));
        this.#store.adopt(certificates);
        this.#resolved = resolved;
      } catch (error) {
        throw placeError(nameHolder(fromCore(error), resolved.listen), resolved);
      }
    });
  }

  setCertificates(tls: Omit<Tls, 'minVersion'>): Promise<void> {
    return this.#change(async () => {
      const source = { name: 'setCertificates()' };
      const { tls: checked } = checkConfig({ mounts: [{ path: '/', files: '.' }], tls }, source);
      refuseAcme(checked, source);
      if (this.#resolved.tls === undefined) {
        throw new GwanmunError('GWM_CONFIG_INVALID', 'no address of this server speaks TLS', {
          remedy: 'give serve() certificates from the start: serve({ tls: { cert, key } })',
        });
      }
      const given = resolveTls(checked, undefined, process.cwd(), source, { env: process.env, faults: [] });
      // Whose clients are let in changes only where that is said.
      const clients = given?.clients ?? this.#store.clients?.source;
      const certificates = await this.#store.load(given && { ...given, clients });
      this.useCertificates(toCoreTls(certificates));
      this.#store.adopt(certificates);
    });
  }

  override close(options?: CloseOptions): Promise<void> {
    this.#store.end();
    return super.close(options);
  }

  #change(change: () => Promise<void>): Promise<void> {
    const changing = this.#changing.then(change);
    this.#changing = changing.catch(() => {});
    return changing;
  }
}

/** Certificates of a program; what is to be said of them is a warning of its process. */
function makeStore(
  native: NativeBinding,
  apply: (tls: CoreTls) => void,
  served: () => readonly CertificateRecord[],
): CertificateStore {
  return new CertificateStore({
    native,
    files: (onChange) => new LocalFiles(native.silentPaths, onChange),
    makeLocal: async () => {
      const { LocalAuthority } = await import('./certificates/authority.js');
      return new LocalAuthority().certificate();
    },
    apply,
    served,
    tell: ({ level, message, error }) => {
      if (level === 'info') return;
      const detail = error === undefined ? {} : { detail: formatError(error) };
      process.emitWarning(`gwanmun: ${message}`, { code: error?.code ?? 'GWM_CERT_INVALID', ...detail });
    },
  });
}

async function prepare(options: ServeOptions): Promise<{
  config: CoreConfig;
  resolved: ResolvedConfig;
  applications: (Application | Adapter)[];
}> {
  const { config, resolved, given } = await resolveOptions(options);
  return { config, resolved, applications: await Promise.all(given.map(({ kind, own }) => adapt(kind, own))) };
}

/** A program may run as often as it likes, and does not say when it is over: who gets certificates is one process that stays. */
function refuseAcme(tls: CheckedConfig['tls'], { name }: ConfigSource): void {
  if (tls?.acme === undefined) return;
  throw new GwanmunError('GWM_CONFIG_INVALID', 'tls.acme: is for the gwanmun command, not for a program', {
    where: { file: name, key: 'tls.acme' },
    remedy:
      "run the module with gwanmun --domain example.org, or give serve() files: tls: { cert: './fullchain.pem', key: './privkey.pem' }",
  });
}

/** The keys of a mount that say an application, and its kind. */
const KINDS = ['application', 'fetch', 'node'] as const;

const REMEDIES: Record<(typeof KINDS)[number], string> = {
  application: 'write: function application(environ, startResponse) { … }',
  fetch: "give it (request) => new Response('…')",
  node: 'give it (request, response) => { … }',
};

/** An application as the program gave it. */
interface GivenApplication {
  readonly kind: ApplicationKind;
  readonly own: unknown;
}

/** The core's configuration, by the same rules as a configuration file's. */
async function resolveOptions(options: ServeOptions): Promise<{
  config: CoreConfig;
  resolved: ResolvedConfig;
  given: GivenApplication[];
}> {
  const {
    application,
    fetch,
    node,
    stream,
    sendfile,
    files,
    mounts: others = [],
    port,
    host,
    hostname = host,
    signal: _signal,
    ...rest
  } = options;
  const mounts: ServeMount[] = [...others];
  if ([application, fetch, node, files].some((own) => own !== undefined)) {
    mounts.push({ path: '/', application, fetch, node, files, stream, sendfile });
  }
  if (mounts.length === 0) {
    throw new GwanmunError('GWM_CONFIG_INVALID', 'serve() has nothing to serve', {
      remedy: 'give it an application, files or mounts: serve({ application })',
    });
  }
  const given: GivenApplication[] = [];
  /** By what the program gave: the same function twice is one application. */
  const indexes = new Map<unknown, number>();
  const ownIndexes = mounts.map((mount, index) => {
    const kinds = KINDS.filter((kind) => mount[kind] !== undefined);
    const [kind] = kinds;
    if (kind === undefined) return undefined;
    const own = mount[kind];
    const key = (name: string): string => (index < others.length ? `mounts[${index}].${name}` : name);
    if (kinds.length > 1) {
      throw new GwanmunError('GWM_CONFIG_INVALID', `${mount.path} has two applications: ${kinds.join(' and ')}`, {
        where: { key: key(kinds[1] as string) },
        remedy: 'keep one of them, or give each a mount of its own',
      });
    }
    if (typeof own !== 'function') {
      throw new GwanmunError('GWM_CONFIG_INVALID', `the application of ${mount.path} is not a function`, {
        where: { key: key(kind) },
        remedy: REMEDIES[kind],
      });
    }
    const known = indexes.get(own);
    if (known !== undefined) return known;
    indexes.set(own, given.length);
    return given.push({ kind: kind === 'application' ? 'wsgi' : kind, own }) - 1;
  });
  const source = { name: 'serve()' };
  const checked = checkConfig(
    {
      accessLog: false,
      ...rest,
      ...(port === undefined && hostname === undefined ? {} : { listen: { port, host: hostname } }),
      // In a configuration file an application is a module; here its place is held by a name.
      mounts: mounts.map(({ application: _application, fetch: _fetch, node: _node, ...mount }, index) =>
        ownIndexes[index] === undefined ? mount : { ...mount, app: 'application' },
      ),
    },
    source,
  );
  refuseAcme(checked.tls, source);
  const input: ConfigInput = {
    config: { ...checked, mounts: checked.mounts.map(({ app: _app, ...mount }) => mount) },
    directory: process.cwd(),
    source,
  };
  const resolved = await resolveInTime(input);
  const core = toCoreConfig(resolved);
  for (const [index, target] of core.mounts.entries()) {
    const own = ownIndexes[index];
    if (own === undefined) continue;
    target.application = own;
    target.pool = 0;
    target.compress = resolved.mounts[index]?.compress ?? true;
  }
  if (given.length > 0) {
    const { queue, timeout } = resolved;
    core.pools = [{ queue: queue.length, queueTimeoutMs: queue.timeout, requestTimeoutMs: timeout }];
  }
  return { config: core, resolved, given };
}
