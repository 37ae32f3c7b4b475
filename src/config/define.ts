// The configuration as a user writes it, and `defineConfig` to write it with an editor's help.

import type { CoreAddress } from './core.js';

/** A TCP address. Without a host: the environment variable HOST, else 127.0.0.1. Without a port: PORT, else 3000. */
export interface TcpListen {
  host?: string | undefined;
  /** 0 to 65535; 0 takes a free port. */
  port?: number | undefined;
  /** Speak HTTPS here, with the certificates of `tls`. Default: `true` if there is `tls`, no address says it, and this one does not redirect. */
  tls?: boolean | undefined;
  /** Answer every request with a redirect to HTTPS: `'https'` names the port of the first address with `tls`, a number the port that clients reach it by. */
  redirect?: 'https' | number | undefined;
}

/** A Unix domain socket. */
export interface UnixListen {
  /** Path of the socket, relative to the configuration file. */
  unix: string;
  /** Its file mode, such as `0o660`. */
  mode?: number | undefined;
  /** Speak HTTPS here, with the certificates of `tls`. Default `false`. */
  tls?: boolean | undefined;
}

/**
 * Where to listen: a port, an object, or a string: `'8080'`, `':8080'`, `'127.0.0.1:8080'`, `'[::1]:8080'`,
 * `'unix:/run/site.sock'`. A port alone listens on 127.0.0.1 (or HOST), not on every interface.
 */
export type Listen = number | string | TcpListen | UnixListen;

/** The kinds of application: gwanmun's own interface (the application contract), a fetch handler, a Node handler. */
export type ApplicationKind = 'wsgi' | 'fetch' | 'node';

/**
 * The path of an application's module. Its exports say its kind: a function named `application` follows the application
 * contract, `fetch` is a fetch handler, a default function is a Node handler. An object names the kind instead: `{ node: './app.js' }`.
 */
export type App = string | { wsgi: string } | { fetch: string } | { node: string };

