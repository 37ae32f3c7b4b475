// The configuration as a user writes it, and `defineConfig` to write it with an editor's help.

import type { CoreAddress } from './core.js';

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

/** The kinds of application: the gateway contract's, a fetch handler, a Node handler. */
export type ApplicationKind = 'wsgi' | 'fetch' | 'node';

/**
 * The path of an application's module. Its exports say its kind: a function named `application` is the gateway contract's, a
 * `fetch` is a fetch handler, a default function is a Node handler. An object says the kind instead: `{ node: './app.js' }`.
 */
export type App = string | { wsgi: string } | { fetch: string } | { node: string };

/** A URL path and what answers below it. With both `files` and an application, a file that exists wins. */
export interface Mount {
  /**
   * `'/'`, `'/admin'`: begins with `/`, and is as it is after decoding: without `%`, `?`, `#`, `\`, `//`, `.` and `..`
   * segments. A slash at the end does not count. The longest path that fits a request answers it; no path twice.
   */
  path: string;
  /** A folder of static files, relative to the configuration file. */
  files?: string | undefined;
  /** A module (`.ts`, `.mts`, `.cts`, `.js`, `.mjs`, `.cjs`) that holds an application, relative to the configuration file; see below. */
  app?: App | undefined;
  /** The application gets request bodies as the client sends them; see below. Default: `false`, whole, before it is called; `true` for Node handlers. */
  stream?: boolean | undefined;
  /** Folders, one or several, whose files the application may have sent by naming them in the response header `X-Sendfile`; see below. Default: none. */
  sendfile?: string | readonly string[] | undefined;
  /** A Python application (WSGI), `'module:callable'`, looked for from the folder of the configuration file; see below. */
  wsgi?: string | undefined;
  /** The Python, 3.8 or newer, that runs it. Default: `./venv/bin/python` or `./.venv/bin/python` if there, else `python3`. */
  python?: string | undefined;
  /** What answers for a folder: a name, or several in order of preference; `[]` for nothing. Default `'index.html'`. */
  index?: string | readonly string[] | undefined;
  /** Paths of files that are tried in turn, `$path` being the request's: `['$path', '$path.html', '/index.html']`. Default `['$path']`. */
  tryFiles?: readonly string[] | undefined;
  /** Media types by extension, instead of the known ones: `{ '.foo': 'application/x-foo' }`. Text has to say its charset. */
  types?: Readonly<Record<string, string>> | undefined;
  /** `Cache-Control` of files by pattern, the first that fits: `{ '/assets/*': '1y immutable', '*.html': 'no-cache' }`. Default: none. */
  cacheControl?: Readonly<Record<string, string>> | undefined;
  /** Headers of files by pattern, all that fit, the last of a name: `{ '*': { 'X-Frame-Options': 'DENY' } }`. */
  headers?: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined;
  /** Files are sent with `X-Content-Type-Options: nosniff`. Default `true`. */
  nosniff?: boolean | undefined;
  /** Files that are shown instead of the server's own page for an error: `{ 404: './404.html' }`. */
  errorPages?: Readonly<Record<number, string>> | undefined;
  /** A folder without an index is listed, as HTML or as JSON. Default `false`. */
  listing?: boolean | undefined;
  /**
   * Which symbolic links in `files` are followed: `'inside'` relative ones that stay in the folder, `'never'` none, `'anywhere'` all, which shows whatever the
   * server's user may read to whoever can put a link there. Default `'inside'`.
   */
  symlinks?: 'inside' | 'never' | 'anywhere' | undefined;
  /** Text is sent compressed to clients that take it. Default: what the whole configuration says. */
  compression?: boolean | undefined;
}

/** Requests that wait for a free worker. One that waits in vain gets a 503. */
export interface Queue {
  /** How many may wait; one more gets a 503. Default 1024. */
  length?: number | undefined;
  /** How many milliseconds one may wait; then it gets a 503. Default 30000. */
  timeout?: number | undefined;
}

