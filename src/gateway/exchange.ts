import { AsyncResource } from 'node:async_hooks';
import { GwanmunError } from '../errors.js';
import { LOG_ERROR, RESET_APPLICATION_ERROR, RESET_CLIENT_GONE } from './frame.js';
import type { Adapter, ExchangeLink, LinkedExchange } from './adapter.js';
import type { EnvironFactories } from './environ.js';
import { ErrorLog } from './error-stream.js';
import { FileBody } from './file-body.js';
import { describe } from './describe.js';
import type { Input } from './input.js';
import { isBytes, Response } from './response.js';
import { show } from './show.js';
import { StreamedInput } from './streamed-input.js';
import type { Application, BodyChunk, Environ, StartResponse } from './types.js';

const RESOURCE = Object.freeze({ requireManualDestroy: true });

type BodyIterator = Iterator<BodyChunk> | AsyncIterator<BodyChunk>;

/**
 * One request and its response: calls the application and drives what it returns.
 *
 * It is an async resource, else AsyncLocalStorage would leak from one request of a batch into the next.
 */
export class Exchange extends AsyncResource implements LinkedExchange {
  readonly response: Response;
  /** The request's number on its link. */
  readonly sequence: number;
  input: Input | null = null;
  /** Called once when the client has left, or has most likely: it has ended its side of the connection. */
  onDisconnect: (() => void) | null = null;
  /** Set when the application is called: all of the request has come, or its body is streamed. */
  running = false;
  /** Bytes of the body that are still to come, and where they go. */
  body: Buffer | null = null;
  received = 0;
  private readonly link: ExchangeLink;
  private readonly application: Application;
  private environ: Environ | null = null;
  private errors: ErrorLog | null = null;
  /** What the client accepts, in development. */
  private accepted: string | undefined;
  /** What the application returned, until it is closed. */
  private result: object | null = null;
  private iterator: BodyIterator | null = null;
  /**
   * Where the application's code runs after its call. From Node 24 on an async resource keeps the storage of the moment when it was
   * made: this request's own would undo what the application has entered with `enterWith`.
   */
  private scope: AsyncResource = this;
  private isAsync = false;
  /** The pieces are there already: nothing has to be on its way before the next is asked for. */
  private eager = false;
  /** The iterator's own code is on the stack, or a promise of it is awaited. */
  private iterating = false;
  private finished = false;

  constructor(link: ExchangeLink, stream: number, window: number, application: Application, sequence: number) {
    super('GWANMUN_REQUEST', RESOURCE);
    this.sequence = sequence;
    this.link = link;
    this.application = application;
    this.response = new Response(link, stream, window);
  }

  prepare(environs: EnvironFactories, words: Int32Array, at: number, text: string, input: Input): void {
    const errors = new ErrorLog(this.response);
    const environ = environs.make(words, at, text, input, errors);
    errors.environ = environ;
    this.errors = errors;
    this.environ = environ;
    if (this.link.errorPage !== null) this.accepted = environ.HTTP_ACCEPT;
    this.input = input;
    this.response.headOnly = environ.REQUEST_METHOD === 'HEAD';
  }

  /** Calls the application. */
  start(): void {
    this.running = true;
    this.runInAsyncScope(callApplication, undefined, this);
  }

  /** Goes on with the body, after a flush or when there is credit. */
  resume(): void {
    if (this.iterator !== null && !this.iterating) this.scope.runInAsyncScope(pump, undefined, this);
    // What was written goes out whatever the application does meanwhile.
    else this.response.sendRest();
  }

  /** The client has gone, or the link. What the application does from now on goes nowhere. `reason`: the core's, for its RESET. */
  abandon(reason = RESET_CLIENT_GONE): void {
    const { response, input } = this;
    response.gone = true;
    response.drop();
    if (input instanceof StreamedInput) {
      input.fail(reason);
      this.announce();
    }
    this.disconnected();
    if (!this.running) this.finish();
    // While the iterator's code runs it cannot be closed; the driver notices on its return.
    else if (this.iterator !== null && (this.isAsync || !this.iterating)) {
      this.scope.runInAsyncScope(finish, undefined, this);
    }
  }

  /** The client has left, or has most likely. */
  disconnected(): void {
    const { onDisconnect } = this;
    this.onDisconnect = null;
    if (onDisconnect !== null) this.scope.runInAsyncScope(onDisconnect);
  }

