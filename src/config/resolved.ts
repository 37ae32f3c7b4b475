// A configuration as it is run: what everything but the reading of it goes by.

import type {
  CoreAddresses,
  CoreCgi,
  CoreConfig,
  CoreFastCgi,
  CoreHeaderRules,
  CoreListener,
  CoreLogin,
  CoreMount,
  CoreUpstream,
  CoreRateLimit,
} from './core.js';
import type { ApplicationKind, Hooks } from './define.js';
import type { Origin } from './origin.js';
import type { WsgiApplication } from './python.js';
import type { MountRules } from './rules.js';
import type { ResolvedTls } from './tls.js';

/** A configuration with every default filled in and every path absolute. */
export interface ResolvedConfig {
  readonly listen: readonly CoreListener[];
  readonly mounts: readonly ResolvedMount[];
  /** A mount names one by its index. */
  readonly applications: readonly ResolvedApplication[];
  /** Python applications; each has workers of its own. A mount names one by its index. */
  readonly wsgi: readonly WsgiApplication[];
  /** Other servers. A mount names one by its index. */
  readonly upstreams: readonly CoreUpstream[];
  /** Worker processes for the modules, which load them all, and for each Python application. */
  readonly workers: number;
  /** As many as `workers`, unless they are scaled. */
  readonly mostWorkers: number;
  readonly concurrency: number;
  readonly queue: { readonly length: number; readonly timeout: number };
  readonly limits: CoreConfig['limits'];
  readonly timeouts: CoreConfig['timeouts'];
  /** Undefined: no address speaks TLS. */
  readonly tls: ResolvedTls | undefined;
  /** The value of `Strict-Transport-Security`. */
  readonly hsts: string | undefined;
  readonly serverHeader: string | null;
  readonly accessLog: CoreConfig['accessLog'];
  readonly errorLog: CoreConfig['errorLog'];
  readonly environ: CoreConfig['environ'];
  readonly requestIds: CoreConfig['requestIds'];
  readonly trustedProxies: readonly string[];
  /** Of responses that no mount gives. */
  readonly headerRules: CoreHeaderRules;
  /** Who may enter. Undefined: everybody. */
  readonly addresses: CoreAddresses | undefined;
  readonly login: CoreLogin | undefined;
  readonly rateLimit: CoreRateLimit | undefined;
  /** 0 = one for each core of the machine. */
  readonly threads: number;
  /** 0: none. */
  readonly timeout: number;
  readonly startTimeout: number;
  readonly drainTimeout: number;
  readonly recycle: {
    readonly requests?: number | undefined;
    readonly memory?: number | undefined;
    readonly age?: number | undefined;
    readonly jitter?: number | undefined;
  };
  readonly shutdownTimeout: number;
  /** Absolute path of a folder, which need not be there. */
  readonly compressionCache: string | undefined;
  /** Absolute path. */
  readonly pidFile: string | undefined;
  readonly hooks: Hooks;
  /** What the server runs as once its addresses are bound. */
  readonly privileges: {
    readonly user?: string | number | undefined;
    readonly group?: string | number | undefined;
    readonly umask?: number | undefined;
  };
  readonly origin: Origin;
}

export interface ResolvedApplication {
  /** Absolute path. */
  readonly module: string;
  /** Undefined: its exports say it. */
  readonly kind?: ApplicationKind | undefined;
}

export interface ResolvedMount {
  readonly path: string;
  readonly files?: CoreMount['files'];
  readonly compress: boolean;
  readonly errorPages: readonly { readonly status: number; readonly file: string }[];
  readonly application?: number;
  /** Undefined: as the application wishes. */
  readonly stream: boolean | undefined;
  readonly sendfile: readonly string[];
  readonly wsgi?: number;
  readonly fastcgi?: CoreFastCgi;
  readonly cgi?: CoreCgi;
  /** What holds whatever answers. */
  readonly rules: MountRules;
}

/** Worker processes of all pools together. */
export function processCount({ applications, wsgi, workers }: ResolvedConfig): number {
  return workers * ((applications.length > 0 ? 1 : 0) + wsgi.length);
}
