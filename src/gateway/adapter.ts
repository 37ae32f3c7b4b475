import type { EnvironFactories } from './environ.js';
import type { ErrorPage } from './error-page.js';
import type { Input } from './input.js';
import type { ResponseLink } from './response.js';

/** One kind of application: makes what answers each request. */
export interface Adapter {
  /** `WISH_…` bits: what the core is to know of it. */
  readonly wishes?: number;
  /** A request for the application has come on a stream. `window`: body bytes that may be sent before there is credit. */
  open(link: ExchangeLink, stream: number, window: number, sequence: number): LinkedExchange;
  /** Settles when nothing is going on that outlives its requests, at the latest after so many milliseconds. Absent: there never is. */
  settle?(timeoutMs: number): Promise<void>;
}

/** One request and its response, as a link drives it, whatever the application's kind. */
export interface LinkedExchange {
  /** The request's number on its link. */
  readonly sequence: number;
  readonly response: LinkedResponse;
  input: Input | null;
  /** Set when the application is called: all of the request has come, or its body is streamed. */
  running: boolean;
  /** Bytes of the body that are still to come, and where they go. */
  body: Buffer | null;
  received: number;
  /** Whether the response waits for credit. */
  readonly blocked: boolean;
  /** The head has come: its table is at word `at`, its text is `text`. What is needed of the words must be read now. */
  prepare(environs: EnvironFactories, words: Int32Array, at: number, text: string, input: Input): void;
  /** Calls the application. */
  start(): void;
  /** There is credit, or what was written is on its way. */
  resume(): void;
  /** There is something new for the reader of a streamed body. */
  announce(): void;
  /** The client has ended its side of the connection. Most likely it has left; it may still wait for the answer. */
  disconnected(): void;
  /** The client has gone, or the link. What the application does from now on goes nowhere. `reason`: the core's, for its RESET. */
  abandon(reason?: number): void;
}

/** The sending side of a stream. */
export interface LinkedResponse {
  readonly stream: number;
  /** Body bytes that may still be sent. */
  credit: number;
  /** Nobody wants the rest. */
  gone: boolean;
  /** This side of the stream has ended. */
  readonly ended: boolean;
  /** Ends the stream without a proper end. */
  reset(reason: number): void;
}

/** What an exchange needs of its link. */
export interface ExchangeLink extends ResponseLink {
  /** This side of the stream has ended: its slot is free. */
  release(exchange: LinkedExchange): void;
  /** In development: an error as a response. */
  readonly errorPage: ((error: unknown, accept: string | undefined) => ErrorPage) | null;
  /** Settles when the core looks for descriptors that come with frames, for which it is asked if need be. Null: it does. */
  passing(): Promise<void> | null;
}
