// The configuration as the Rust core reads it. Field names and units are a contract with crates/node.

/** Where the core listens. Port 0 takes a free one. */
export type CoreListener =
  | {
      kind: 'tcp';
      host: string;
      port: number;
      backlog?: number;
      single?: boolean;
      ipv6Only?: boolean;
      shared?: boolean;
      /** It speaks TLS. */
      tls?: boolean;
      /** Every request is redirected to HTTPS at this port; 0 is that of the first TCP address with TLS. */
      redirect?: number;
    }
  | { kind: 'unix'; path: string; mode?: number; tls?: boolean };

/** An address that the core has bound. */
export type CoreAddress =
  | { kind: 'tcp'; host: string; port: number; tls?: boolean }
  | { kind: 'unix'; path: string; tls?: boolean };

/** A URL path and what answers below it: files first, then the application. */
export interface CoreMount {
  /** Normalised: `/` or `/a/b`. */
  path: string;
  files?: {
    root: string;
    index: string[];
    tryFiles: string[];
    /** Extension without its dot, and media type. */
    types: [extension: string, type: string][];
    /** In the order of their weight: of a name the last one that fits counts. */
    headers: [pattern: string, name: string, value: string][];
    listing: boolean;
    symlinks?: 'inside' | 'never' | 'anywhere';
    /** Sent in the coding that the client likes best. */
    compress: boolean;
  };
  /** What a client sees instead of the core's own page. */
  errorPages?: { status: number; file: string }[];
  /** Index of the application within its pool's workers. */
  application?: number;
  /** Index in {@link CoreConfig.pools}. */
  pool?: number;
  /** What the application sends is compressed for clients that take it. */
  compress?: boolean;
  /** Folders whose files the application may name in `X-Sendfile`. */
  sendfile?: string[];
  /** The application gets request bodies as they come, instead of whole. */
  stream?: boolean;
  /** Where there is no file, a program that speaks FastCGI answers. */
  fastcgi?: CoreFastCgi;
  /** Where there is no file, programs that are started answer. */
  cgi?: CoreCgi;
  /** The answer to everything. */
  respond?: { status: number; headers: [name: string, value: string][]; body: string };
  /** Where to go instead: a path or a URL, encoded. With a query it is the whole target. */
  redirect?: { to: string; status: number };
  headerRules?: CoreHeaderRules;
  cors?: CoreCors;
  addresses?: CoreAddresses;
  /** What is said of the addresses that may enter mounts around it, and the whole, does not hold. */
  open?: boolean;
  login?: CoreLogin;
  /** No password is asked for, whatever is said of those. */
  noLogin?: boolean;
  /** The application gets `Authorization` although the core has used it. */
  passAuthorization?: boolean;
  rateLimit?: CoreRateLimit;
  /** The limits of those do not hold. */
  noRateLimit?: boolean;
}

/** What is done to the heads of responses. */
export interface CoreHeaderRules {
  set: [name: string, value: string][];
  /** Where the response has no such field. */
  default: [name: string, value: string][];
  remove: string[];
}

/** What pages of other origins may do. */
export interface CoreCors {
  origins: string[];
  credentials: boolean;
  methods: string[];
  headers: string[];
  expose: string[];
  /** Seconds. */
  maxAge: number;
}

/** How often somebody may ask: so many requests in so many milliseconds, and so many at once. Limits of one name and pace count together. */
export interface CoreRateLimit {
  name: string;
  requests: number;
  per: number;
  burst: number;
  key: 'address' | 'all' | { header: string };
  status: number;
  dryRun: boolean;
}

/** Who may enter by password: lines of `user:hash`, in a file or in `users`. */
export interface CoreLogin {
  file?: string;
  users?: string;
  realm: string;
  /** Different wrong passwords that an address may try in a minute. */
  attempts?: number;
}

/** Who may enter. */
export interface CoreAddresses {
  allow: string[];
  deny: string[];
}

/** How requests are given to a FastCGI program. */
export interface CoreFastCgi {
  /** Index in {@link CoreConfig.upstreams}. */
  upstream: number;
  /** Which files it runs; missing: it gets every request, and knows itself what a path means. */
  scripts?: {
    root: string;
    /** The folder as the program sees it. */
    rootThere?: string;
    /** The script that answers for a folder, and in the root for everything that is nothing else. */
    index?: string;
    extensions: string[];
    /** Paths of those that may run; missing: all. */
    only?: string[];
    noExec: string[];
    symlinks?: 'inside' | 'never' | 'anywhere';
  };
  env: Record<string, string>;
  passAuthorization: boolean;
}

/** Where a server is that can be connected to. */
export type CoreAddressOfUpstream = { kind: 'tcp'; host: string; port: number } | { kind: 'unix'; path: string };