/** A URL path and what answers below it. With both `files` and an application, a file that exists wins. */
export interface Mount {
  /**
   * `'/'`, `'/admin'`. Write it decoded: no `%`, `?`, `#`, `\` or `//`, and no `.` or `..` segment. A slash at the end makes no
   * difference. Each path may be used once; a request goes to the longest one that matches.
   */
  path: string;
  /** A folder of static files, relative to the configuration file. */
  files?: string | undefined;
  /** A module (`.ts`, `.mts`, `.cts`, `.js`, `.mjs`, `.cjs`) that holds an application, relative to the configuration file; see below. */
  app?: App | undefined;
  /**
   * `true`: the application is called at once and reads the request body as it arrives. `false`: it is called when the whole
   * body is there; see below. Default: `false`; `true` for fetch handlers and Node handlers.
   */
  stream?: boolean | undefined;
  /** A folder, or several. The application can have their files sent by naming one in the response header `X-Sendfile`; see below. Default: none. */
  sendfile?: string | readonly string[] | undefined;
  /** A Python application (WSGI), `'module:callable'`. The module is looked for in the folder of the configuration file first; see below. */
  wsgi?: string | undefined;
  /** The Python interpreter that runs it, 3.8 or newer. Default: `./venv/bin/python` or `./.venv/bin/python` if there is one, else `python3`. */
  python?: string | undefined;
  /**
   * PHP: the folder of the site. Its files are sent, its `.php` files run by php-fpm, and what is neither goes to its `index.php`; see
   * [PHP](guides/php.md). An object says more: `{ root: './public', to: '127.0.0.1:9000' }`.
   */
  php?: string | Php | undefined;
  /** A program that speaks FastCGI: its address, such as `'unix:/run/app.sock'` or `'127.0.0.1:9000'`; or an object, `{ to, root }`; see [PHP](guides/php.md). */
  fastcgi?: string | FastCgi | undefined;
  /**
   * Programs that are started for each request (CGI), in any language: a folder such as `'./cgi-bin'`, whose executable files run; or an object,
   * `{ program: './hook.pl' }`; see [CGI](guides/cgi.md).
   */
  cgi?: string | Cgi | undefined;
  /** The file that answers for a folder: a name, or several in order of preference; `[]` for none. Default `'index.html'`. */
  index?: string | readonly string[] | undefined;
  /** Files to try, in this order. `$path` is the request's path: `['$path', '$path.html', '/index.html']`. Default `['$path']`. */
  tryFiles?: readonly string[] | undefined;
  /** Media types by extension; they win over the built-in ones: `{ '.foo': 'application/x-foo' }`. For text, include the charset. */
  types?: Readonly<Record<string, string>> | undefined;
  /** `Cache-Control` of files, by pattern; the first that matches counts: `{ '/assets/*': '1y immutable', '*.html': 'no-cache' }`. Default: none. */
  cacheControl?: Readonly<Record<string, string>> | undefined;
  /** Headers of files, by pattern: `{ '*': { 'X-Frame-Options': 'DENY' } }`. All patterns that match count; of one header, the last. */
  headers?: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined;
  /** Send files with `X-Content-Type-Options: nosniff`. Default `true`. */
  nosniff?: boolean | undefined;
  /** Files to show instead of the server's own error pages: `{ 404: './404.html' }`. */
  errorPages?: Readonly<Record<number, string>> | undefined;
  /** List the files of a folder that has no index, as HTML or as JSON. Default `false`. */
  listing?: boolean | undefined;
  /**
   * Which symbolic links in `files` are followed. `'inside'`: relative ones that stay in the folder. `'never'`: none. `'anywhere'`: all; then whoever
   * can put a link into the folder can publish every file that the server's user may read. Default `'inside'`.
   */
  symlinks?: 'inside' | 'never' | 'anywhere' | undefined;
  /** Compress text for clients that accept it. Default: what the whole configuration says. */
  compression?: boolean | undefined;
  /** A fixed answer instead: a text, or `{ status, headers, body }`. For a `robots.txt`, a page that is gone, a health check. */
  respond?: string | Respond | undefined;
  /**
   * Where to send clients instead: a path or a URL, `{ to, status }` for another status than 308. What follows the mount's path is added, and so is the query;
   * a target with a query is used as it is.
   */
  redirect?: string | Redirect | undefined;
  /**
   * Who may enter: addresses and networks such as `'10.0.0.0/8'`, `'unix'` for a Unix socket. Everybody else gets a 403; see below. `'all'`: everybody, whatever is said
   * of the mounts around this one. Default: everybody.
   */
  allow?: 'all' | readonly string[] | undefined;
  /** Who may not enter. Of all networks in `allow` and `deny` that an address is in, the smallest counts. Default: nobody. */
  deny?: readonly string[] | undefined;
  /** Ask for a password: `{ basic: './users' }`; see below. `false`: for none, whatever is said of the mounts around this one. Default: for none. */
  auth?: false | Auth | undefined;
  /** How often a client may ask: `{ requests: 10, per: 1000 }`; see below. `false`: as often as it likes, whatever is said of the mounts around this one. */
  rateLimit?: false | RateLimit | undefined;
  /** Give the application the header `Authorization` although the server has checked it. Default `false`. */
  passAuthorization?: boolean | undefined;
  /** Header fields of every response: `{ set, default, remove }`; see below. Default: those of the whole configuration. */
  responseHeaders?: HeaderRules | undefined;
  /** Header fields that protect a page, on every response: `true`, or some of them with other values, or `false`; see below. Default: as the whole configuration. */
  securityHeaders?: boolean | Readonly<Record<string, string | false>> | undefined;
  /** Which pages of other origins may use this mount from a script: `{ origins: ['https://app.example'] }`; see below. Default: none. */
  cors?: Cors | undefined;
}

