import type { FetchInfo, TlsInfo } from './types.js';

/** What a handler gets beside the request, made of it when it is looked at. */
export class Info implements FetchInfo {
  readonly #source: FetchInfo;
  #waitUntil: FetchInfo['waitUntil'] | null = null;

  constructor(source: FetchInfo) {
    this.#source = source;
  }

  get remoteAddress(): string | undefined {
    return this.#source.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#source.remotePort;
  }

  get localPort(): number | undefined {
    return this.#source.localPort;
  }

  get tls(): TlsInfo | undefined {
    return this.#source.tls;
  }

  /** A function of its own: it can be taken off. */
  get waitUntil(): FetchInfo['waitUntil'] {
    return (this.#waitUntil ??= (work) => this.#source.waitUntil(work));
  }
}
