// The configuration as a user writes it, and `defineConfig` to write it with an editor's help.

/** A TCP address. A missing host is the environment variable HOST or 127.0.0.1, a missing port PORT or 3000. */
export interface TcpListen {
  host?: string | undefined;
  /** 0 to 65535; 0 takes a free port. */
  port?: number | undefined;
}

/** A Unix domain socket. */
export interface UnixListen {
  /** Path of the socket, relative to the configuration file. */
  unix: string;
  /** Its file mode, such as `0o660`. */
  mode?: number | undefined;
}

/**
 * Where to listen: a port, an object, or a string: `'8080'`, `':8080'`, `'127.0.0.1:8080'`, `'[::1]:8080'`,
 * `'unix:/run/site.sock'`. A port alone listens on 127.0.0.1 (or HOST), not on every interface.
 */
export type Listen = number | string | TcpListen | UnixListen;

/** A URL path and what answers below it. With both `files` and `app`, a file that exists wins. */
export interface Mount {
  /** `'/'`, `'/admin'`: begins with `/`; the longest path that fits a request answers it. */
  path: string;
  /** A folder of static files, relative to the configuration file. */
  files?: string | undefined;
  /** A module that exports a function named `application`, relative to the configuration file. */
  app?: string | undefined;
  /** The application gets request bodies as the client sends them. Default: whole, before it is called. */
  stream?: boolean | undefined;
  /** Files that answer for a folder. Default `'index.html'`; `[]` for none. */
  index?: string | readonly string[] | undefined;
}

/** Bounds on a request; bytes, except `headerCount`. What goes beyond is refused with the status in brackets. */
export interface Limits {
  /** Method, target and version. Default 8192 (414). */
  requestLine?: number | undefined;
  /** All header lines. Default 16384 (431). */
  headerBytes?: number | undefined;
  /** Number of header lines. Default 100 (431). */
  headerCount?: number | undefined;
  /** The request body. Default 10485760, 10 MiB (413). */
  body?: number | undefined;
  /** A body up to this size is kept in memory, a larger one in a temporary file. Default 65536. */
  bodyInMemory?: number | undefined;
}

/** How long a client may take, in milliseconds. */
export interface Timeouts {
  /** For the whole request head. Default 15000. */
  header?: number | undefined;
  /** Between two pieces of a request body. Default 30000. */
  body?: number | undefined;
  /** Between two requests of a connection. Default 75000. */
  keepAlive?: number | undefined;
  /** Without taking anything of a response. Default 30000. */
  write?: number | undefined;
}

/** `combined` is Apache's format, for programs; `short` is for people. */
export type AccessLogFormat = 'combined' | 'short';

/** A gwanmun configuration. Paths are relative to its file. */
export interface Config {
  /** Where to listen. Default: PORT and HOST of the environment, else 127.0.0.1:3000. */
  listen?: Listen | readonly Listen[] | undefined;
  /** What answers which URL path. */
  mounts: readonly Mount[];
  /**
   * Worker processes; each loads every application. Default 1, because what an application keeps in memory is then the
   * same for every request. `'auto'` starts one for each core: use it once that state lives in a database.
   */
  workers?: number | 'auto' | undefined;
  /** Requests that one worker has in progress at once. Default 1024. */
  concurrency?: number | undefined;
  /** Requests that wait for a free worker: how many (default 1024), and how many milliseconds (default 30000). Beyond: 503. */
  queue?: { length?: number | undefined; timeout?: number | undefined } | undefined;
  limits?: Limits | undefined;
  timeouts?: Timeouts | undefined;
  /** The `Server` header: a text, `false` for none. Default `gwanmun/` and the version. */
  server?: boolean | string | undefined;
  /** Default: `short` at a terminal, else `combined`; to standard output unless `file` is given. */
  accessLog?: AccessLogFormat | false | { format?: AccessLogFormat | undefined; file?: string | undefined } | undefined;
  /** Where errors are written. Default: standard error. */
  errorLog?: { file?: string | undefined } | undefined;
  /** Pairs that every request's environ has besides its own, and that win over them (W11). Names such as `APP_MODE`, not `wsgi.…`. */
  environ?: Readonly<Record<string, string>> | undefined;
  /** I/O threads of the core. Default: one for each core of the machine. */
  threads?: number | undefined;
  /** Milliseconds that a worker may take to load its applications. Default 30000. */
  startTimeout?: number | undefined;
  /** Milliseconds that requests in progress get to finish at a shutdown. Default 10000. */
  shutdownTimeout?: number | undefined;
}

/** What a configuration file exports: a configuration, or a function that returns one. */
export type ConfigExport = Config | (() => Config | Promise<Config>);

/**
 * Returns its argument; it is there for the types.
 *
 *     import { defineConfig } from 'gwanmun';
 *     export default defineConfig({ mounts: [{ path: '/', files: './public', app: './app.ts' }] });
 */
export function defineConfig<const T extends ConfigExport>(config: T): T {
  return config;
}