/** How often a client may ask. One more request gets a 429, with the time after which it may come. */
export interface RateLimit {
  /** So many requests … */
  requests: number;
  /** … in so many milliseconds. Default 1000. */
  per?: number | undefined;
  /** How many may come at once. Default: `requests`. */
  burst?: number | undefined;
  /**
   * Whose requests are counted together: `'address'`, a client's (of IPv6, its network of 64 bits); `'all'`, everybody's; `'header:X-Api-Key'`, those with the same value, or
   * without one those of an address. Default `'address'`.
   */
  key?: 'address' | 'all' | `header:${string}` | undefined;
  /** Limits of one name count together. Default: the mount's path. */
  name?: string | undefined;
  /** The status of what is refused, 400 to 599. Default 429. */
  status?: number | undefined;
  /** Refuse nothing, and say in the access log what would be. Default `false`. */
  dryRun?: boolean | undefined;
}

/** Who may enter by password. */
export interface Auth {
  /** A password file, with lines of `user:hash` as `gwanmun hash-password` writes them; or users and hashes: `{ ann: '$argon2id$…' }`. */
  basic: string | Readonly<Record<string, string>>;
  /** What the browser shows when it asks. Default: the mount's path. */
  realm?: string | undefined;
  /** How many different wrong passwords an address may try in a minute; then it gets a 429. `false`: any number. Default 30. */
  attempts?: number | false | undefined;
}

/** A fixed answer. */
export interface Respond {
  /** 200 to 599. Default 200. */
  status?: number | undefined;
  /** Its header fields. Default: `Content-Type: text/plain; charset=utf-8`. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Default: empty. */
  body?: string | undefined;
}

/** Where to send clients. */
export interface Redirect {
  /** A path that begins with `/`, or a URL. */
  to: string;
  /** 308 and 301 are permanent, and browsers keep them for a day; 307, 302 and 303 are not. 307 and 308 keep the method. Default 308. */
  status?: 301 | 302 | 303 | 307 | 308 | undefined;
}

/** Rules for the header fields of responses. They hold for errors and redirects as well. */
export interface HeaderRules {
  /** Fields that replace what the response has: `{ 'X-Robots-Tag': 'noindex' }`. */
  set?: Readonly<Record<string, string>> | undefined;
  /** Fields for responses that have no such field. */
  default?: Readonly<Record<string, string>> | undefined;
  /** Names of fields that are taken away: `['X-Powered-By']`. */
  remove?: readonly string[] | undefined;
}

/** What pages of other origins may do with a mount. Browsers ask first, and are answered before the application is called. */
export interface Cors {
  /** `'https://app.example'`, `'https://*.example.org'` for all subdomains, `'null'`; or `['*']` for every origin, without credentials. */
  origins: readonly string[];
  /** Whether cookies and passwords may be sent along. Default `false`. */
  credentials?: boolean | undefined;
  /** Methods that may be used. Default: GET, HEAD, POST, PUT, PATCH, DELETE. */
  methods?: readonly string[] | undefined;
  /** Request headers that may be sent. Default: all but Authorization (`['*']`); with `credentials` none. */
  headers?: readonly string[] | undefined;
  /** Response headers that a script may read, beside the usual ones. Default: none. */
  expose?: readonly string[] | undefined;
  /** For how many milliseconds a browser may keep the answer. Default 3600000. */
  maxAge?: number | undefined;
}

/** A program that speaks FastCGI. */
export interface FastCgi {
  /** Its address: `'unix:/run/php/php-fpm.sock'`, `'127.0.0.1:9000'`. */
  to: string;
  /**
   * The folder of the scripts that it runs, relative to the configuration file. `{ here, there }` if the program sees it under another path, as in another
   * container. Default: none, it gets every request and knows itself what a path means.
   */
  root?: string | { here: string; there: string } | undefined;
  /** The script that answers for a folder; that of the root answers for every path that is nothing else. `false`: none does. Default `'index.php'`. */
  index?: string | false | undefined;
  /** What the names of scripts end in. What follows in a path is PATH_INFO. Default `'.php'`. */
  splitPath?: string | readonly string[] | undefined;
  /** The scripts that may run, such as `['index.php']`. Others are not found. Default: all. */
  scripts?: readonly string[] | undefined;
  /** Paths beneath which no script runs, such as `['/wp-content/uploads']`. Default: none. */
  noExec?: readonly string[] | undefined;
  /** Variables to add to every request; they win over its own. Default: none. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Pass on a client's `Authorization`. Default `false`. */
  passAuthorization?: boolean | undefined;
  /** How many requests it gets at once: as many as it has children. Others wait. Default 64. */
  maxConnections?: number | undefined;
  /** Milliseconds without a byte of the response; then the client gets a 504. 0: no limit. Default: the `timeout` of the whole configuration. */
  timeout?: number | undefined;
}

