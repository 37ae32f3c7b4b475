/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

import { AsyncResource } from 'node:async_hooks';
import type { ExchangeLink, LinkedExchange } from '../../gateway/adapter.js';
import { connectionTail, cut, type EnvironFactories } from '../../gateway/environ.js';
import { show } from '../../gateway/show.js';
import {
  HEAD_COUNT,
  HEAD_FLAG_TLS,
  HEAD_FLAGS,
  HEAD_METHOD,
  HEAD_PAIRS,
  HEAD_PORTS,
  HEAD_REMOTE_ADDR,
  HEAD_SERVER_NAME,
  HEAD_TARGET,
  LOG_ERROR,
  LOG_FROM_WORKER,
  RESET_APPLICATION_ERROR,
  RESET_CLIENT_GONE,
} from '../../gateway/frame.js';
import { describe } from '../../gateway/describe.js';
import type { Input } from '../../gateway/input.js';
import { Response as Outgoing } from '../../gateway/response.js';
import { StreamedInput } from '../../gateway/streamed-input.js';
import { isThenable } from '../thenable.js';
import { Info } from './info.js';
import { requestOf, type RequestSource } from './request.js';
import { type Outcome, outcomeOf } from './response.js';
import { endToEnd, statusLine } from './response-head.js';
import { StreamedBody, type StreamedBodyOwner } from './streamed-body.js';
import { tlsInfoOf } from './tls-info.js';
import type { FetchHandler, TlsInfo } from './types.js';
import { originOf, urlOf } from './url.js';

const RESOURCE = Object.freeze({ requireManualDestroy: true });
const EXPECTED = 'it must return a Response or a promise of one';

/** One request and its response, for an application that is a fetch handler. */
export class FetchExchange extends AsyncResource implements LinkedExchange, RequestSource, StreamedBodyOwner {
  readonly response: Outgoing;
  readonly sequence: number;
  input: Input | null = null;
  running = false;
  body: Buffer | null = null;
  received = 0;
  method = '';
  readonly pairs: string[] = [];
  content: Input | null = null;
  private readonly link: ExchangeLink;
  private readonly handler: FetchHandler;
  private readonly background: Set<Promise<unknown>>;
  private text = '';
  private target = 0;
  private remote = 0;
  private ports = 0;
  /** What the core says of the connection, behind the rest of the head. */
  private tail: string | undefined;
  private secured: TlsInfo | undefined;
  private origin: string | null = null;
  private address: string | null = null;
  private controller: AbortController | null = null;
  /** The client has left, or has ended its side, which most likely is the same. */
  private hasLeft = false;
  /** The body of the response, if it is a stream. */
  private streamed: StreamedBody | null = null;
  private finished = false;

  constructor(
    link: ExchangeLink,
    stream: number,
    window: number,
    sequence: number,
    handler: FetchHandler,
    background: Set<Promise<unknown>>,
  ) {
    super('GWANMUN_REQUEST', RESOURCE);
    this.link = link;
    this.sequence = sequence;
    this.handler = handler;
    this.background = background;
    this.response = new Outgoing(link, stream, window);
  }

  prepare(environs: EnvironFactories, words: Int32Array, at: number, text: string, input: Input): void {
    this.input = input;
    this.text = text;
    this.method = cut(text, words[at + HEAD_METHOD]!);
    this.target = words[at + HEAD_TARGET]!;
    this.remote = words[at + HEAD_REMOTE_ADDR]!;
    this.ports = words[at + HEAD_PORTS]!;
    this.tail = connectionTail(words, at, text);
    this.response.headOnly = this.method === 'HEAD';
    const { pairs } = this;
    const count = words[at + HEAD_COUNT]!;
    for (let i = 0, pair = at + HEAD_PAIRS; i < count; i++, pair += 2) {
      pairs.push(cut(text, words[pair]!), cut(text, words[pair + 1]!));
    }
    const scheme = words[at + HEAD_FLAGS]! & HEAD_FLAG_TLS ? 'https' : 'http';
    const port = this.ports >>> 16;
    const host =
      environs.header(words, at, text, 'host') ??
      `${cut(text, words[at + HEAD_SERVER_NAME]!)}${port === 0 ? '' : `:${port}`}`;
    this.origin = originOf(scheme, host);
    // The web's requests have no body then.
    if (this.method !== 'GET' && this.method !== 'HEAD' && !input.ended) this.content = input;
  }

  start(): void {
    this.running = true;
    this.runInAsyncScope(call, undefined, this);
  }

  resume(): void {
    this.runInAsyncScope(pump, undefined, this);
  }

  abandon(reason = RESET_CLIENT_GONE): void {
    const { response, input } = this;
    response.gone = true;
    response.drop();
    if (input instanceof StreamedInput) {
      input.fail(reason);
      this.announce();
    }
    if (this.running) this.runInAsyncScope(leave, undefined, this);
    else this.finish();
  }

  disconnected(): void {
    this.runInAsyncScope(leave, undefined, this);
  }

  announce(): void {
    if (this.input instanceof StreamedInput) this.runInAsyncScope(notify, undefined, this.input);
  }

  get blocked(): boolean {
    return this.response.blocked;
  }