/** Bounds on a request; bytes, except `headerCount`. */
export interface Limits {
  /** Method, target and version; beyond it a request gets a 414. Default 8192. */
  requestLine?: number | undefined;
  /** All header lines together; beyond it a request gets a 431. Default 16384. */
  headerBytes?: number | undefined;
  /** Number of header lines; beyond it a request gets a 431. Default 100. */
  headerCount?: number | undefined;
  /** The request body; beyond it a request gets a 413. Default 10485760, 10 MiB. */
  body?: number | undefined;
  /** A body up to this size is kept in memory, a larger one in a temporary file without a name. Default 65536. */
  bodyInMemory?: number | undefined;
  /** All bodies together that are in temporary files; beyond it a request gets a 503. Default 1073741824, 1 GiB, or `body` if that is more. */
  spool?: number | undefined;
  /**
   * Bytes a second that a client must send of a body, or take of a response, on average; slower than that gets a 408, or loses its
   * connection, once the timeout is used up. 0: any pace. A body that a mount takes as a stream may pause. Default 240.
   */
  minRate?: number | undefined;
}

/** How long a client may take, in milliseconds. */
export interface Timeouts {
  /**
   * For the whole request head, from accepting the connection or from the head's first byte; then 408, or just an end if
   * nothing came. Default 15000.
   */
  header?: number | undefined;
  /** Between two pieces of a request body; then 408. Default 30000. */
  body?: number | undefined;
  /** Between a response and the next request; then the connection is closed. Default 75000. */
  keepAlive?: number | undefined;
  /** Without the client's taking a byte of a response; then the connection is closed. Default 30000. */
  write?: number | undefined;
}

/** `combined` is Apache's format, `json` has one object a line; both are for programs. `short` is for people. */
export type AccessLogFormat = 'combined' | 'short' | 'json';

/** The log of everything but requests: errors, what applications print, the life of workers. */
export interface ErrorLog {
  /** The form of a line. Default: `json` if the access log is JSON, else `text`. */
  format?: 'text' | 'json' | undefined;
  /** Events of less weight are not written. Default `'info'`. */
  level?: 'error' | 'warn' | 'info' | 'debug' | undefined;
  /** A file that lines are appended to. Default: standard error. */
  file?: string | undefined;
}

/** When a worker is replaced, before it is a burden. The new one takes over before the old one goes, one worker of a pool at a time. */
export interface Recycle {
  /** After so many requests, up to a tenth fewer. Default: never. */
  requests?: number | undefined;
  /** Beyond so many bytes of memory. Default: never. */
  memory?: number | undefined;
  /** After so many milliseconds, up to a tenth fewer. Default: never. */
  age?: number | undefined;
  /** By so many requests a worker may be replaced earlier, so that those that began together do not end together. Default: a tenth of `requests`. */
  jitter?: number | undefined;
}

/**
 * Functions of the configuration that the main process calls; what they return is awaited for its errors alone, which the log gets.
 * They are those of the start, whatever a reload brings.
 */
export interface Hooks {
  /** The server listens, and an application of each pool is ready. */
  onReady?: ((server: { readonly pid: number; readonly addresses: readonly CoreAddress[] }) => unknown) | undefined;
  /** A worker is ready for requests: at the start, after a reload, or in the place of another one. */
  onWorkerStart?: ((worker: { readonly worker: number; readonly pid: number }) => unknown) | undefined;
  /** A worker has ended. `expected`: it was asked to. */
  onWorkerExit?: ((exit: WorkerExitInfo) => unknown) | undefined;
  /** Another configuration is in use. `generation` counts them from 1. */
  onReload?: ((reload: { readonly generation: number }) => unknown) | undefined;
}