/** A site in PHP. */
export interface Php extends Omit<FastCgi, 'to' | 'root'> {
  /** The folder of the site: its files and its scripts. */
  root: string | { here: string; there: string };
  /** Where php-fpm listens. Default: the socket of php-fpm that there is in `/run/php` or `/run/php-fpm`; without one, `php-cgi` is started. */
  to?: string | undefined;
  /** How many processes of `php-cgi`, if the server starts it. Default: two for each processor. */
  children?: number | undefined;
}

/** Programs that are started for each request. */
export interface Cgi {
  /** The folder of the programs, relative to the configuration file. Every executable file in it runs. */
  folder?: string | undefined;
  /** One program, instead of a folder. */
  program?: string | undefined;
  /** How many run at once; further requests wait. Default: two for each processor. */
  maxProcesses?: number | undefined;
  /** Milliseconds without a byte of output; then the program is ended, and the client gets a 504. 0: no limit. Default: the `timeout` of the whole configuration. */
  timeout?: number | undefined;
  /** The environment of the programs, beside what CGI says: `{ PATH, LANG, GIT_PROJECT_ROOT }`. Nothing of the server's own gets into it. Default: a `PATH`. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Pass on a client's `Authorization`. Default `false`. */
  passAuthorization?: boolean | undefined;
  /** What a program may use: milliseconds of a processor, bytes of memory, bytes of a file that it writes. Default: no limits. */
  limits?: { cpu?: number | undefined; memory?: number | undefined; fileSize?: number | undefined } | undefined;
}

/** The queue of requests that wait for a free worker. */
export interface Queue {
  /** How many requests may wait; one more gets a 503. Default 1024. */
  length?: number | undefined;
  /** How many milliseconds a request may wait; then it gets a 503. Default 30000. */
  timeout?: number | undefined;
}

/** How large a request may be, in bytes, except `headerCount`. */
export interface Limits {
  /** Method, target and version; beyond it a request gets a 414. Default 8192. */
  requestLine?: number | undefined;
  /** All header lines together; beyond it a request gets a 431. Default 16384. */
  headerBytes?: number | undefined;
  /** Number of header lines; beyond it a request gets a 431. Default 100. */
  headerCount?: number | undefined;
  /** The request body; beyond it a request gets a 413. Default 10485760, 10 MiB. */
  body?: number | undefined;
  /** A body up to this size is kept in memory, a larger one in a temporary file. Default 65536. */
  bodyInMemory?: number | undefined;
  /** All bodies in temporary files together; beyond it a request gets a 503. Default 1073741824, 1 GiB, or `body` if that is more. */
  spool?: number | undefined;
  /**
   * Bytes a second that a client must send of a body, or take of a response, on average. A client that is slower gets a 408, or loses its
   * connection, once the timeout is used up. A body that a mount takes as a stream may pause. 0: any pace. Default 240.
   */
  minRate?: number | undefined;
}

/** How long a client may take, in milliseconds. */
export interface Timeouts {
  /**
   * For the whole request head, from the connection's start or the head's first byte. Then the client gets a 408, or a closed
   * connection if it sent nothing. Default 15000.
   */
  header?: number | undefined;
  /** Between two pieces of a request body; then the client gets a 408. Default 30000. */
  body?: number | undefined;
  /** Between a response and the next request; then the connection is closed. Default 75000. */
  keepAlive?: number | undefined;
  /** While a response is being sent and the client takes no byte of it; then the connection is closed. Default 30000. */
  write?: number | undefined;
}