  /** There is something new for a streamed body's reader. */
  announce(): void {
    if (this.input instanceof StreamedInput) this.scope.runInAsyncScope(notify, undefined, this.input);
  }

  /** Whether the body waits for credit. */
  get blocked(): boolean {
    return this.response.blocked;
  }

  /** @internal */
  call(): void {
    const { response, application } = this;
    const { environ } = this;
    if (environ === null) return;
    this.environ = null;
    const startResponse: StartResponse = (status, headers, excInfo) => {
      response.start(status, headers, excInfo);
      return (data) => response.write(data);
    };
    let result: unknown;
    try {
      result = application(environ, startResponse);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.deliver(result);
  }

  /** Sends what the application returned. */
  private deliver(result: unknown): void {
    const { response } = this;
    try {
      if (typeof result === 'string' || isBytes(result)) {
        if (response.gone || response.sendWhole(result)) this.finish();
        else this.deliverPieces([result]);
      } else if (Array.isArray(result)) {
        this.result = result;
        if (response.gone) this.finish();
        else if (result.length === 1 && (typeof result[0] === 'string' || isBytes(result[0]))) {
          if (response.sendWhole(result[0])) this.finish();
          else this.deliverPieces(result);
        } else if (response.sendPieces(result)) this.finish();
        else this.deliverPieces(result);
      } else if ((typeof result === 'object' && result !== null) || typeof result === 'function') {
        this.deliverObject(result);
      } else {
        throw new TypeError(`the application returned ${describe(result)}; ${EXPECTED}`);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private deliverObject(result: object): void {
    const body = result as Partial<PromiseLike<unknown> & AsyncIterable<BodyChunk> & Iterable<BodyChunk>>;
    if (typeof body.then === 'function') {
      // It can be called back while it goes on.
      if (this.input instanceof StreamedInput) this.scope = new AsyncResource('GWANMUN_BODY');
      Promise.resolve(result as PromiseLike<unknown>).then(
        (value) => this.deliver(value),
        (error) => this.fail(error),
      );
      return;
    }
    this.result = result;
    if (this.response.gone) {
      this.finish();
      return;
    }
    if (result instanceof FileBody && !this.response.headersSent && !this.response.narrow) {
      const passing = this.link.passing();
      if (passing === null) this.deliverFile(result);
      else void passing.then(() => this.deliverFile(result));
      return;
    }
    this.iterate(result);
  }

  private iterate(result: Partial<AsyncIterable<BodyChunk> & Iterable<BodyChunk>>): void {
    const iterator = result[Symbol.asyncIterator]?.();
    this.isAsync = iterator !== undefined;
    this.iterator = iterator ?? result[Symbol.iterator]?.() ?? null;
    if (this.iterator === null)
      throw new TypeError(`the application returned ${describe(result)} that is not iterable; ${EXPECTED}`);
    this.scope = new AsyncResource('GWANMUN_BODY');
    this.pump();
  }

  /** Has the core send a file, or reads it here. */
  private deliverFile(body: FileBody): void {
    const { response } = this;
    try {
      const part = response.gone || this.link.ending ? null : body.part();
      if (response.gone || (part !== null && response.sendFile(part))) this.finish();
      else this.iterate(body);
    } catch (error) {
      this.fail(error);
    }
  }

  /** A body that is complete but does not fit into one frame. */
  private deliverPieces(pieces: readonly BodyChunk[]): void {
    const { response } = this;
    let length = 0;
    for (const piece of pieces) length += typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;
    response.sendHeaders(length); // W54
    this.eager = true;
    this.iterator = pieces[Symbol.iterator]();
    this.pump();
  }

  /** @internal Sends chunks until the body ends, credit is used up, or a chunk must be on its way first. */
  pump(): void {
    const { response } = this;
    try {
      for (;;) {
        if (response.blocked && !response.sendRest()) return;
        if (response.gone || response.ended || this.iterator === null) {
          this.finish();
          return;
        }
        // W55, W57: nobody would get what is still to come.
        if (response.full || (response.started && response.bodiless)) {
          response.end();
          this.finish();
          return;
        }
        this.iterating = true;
        const step = this.iterator.next();
        if (this.isAsync) {
          Promise.resolve(step as Promise<IteratorResult<BodyChunk>>).then(
            (result) => this.onStep(result),
            (error) => this.onStepFailed(error),
          );
          return;
        }
        this.iterating = false;
        if (this.accept(step as IteratorResult<BodyChunk>)) return;
      }
    } catch (error) {
      this.onStepFailed(error);
    }
  }

  private onStep(step: IteratorResult<BodyChunk>): void {
    this.iterating = false;
    if (this.finished) return;
    try {
      if (this.accept(step)) return;
    } catch (error) {
      this.fail(error);
      return;
    }
    this.pump();
  }

  private onStepFailed(error: unknown): void {
    // An iterator that threw is over: it must not be returned to.
    if (this.iterating) this.iterator = null;
    this.iterating = false;
    this.fail(error);
  }

  /** Takes what the iterator gave; true if the loop must not go on now. */
  private accept(step: IteratorResult<BodyChunk>): boolean {
    const { response } = this;
    if (step.done === true) {
      this.iterator = null;
      response.end();
      this.finish();
      return true;
    }
    const chunk = step.value;
    if (response.gone) return false;
    if (this.eager) {
      response.send(chunk);
      return response.blocked;
    }
    if (typeof chunk === 'string' || isBytes(chunk)) {
      if (chunk.length === 0) return false;
      if (response.bodiless) {
        response.sendHeaders();
        return false;
      }
    }
    response.send(chunk);
    if (response.blocked) return true;
    if (response.full) return false;
    this.response.writer.afterFlush(this); // W51
    return true;
  }

  /** The application failed: before the headers that is a 500, afterwards a broken connection (W61, W62). */
  private fail(error: unknown): void {
    if (this.finished) return;
    const { response } = this;
    // That the client has left is the reader's to know, not a fault.
    if (!(this.input instanceof StreamedInput && this.input.failure !== null && error === this.input.failure)) {
      this.errors?.log(LOG_ERROR, show(error));
    }
    if (error instanceof GwanmunError && error.code === 'GWM_READ_TOO_SLOW') {
      response.replace(
        '408 Request Timeout',
        [['Content-Type', 'text/plain; charset=utf-8']],
        'The request body took too long.\n',
      );
    } else if (this.link.errorPage !== null && !response.headersSent && !response.gone) {
      const { type, body } = this.link.errorPage(error, this.accepted);
      response.replace('500 Internal Server Error', [['Content-Type', type]], body);
    }
    response.reset(RESET_APPLICATION_ERROR);
    this.finish();
  }

  /** @internal The response is over: the stream is ended, the slot is free, and `close()` is called (W52). */
  finish(): void {
    if (this.finished) return;
    this.finished = true;
    const { response } = this;
    response.reset(RESET_CLIENT_GONE);
    this.link.release(this);
    this.input?.release();
    if (this.result !== null || this.iterator !== null) this.close();
    this.emitDestroy();
  }

  /** Ends a body that was not read to its end, and calls `close()` once. */
  private close(): void {
    const { result, iterator } = this;
    this.result = null;
    this.iterator = null;
    if (iterator !== null && !this.eager) this.attempt(() => iterator.return?.());
    if (result !== null) {
      this.attempt(() => {
        const { close } = result as { close?: unknown };
        return typeof close === 'function' ? (close.call(result) as unknown) : undefined;
      });
    }
  }

  /** Runs code of the application whose failure changes nothing any more, but is told. */
  private attempt(action: () => unknown): void {
    const failed = (error: unknown): void => this.errors?.log(LOG_ERROR, show(error));
    try {
      const pending = action();
      if (typeof pending === 'object' && pending !== null && 'then' in pending) {
        Promise.resolve(pending as PromiseLike<unknown>).then(undefined, failed);
      }
    } catch (error) {
      failed(error);
    }
  }
}

/** An application of the gateway contract. */
export function contractApplication(application: Application): Adapter {
  return {
    open: (link, stream, window, sequence) => new Exchange(link, stream, window, application, sequence),
  };
}

const EXPECTED =
  'it must return a string, a Uint8Array, an iterable or async iterable of those, or a promise of one; an empty body is []';

function callApplication(exchange: Exchange): void {
  exchange.call();
}

function notify(input: StreamedInput): void {
  input.notify();
}

function pump(exchange: Exchange): void {
  exchange.pump();
}

function finish(exchange: Exchange): void {
  exchange.finish();
}