  get url(): string {
    return (this.address ??= urlOf(this.origin as string, cut(this.text, this.target)));
  }

  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.hasLeft) this.controller.abort(left());
    }
    return this.controller.signal;
  }

  get remoteAddress(): string | undefined {
    const address = cut(this.text, this.remote);
    return address === '' ? undefined : address;
  }

  get remotePort(): number | undefined {
    return this.ports & 0xffff || undefined;
  }

  get localPort(): number | undefined {
    return this.ports >>> 16 || undefined;
  }

  get tls(): TlsInfo | undefined {
    return this.tail === undefined ? undefined : (this.secured ??= tlsInfoOf(this.tail));
  }

  /** Work that outlives the request. */
  waitUntil(work: PromiseLike<unknown>): void {
    const { background } = this;
    const pending: Promise<unknown> = Promise.resolve(work)
      .catch((error: unknown) => this.log(error))
      .finally(() => background.delete(pending));
    background.add(pending);
  }

  /** @internal */
  call(): void {
    if (this.origin === null) {
      this.deliver(new Response('The Host of the request is not valid.\n', { status: 400 }));
      return;
    }
    const info = new Info(this);
    let result: unknown;
    try {
      result = this.handler(requestOf(this), info, info);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (isThenable(result)) {
      result.then(
        (value) => this.deliver(value),
        (error: unknown) => this.fail(error),
      );
    } else this.deliver(result);
  }

  private deliver(result: unknown): void {
    if (this.finished) {
      void (result instanceof Response && !result.bodyUsed && result.body?.cancel().catch(() => {}));
      return;
    }
    try {
      if (!(result instanceof Response)) {
        throw new TypeError(`the fetch handler returned ${describe(result)}; ${EXPECTED}`);
      }
      this.send(outcomeOf(result));
    } catch (error) {
      this.fail(error);
    }
  }

  private send({ status, statusText, headers, body }: Outcome): void {
    const { response } = this;
    response.start(statusLine(status, statusText), endToEnd(headers), undefined);
    if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
      if (!response.sendWhole(body ?? '')) {
        const bytes = typeof body === 'string' ? Buffer.from(body) : (body as Uint8Array);
        response.sendHeaders(bytes.length);
        response.send(bytes);
      }
      this.pump();
      return;
    }
    this.streamed = new StreamedBody(this, body);
    if (this.hasLeft || response.bodiless) {
      if (this.hasLeft) response.gone = true;
      else response.end();
      this.finish();
      return;
    }
    this.streamed.start();
  }

  /** @internal Goes on with the body: there is credit, or what was written is on its way. */
  pump(): void {
    const { response } = this;
    if (this.finished) return;
    if (response.blocked && !response.sendRest()) return;
    if (response.gone || response.full || this.streamed === null || this.streamed.over) {
      if (!response.gone) response.end();
      this.finish();
      return;
    }
    this.streamed.read();
  }

  /** @internal The client has left, or has most likely: it has ended its side. A response that is whole still goes out. */
  leave(): void {
    if (this.hasLeft || this.finished) return;
    this.hasLeft = true;
    this.controller?.abort(left());
    if (this.streamed !== null && !this.streamed.over) {
      this.response.gone = true;
      this.finish();
    }
  }

  private header(wanted: string): string | undefined {
    const at = this.pairs.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === wanted);
    return at < 0 ? undefined : this.pairs[at + 1];
  }

  /** @internal */
  log(error: unknown): void {
    const { writer } = this.response;
    // Work behind the response may be longer about than the link.
    if (writer.isClosed) process.stderr.write(`${show(error)}\n`);
    else if (!this.finished) writer.log(LOG_ERROR, this.response.stream, show(error));
    else {
      const request = `${this.method} ${cut(this.text, this.target)}`;
      writer.log(LOG_ERROR, 0, show(error), this.header('x-request-id'), LOG_FROM_WORKER, request);
    }
  }

  /** @internal Before the headers that is a 500, afterwards a broken connection. */
  fail(error: unknown): void {
    const { input, response } = this;
    // That the client has left is the application's to know, not a fault.
    const isLeaving =
      this.hasLeft &&
      (error === this.controller?.signal.reason || (input instanceof StreamedInput && error === input.failure));
    if (!isLeaving) this.log(error);
    if (this.link.errorPage !== null && !response.headersSent && !response.gone) {
      const { type, body } = this.link.errorPage(error, this.header('accept'));
      response.replace('500 Internal Server Error', [['Content-Type', type]], body);
    }
    response.reset(RESET_APPLICATION_ERROR);
    this.finish();
  }

  /** The stream is over. */
  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.response.reset(RESET_CLIENT_GONE);
    this.link.release(this);
    this.input?.release();
    this.streamed?.cancel(this.hasLeft ? left() : undefined);
    this.streamed = null;
    this.emitDestroy();
  }
}

function left(): DOMException {
  return new DOMException('The client has closed the connection', 'AbortError');
}

function call(exchange: FetchExchange): void {
  exchange.call();
}

function pump(exchange: FetchExchange): void {
  exchange.pump();
}

function leave(exchange: FetchExchange): void {
  exchange.leave();
}

function notify(input: StreamedInput): void {
  input.notify();
}