/** How a worker has ended. */
export interface WorkerExitInfo {
  readonly worker: number;
  readonly pid: number;
  /** Null: a signal has ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly expected: boolean;
}

/** A gwanmun configuration. Paths are relative to its file. */
export interface Config {
  /** Where to listen. Default: PORT and HOST of the environment, else 127.0.0.1:3000. */
  listen?: Listen | readonly Listen[] | undefined;
  /** What answers which URL path. */
  mounts: readonly Mount[];
  /**
   * Worker processes; each loads every module, and each Python application has as many of its own. With one, what an application keeps in memory is the same for every
   * request. `'auto'` starts one for each processor that the process may use: take it once that state lives in a database. `{ min, max }` has
   * as many as are needed: one more when requests wait for one, one less when none has for a while. Default 1.
   */
  workers?: number | 'auto' | { min: number; max: number } | undefined;
  /** When a worker is replaced; see below. Default: never. */
  recycle?: Recycle | undefined;
  /** Requests that one worker has in progress at once; a Python worker at most 8, answered one after the other. Default 1024. */
  concurrency?: number | undefined;
  /** Requests that wait for a free worker; see below. */
  queue?: Queue | undefined;
  /** Bounds on a request; see below. */
  limits?: Limits | undefined;
  /** How long a client may take; see below. */
  timeouts?: Timeouts | undefined;
  /** Text is sent compressed (gzip, brotli, zstd) to clients that take it; a mount can say otherwise. Default `true`. */
  compression?: boolean | undefined;
  /**
   * A folder in which files that were compressed are kept, so that the next start need not compress them again: up to 256 MiB, what was not used for longest goes
   * first. It is made if it is not there, for the server's user alone. Default: none, they are kept in memory.
   */
  compressionCache?: string | undefined;
  /** The `Server` header; `false` for none. Visible ASCII characters. Default `gwanmun/` and the version. */
  server?: boolean | string | undefined;
  /** The log of requests, to standard output or appended to `file`. Default: `short` at a terminal, else `combined`. */
  accessLog?: AccessLogFormat | false | { format?: AccessLogFormat | undefined; file?: string | undefined } | undefined;
  /** The log of everything else: errors, refusals, what applications print, the life of workers; see below. */
  errorLog?: ErrorLog | undefined;
  /**
   * Each request has an id: in the log, in `HTTP_X_REQUEST_ID` and in the response's `X-Request-Id`. `true` takes over a
   * well-formed one of the client's, `'generate'` never does. Default: `true` if a log is JSON, else `false`.
   */
  requestId?: boolean | 'generate' | undefined;
  /** Pairs that every request's environ has besides its own, and that win over them. Names such as `APP_MODE`, not `wsgi.…`. */
  environ?: Readonly<Record<string, string>> | undefined;
  /** I/O threads of the core; more than 64 count as 64. Default: one for each core of the machine. */
  threads?: number | undefined;
  /**
   * Milliseconds that an application may take from the beginning of a request until its response begins; then the client gets a 504.
   * A worker that hangs, in a request or by itself, is replaced after this time, and the log has where its code was. 0 = no limit.
   * Default 30000; in `gwanmun dev` 0.
   */
  timeout?: number | undefined;
  /** Milliseconds that a worker may take to load its applications. Default 30000. */
  startTimeout?: number | undefined;
  /** Milliseconds that the workers of an old configuration, or one that is replaced, get to finish what they have. Default 30000. */
  drainTimeout?: number | undefined;
  /**
   * Milliseconds that requests in progress get to finish after SIGINT or SIGTERM. A second signal, half a second later or
   * more, does not wait. Default 10000.
   */
  shutdownTimeout?: number | undefined;
  /** A file that holds the main process's id while the server runs; relative to the configuration. Default: none. */
  pidFile?: string | undefined;
  /** The user, by name or number, that the server and its workers run as once the addresses are bound and the logs open. Default: whoever has started it. */
  user?: string | number | undefined;
  /** The group, by name or number. Default: that of `user`. */
  group?: string | number | undefined;
  /** What nobody may do with files that the server or a worker makes, such as `0o027`. Default: that of the start. */
  umask?: number | undefined;
  /** Functions that are called when something happens to the server or its workers; see below. */
  hooks?: Hooks | undefined;
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
