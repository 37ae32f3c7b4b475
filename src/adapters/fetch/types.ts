/** What a fetch handler gets beside the request. */
export interface FetchInfo {
  /** The client's address; undefined behind a Unix socket. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** The port that the client connected to; undefined for a Unix socket. */
  readonly localPort: number | undefined;
  /**
   * Work that continues after the response. A worker that stops or is replaced waits for it, as long as for requests. If it fails,
   * the error log says so.
   */
  readonly waitUntil: (work: PromiseLike<unknown>) => void;
}

/** Answers a request. `context` is `info` again, as frameworks that pass on `(request, env, context)` expect. */
export type FetchHandler = (request: Request, info: FetchInfo, context: FetchInfo) => Response | PromiseLike<Response>;

/** What a module exports to be an application: `export default { fetch(request) { … } }`. */
export interface FetchApplication {
  fetch: FetchHandler;
}