/** A certificate with its private key: PEM files, by paths relative to the configuration file. In a program it may be the PEM text itself. */
export interface Certificate {
  /** The certificate and its intermediates, such as certbot's `fullchain.pem`. */
  cert: string | Uint8Array;
  /** Its private key. Default: it is in the same file. */
  key?: string | Uint8Array | undefined;
  /** Clients that ask for no name, or for one that no certificate has, get this one. Default `false`. */
  default?: boolean | undefined;
}

/** Certificates that an authority issues and renews by itself (ACME). To name a domain here is to agree to the authority's terms of service. */
export interface Acme {
  /** The names, such as `'example.org'`, or addresses. Each gets a certificate of its own. All of them have to lead to this server. */
  domains: string | readonly string[];
  /** Where the authority may write to you. Default: nowhere. */
  email?: string | undefined;
  /** The authority: `'letsencrypt'`, `'letsencrypt-staging'` for trials, or the address of another one's directory. Default `'letsencrypt'`. */
  directory?: string | undefined;
  /** A folder for the account, keys and certificates, for this server's user alone. Default: what the service manager gives, else `/var/lib/gwanmun/acme` as root, else `~/.local/share/gwanmun/acme`. */
  storage?: string | undefined;
  /** A kind of certificate that the authority offers, such as `'shortlived'`. Default: the authority's usual one; `'shortlived'` for addresses, if there is such a one. */
  profile?: string | undefined;
  /** The kind of key: `'ecdsa'` is P-256, `'rsa'` has 2048 bits, for clients that know no other; each handshake then costs several times as much. Default `'ecdsa'`. */
  keyType?: 'ecdsa' | 'rsa' | undefined;
  /** A PEM file: the root of the authority's own server, if it is one of your own. Default: the public roots. */
  ca?: string | undefined;
  /** What an authority that knows its customers has given you: `{ kid, key }`, the key in base64url. Read it from the environment. Default: none. */
  externalAccount?: { kid: string; key: string } | undefined;
}

/** The certificates of addresses that speak HTTPS, and what is asked of their clients. */
export interface Tls {
  /** Certificates that are got and renewed by themselves: `{ domains: ['example.org'] }`; see below. */
  acme?: Acme | undefined;
  /** The certificate and its intermediates: a PEM file, such as certbot's `fullchain.pem`. */
  cert?: string | Uint8Array | undefined;
  /** Its private key: a PEM file. Default: it is in the same file. */
  key?: string | Uint8Array | undefined;
  /** Several certificates instead: `[{ cert, key }]`. Each is for the names that are in it; `default: true` marks the one for all other names. */
  certificates?: readonly Certificate[] | undefined;
  /** The oldest version of TLS that clients may speak. Default `'1.2'`. */
  minVersion?: '1.2' | '1.3' | undefined;
  /** Ask clients for certificates: `{ ca: './clients-ca.pem' }`. Default: nobody is asked. */
  clientCertificates?: ClientCertificates | undefined;
}

/** Whose clients are let in (mutual TLS). */
export interface ClientCertificates {
  /** The authorities that vouch for clients: a PEM file with one certificate or more. */
  ca: string | Uint8Array;
  /** Who has no certificate is refused (`'require'`) or let in (`'optional'`). One that is not good is refused by both. Default `'require'`. */
  mode?: 'require' | 'optional' | undefined;
  /** What the authorities have revoked: a PEM file with a list (CRL) of each of them. Default: nobody looks. */
  crl?: string | Uint8Array | undefined;
}

/** `combined` is Apache's format, `json` is one object a line; both are for programs. `short` is for people. */
export type AccessLogFormat = 'combined' | 'short' | 'json';

/** The log of everything but requests: errors, what applications print, workers that start and end. */
export interface ErrorLog {
  /** The format of a line. Default: `json` if the access log is JSON, else `text`. */
  format?: 'text' | 'json' | undefined;
  /** The least important level that is still written. Default `'info'`. */
  level?: 'error' | 'warn' | 'info' | 'debug' | undefined;
  /** A file to append to. Default: standard error. */
  file?: string | undefined;
}