/** How requests are given to programs that are started for them. */
export interface CoreCgi {
  /** Index in {@link CoreConfig.upstreams}. */
  upstream: number;
  folder: string;
  /** The name of the only one that runs. */
  program?: string;
  env: Record<string, string>;
  passAuthorization: boolean;
  /** Seconds of a processor; bytes of memory, and of a file that it writes. */
  limits: { cpu?: number; memory?: number; fileSize?: number };
}

/** Another server. */
export interface CoreUpstream {
  /**
   * The path of a Unix socket is absolute, or `@` and a name of the abstract namespace. `processes`: nowhere, programs are started, which are in this
   * folder.
   */
  address: CoreAddressOfUpstream | { kind: 'processes'; folder: string };
  maxConnections: number;
  queue: number;
  queueTimeoutMs: number;
  connectTimeoutMs: number;
  /** 0: none. */
  timeoutMs: number;
  /** It is started by the core, and listens on the Unix socket that is its address, in a folder that is made for it. */
  spawn?: { program: string; children: number; env: Record<string, string> };
}

/** One immutable generation of the core's configuration. */
export interface CoreConfig {
  /** I/O threads; 0 = as many as the machine has cores. */
  threads: number;
  /**
   * `inherited`: every socket of {@link CoreConfig.inherited} that no other entry is about. It speaks TLS, or redirects, as the entry of `like` does
   * that has its port or path, else as the first of them.
   */
  listen: (CoreListener | { kind: 'inherited'; like: CoreListener[] })[];
  mounts: CoreMount[];
  /** `requestTimeoutMs` 0: none. */
  pools: { queue: number; queueTimeoutMs: number; requestTimeoutMs: number }[];
  upstreams?: CoreUpstream[];
  /** Bytes, except `headerCount`. */
  limits: {
    requestLine: number;
    headerBytes: number;
    headerCount: number;
    body: number;
    bodyInMemory: number;
    spool: number;
    minRate: number;
  };
  timeouts: { headerMs: number; bodyMs: number; keepAliveMs: number; writeMs: number };
  /** The oldest version of TLS. */
  minTls?: '1.2' | '1.3';
  /** Names that are to be served over TLS: there need not be certificates for them yet. */
  domains?: string[];
  /** `Strict-Transport-Security` of responses over TLS. */
  hsts?: string;
  /** The `Server` header's value; null sends none. */
  serverHeader: string | null;
  /** Pairs of the deployer that every environ has. */
  environ: Record<string, string>;
  accessLog: { format: 'combined' | 'short' | 'json' | 'off'; color: boolean; file?: string };
  errorLog: {
    format: 'text' | 'json';
    level: 'error' | 'warn' | 'info' | 'debug';
    file?: string;
    /** It is not for a person at a terminal: as text, every line has a time and a level. */
    timed: boolean;
  };
  /** Networks, addresses, `unix` or `*`; missing: nobody can be trusted, and nothing is said about that. */
  trustedProxies?: string[];
  /** Of responses that no mount gives. */
  headerRules?: CoreHeaderRules;
  /** Who may enter anything at all. */
  addresses?: CoreAddresses;
  login?: CoreLogin;
  rateLimit?: CoreRateLimit;
  /** `accept`: the client's, if it is well-formed. */
  requestIds: 'off' | 'accept' | 'generate';
  /** Where files that were compressed are kept. */
  compressionCache?: string;
  tempDir: string;
  /** Descriptors that clients leave to workers that are started. */
  reservedDescriptors: number;
  /** `wsgi.multiprocess`: whether several workers serve one pool. */
  multiprocess: boolean;
  /** Descriptors of listening sockets, handed over: taken instead of binding the addresses that they have. */
  inherited?: number[];
  /** The event `refused` is wanted. */
  tellRefusals?: boolean;
}

/** Certificates as the core gets them, beside its configuration: no text that is shown or logged has them. */
export interface CoreTls {
  certificates: {
    /** What an operator knows it by. */
    label: string;
    /** PEM. */
    cert: string;
    key: string;
    isDefault: boolean;
  }[];
  /** Clients are asked for certificates. */
  clients?: CoreClients;
}

export interface CoreClients {
  /** PEM: the authorities whose clients are let in, and what these have revoked. */
  ca: string;
  crl?: string;
  /** Who has no certificate is refused. */
  isRequired: boolean;
}

/** What the core tells the main process. */
export type CoreEvent =
  | { type: 'worker-ready'; worker: number }
  | { type: 'worker-gone'; worker: number; reason: string }
  /** `stuck`: the worker still has it, as long again after the client was told. */
  | { type: 'worker-late'; worker: number; request: string; stuck: boolean }
  | { type: 'refused'; status: number; reason: string }
  | { type: 'renewed' }
  | { type: 'closed' };
