/** What a fetch handler is told beside the request. */
export interface FetchInfo {
  /** The client's address; undefined behind a Unix socket. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** The port that the client has connected to; undefined for a Unix socket. */
  readonly localPort: number | undefined;
  /**
   * Work that goes on behind the response: a worker that stops or is replaced waits for it, for as long as for requests. If it fails,
   * that is told in the error log.
   */
  readonly waitUntil: (work: PromiseLike<unknown>) => void;
}

/** Answers a request. `context` is `info` again, as frameworks that pass on `(request, env, context)` expect. */
export type FetchHandler = (request: Request, info: FetchInfo, context: FetchInfo) => Response | PromiseLike<Response>;

/** What a module exports to be an application: `export default { fetch(request) { … } }`. */
export interface FetchApplication {
  fetch: FetchHandler;
}