/** When to replace a worker, before it becomes a burden. The new worker takes over before the old one goes, one worker of a pool at a time. */
export interface Recycle {
  /** After this many requests, or up to `jitter` fewer. Default: never. */
  requests?: number | undefined;
  /** When it has more than this many bytes of memory. Default: never. */
  memory?: number | undefined;
  /** After this many milliseconds, or up to a tenth fewer. Default: never. */
  age?: number | undefined;
  /** How many requests earlier a worker may be replaced. So workers that start together do not all end together. Default: a tenth of `requests`. */
  jitter?: number | undefined;
}

/**
 * Functions that the main process calls. If one throws, or its promise rejects, the log says so; nothing else happens.
 * A reload does not change them: those of the start stay.
 */
export interface Hooks {
  /** The server listens, and each application has a worker that is ready. */
  onReady?: ((server: { readonly pid: number; readonly addresses: readonly CoreAddress[] }) => unknown) | undefined;
  /** A worker is ready for requests: at the start, after a reload, or as a replacement. */
  onWorkerStart?: ((worker: { readonly worker: number; readonly pid: number }) => unknown) | undefined;
  /** A worker has ended. `expected` is true if it was asked to. */
  onWorkerExit?: ((exit: WorkerExitInfo) => unknown) | undefined;
  /** A reload has brought a new configuration into use. `generation` counts configurations from 1. */
  onReload?: ((reload: { readonly generation: number }) => unknown) | undefined;
}

/** How a worker ended. */
export interface WorkerExitInfo {
  readonly worker: number;
  readonly pid: number;
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly expected: boolean;
}

