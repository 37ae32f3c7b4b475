/** What a fetch handler gets beside the request. */
export interface FetchInfo {
  /** The client's address; undefined behind a Unix socket. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** The port that the client connected to; undefined for a Unix socket. */
  readonly localPort: number | undefined;
  /** The TLS of the connection to gwanmun. Undefined: there is none, or it is a proxy that has it. */
  readonly tls: TlsInfo | undefined;
  /**
   * Work that continues after the response. A worker that stops or is replaced waits for it, as long as for requests. If it fails,
   * the error log says so.
   */
  readonly waitUntil: (work: PromiseLike<unknown>) => void;
}

/** What was agreed on with a client. */
export interface TlsInfo {
  /** `TLSv1.3` */
  readonly protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  readonly cipher: string;
  /** The host that the client asked for (SNI). */
  readonly servername: string | undefined;
  /** The client came back with a ticket. */
  readonly isResumed: boolean;
  /** The client's certificate, for which an authority of `clientCertificates` vouches. */
  readonly clientCertificate: ClientCertificate | undefined;
}

/** A client's certificate. */
export interface ClientCertificate {
  /** `CN=alice,O=Example`: RFC 2253, as in the environ. */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal digits. */
  readonly serialNumber: string;
  /** `Dec  1 12:00:00 2026 GMT` */
  readonly validFrom: string;
  readonly validTo: string;
  /** SHA-256, as Node writes it: `AB:01:…`. */
  readonly fingerprint256: string;
  readonly pem: string;
}

/** Answers a request. `context` is `info` again, as frameworks that pass on `(request, env, context)` expect. */
export type FetchHandler = (request: Request, info: FetchInfo, context: FetchInfo) => Response | PromiseLike<Response>;

/** What a module exports to be an application: `export default { fetch(request) { … } }`. */
export interface FetchApplication {
  fetch: FetchHandler;
}