/** A gwanmun configuration. Paths are relative to its file. */
export interface Config {
  /** Where to listen. Default: PORT and HOST of the environment, else 127.0.0.1:3000. */
  listen?: Listen | readonly Listen[] | undefined;
  /** Which URL path is answered by what. */
  mounts: readonly Mount[];
  /** HTTPS: `{ cert: './fullchain.pem', key: './privkey.pem' }`. Its files are watched, and taken over when they change; see below. */
  tls?: Tls | undefined;
  /** Tell browsers to come by HTTPS alone, for so long (`Strict-Transport-Security`): `'1y'`, `'1y includeSubDomains'`. `'0s'` takes it back. Default: none. */
  hsts?: string | undefined;
  /**
   * How many worker processes. Each loads every module (`app`); each Python application gets this many processes of its own. With one worker, all requests
   * share what an application keeps in memory. Once that state lives in a database, use `'auto'`: one for each processor that the process may use.
   * `{ min, max }` adds a worker when requests wait for one, and removes one when none has waited for a while. Default 1.
   */
  workers?: number | 'auto' | { min: number; max: number } | undefined;
  /** When to replace a worker; see below. Default: never. */
  recycle?: Recycle | undefined;
  /** How many requests a worker gets at once. A Python worker gets at most 8, and answers them one after the other. Default 1024. */
  concurrency?: number | undefined;
  /** How many requests may wait for a free worker, and how long; see below. */
  queue?: Queue | undefined;
  /** How large a request may be; see below. */
  limits?: Limits | undefined;
  /** How long a client may take; see below. */
  timeouts?: Timeouts | undefined;
  /** Compress text (gzip, brotli, zstd) for clients that accept it; a mount can say otherwise. Default `true`. */
  compression?: boolean | undefined;
  /**
   * A folder that keeps compressed files, so that the next start need not compress them again. It holds up to 256 MiB; what was unused for longest goes
   * first. gwanmun creates it, readable by the server's user alone. Default: none, they are kept in memory.
   */
  compressionCache?: string | undefined;
  /** The `Server` header, in visible ASCII characters; `false` for none. Default `gwanmun/` and the version. */
  server?: boolean | string | undefined;
  /** The log of requests, to standard output or appended to `file`. Default: `short` at a terminal, else `combined`. */
  accessLog?: AccessLogFormat | false | { format?: AccessLogFormat | undefined; file?: string | undefined } | undefined;
  /** The log of everything else: errors, refused requests, what applications print, workers that start and end; see below. */
  errorLog?: ErrorLog | undefined;
  /**
   * Give each request an id: in the log, in `HTTP_X_REQUEST_ID` and in the response's `X-Request-Id`. `true` keeps the client's
   * id if it is well-formed; `'generate'` never does. Default: `true` if a log is JSON, else `false`.
   */
  requestId?: boolean | 'generate' | undefined;
  /** Names and values to add to every request's environ; they win over its own. Names such as `APP_MODE`, not `wsgi.…`. */
  environ?: Readonly<Record<string, string>> | undefined;
  /**
   * The proxies that the server believes when they say who their client is: addresses and networks such as `'10.0.0.0/8'`, and `'unix'` for a proxy that connects
   * to a Unix socket; see below. Default: none, not even 127.0.0.1.
   */
  trustedProxies?: readonly string[] | undefined;
  /** Who may enter at all: addresses and networks such as `'10.0.0.0/8'`; everybody else gets a 403; see below. Default: everybody. */
  allow?: readonly string[] | undefined;
  /** Who may not enter. Of all networks in `allow` and `deny` that an address is in, the smallest counts. Default: nobody. */
  deny?: readonly string[] | undefined;
  /** How often a client may ask for anything at all: `{ requests: 100, per: 1000 }`. Default: as often as it likes. */
  rateLimit?: RateLimit | undefined;
  /** Ask for a password everywhere: `{ basic: './users' }`. A mount can say `auth: false`. Default: for none. */
  auth?: Auth | undefined;
  /** Header fields of every response, errors included: `{ set, default, remove }`. Default: none. */
  responseHeaders?: HeaderRules | undefined;
  /** Header fields that protect pages, on every response; see below. `true`, or some of them with other values. Default `false`. */
  securityHeaders?: boolean | Readonly<Record<string, string | false>> | undefined;
  /** I/O threads of the core; more than 64 count as 64. Default: one for each processor core. */
  threads?: number | undefined;
  /**
   * Milliseconds from the moment an application is called until its response begins; then the client gets a 504.
   * A worker that hangs, in a request or without one, is replaced after this time, and the log shows where its code was. 0: no limit.
   * Default 30000; in `gwanmun dev` 0.
   */
  timeout?: number | undefined;
  /** Milliseconds that a worker may take to load its applications, and a reload to load the configuration. Default 30000. */
  startTimeout?: number | undefined;
  /** Milliseconds that a worker gets to finish its requests when a reload or another worker replaces it. Default 30000. */
  drainTimeout?: number | undefined;
  /**
   * Milliseconds that requests in progress get to finish after SIGINT or SIGTERM. A second signal, at least half a second
   * later, ends the server at once. Default 10000.
   */
  shutdownTimeout?: number | undefined;
  /** A file that holds the main process's id while the server runs, relative to the configuration file. Default: none. */
  pidFile?: string | undefined;
  /** The user, by name or number, that the server and its workers become once the addresses are bound and the logs open. Default: whoever started it. */
  user?: string | number | undefined;
  /** The group, by name or number. Default: that of `user`. */
  group?: string | number | undefined;
  /** The permissions that new files of the server and its workers do not get, such as `0o027`. Default: inherited from whoever started it. */
  umask?: number | undefined;
  /** Functions that are called when something happens to the server or its workers; see below. */
  hooks?: Hooks | undefined;
}

/** What a configuration file exports: a configuration, or a function that returns one or a promise of one. */
export type ConfigExport = Config | (() => Config | Promise<Config>);

/**
 * Returns its argument unchanged. It gives your editor the types.
 *
 *     import { defineConfig } from 'gwanmun';
 *     export default defineConfig({ mounts: [{ path: '/', files: './public', app: './app.ts' }] });
 */
export function defineConfig<const T extends ConfigExport>(config: T): T {
  return config;
}
