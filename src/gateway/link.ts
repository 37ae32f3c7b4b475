/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

import type { AsyncLocalStorage } from 'node:async_hooks';
import type { NativeLink, NativeLinkConstructor } from '../native.js';
import {
  FLAG_END,
  FLAG_FD,
  FLAG_NARROW,
  FLAG_SHARED,
  FRAME_HEADER,
  HEAD_APPLICATION,
  HEAD_FLAG_LENGTH,
  HEAD_FLAG_STREAMED,
  HEAD_FLAGS,
  HEAD_TEXT_LENGTH,
  HEAD_TEXT_START,
  KIND_CLOSED,
  KIND_CREDIT,
  KIND_DATA,
  KIND_END,
  KIND_HEAD,
  KIND_HELLO,
  KIND_NAMES,
  KIND_PASSING,
  KIND_RESET,
  LOG_ERROR,
  MARK_PAGE,
  MARK_STRIDE,
  MAX_FRAME,
  NARROW_WINDOW,
  PULSE_BEATS,
  PULSE_MS,
  RESET_APPLICATION_ERROR,
  RESET_CLIENT_GONE,
} from './frame.js';
import type { Adapter, ExchangeLink, LinkedExchange } from './adapter.js';
import { type Batch, newBatch, rest, take } from './batch.js';
import { bodyLength, type EnvironFactories } from './environ.js';
import { show } from './show.js';
import { FrameWriter } from './frame-writer.js';
import { readHello, sayHello, sayReady } from './handshake.js';
import { HeaderBlocks } from './headers.js';
import { RequestInput } from './input.js';
import { ProtocolError } from './protocol-error.js';
import { SharedBuffers } from './shared-buffers.js';
import { type InputSource, StreamedInput } from './streamed-input.js';

/** What a link needs of its dispatcher. */
export interface LinkOwner {
  readonly adapters: readonly Adapter[];
  readonly name: string;
  readonly concurrency: number;
  readonly inProcess: boolean;
  /** Milliseconds that the reads of one request may block the worker. */
  readonly patienceMs: number;
  /** Null: nobody asks. */
  readonly context: AsyncLocalStorage<RunningRequest> | null;
  readonly Link: NativeLinkConstructor;
  readonly errorPage: ExchangeLink['errorPage'];
  /** The link has closed. `fault` if the core broke the protocol. */
  onLinkClosed(link: WorkerLink, fault: Error | null): void;
}

/** The request whose code is running, for what that prints. */
export interface RunningRequest {
  readonly id: string | undefined;
  readonly writer: FrameWriter;
  exchange: LinkedExchange | null;
}

/** What `takeFd()` gives when the kernel has dropped the descriptor. */
const FD_LOST = -2;
const OUT_OF_DESCRIPTORS =
  'The request was not served: its body is a file, and this worker has no file descriptor left for it. ' +
  'Close what the application leaves open, or raise the limit (ulimit -n, or LimitNOFILE= of systemd).';

/** A blocking wait looks up this often, and says that the worker lives: it is the client that keeps it. */
const WAIT_MS = PULSE_MS;
/** While the kernel has not taken everything, a closing link looks again after this time. */
const CLOSING_MS = 5;

/** The worker's end of one link: its handshake, its streams and the frames that come. */
export class WorkerLink implements ExchangeLink {
  readonly writer: FrameWriter;
  readonly blocks: HeaderBlocks;
  readonly inProcess: boolean;
  readonly errorPage: ExchangeLink['errorPage'];
  private readonly context: AsyncLocalStorage<RunningRequest> | null;
  private readonly owner: LinkOwner;
  private readonly native: NativeLink;
  private readonly marks: Int32Array;
  /** Index of this link's mark in `marks`. */
  private readonly mark: number;
  private readonly shared: SharedBuffers;
  private readonly received: Batch;
  /** For blocking waits; what they receive is dispatched after the batch that is being dispatched. */
  private waited: Batch | null = null;
  private queue: Batch[] = [];
  private current: Batch | null = null;
  /** By stream number. */
  private readonly streams: (LinkedExchange | undefined)[] = [];
  private open = 0;
  private environs: EnvironFactories | null = null;
  private window = 0;
  /** The core has shut down its side: no request and no credit will come. */
  ending = false;
  private closed = false;
  /** The core looks for descriptors that come with frames. */
  private isPassing = false;
  private passed: Promise<void> | null = null;
  private onPassing: () => void = () => {};

  constructor(owner: LinkOwner, fd: number, memory: ArrayBuffer, slot: number) {
    this.owner = owner;
    this.inProcess = owner.inProcess;
    this.errorPage = owner.errorPage;
    this.context = owner.context;
    this.marks = new Int32Array(memory, 0, MARK_PAGE / 4);
    this.shared = new SharedBuffers(memory, slot);
    this.mark = (slot * MARK_STRIDE) / 4;
    this.received = newBatch();
    this.writer = new FrameWriter((length, fd) =>
      fd < 0 ? this.native.send(length) : this.native.sendWithFd(length, fd),
    );
    this.blocks = new HeaderBlocks(this.writer);
    this.native = new owner.Link(
      fd,
      this.received.bytes.buffer as ArrayBuffer,
      this.writer.outgoing,
      (end) => this.onFrames(end),
      (reason) => this.onClose(reason),
    );
    sayHello(this.writer, owner);
  }

  /** The applications are loaded: requests may come. */
  ready(): void {
    if (this.closed) return;
    sayReady(this.writer, this.owner.adapters);
  }

  ref(): void {
    if (!this.closed) this.native.ref();
  }

  unref(): void {
    if (!this.closed) this.native.unref();
  }

  /** Closes at once; responses that are not finished are cut off. */
  close(fault: Error | null = null): void {
    if (this.closed) return;
    this.closed = true;
    this.writer.send();
    this.writer.close();
    for (const exchange of this.streams) {
      exchange?.abandon();
      // An application that never returns must not keep the body's file.
      exchange?.input?.release();
    }
    this.native.close();
    this.owner.onLinkClosed(this, fault);
  }

  release(exchange: LinkedExchange): void {
    const { stream } = exchange.response;
    if (this.streams[stream] !== exchange) return;
    this.streams[stream] = undefined;
    this.open -= 1;
    if (this.ending && this.open === 0) setImmediate(() => this.closeWhenSent());
  }

  passing(): Promise<void> | null {
    // At its end the core answers nothing any more.
    if (this.isPassing || this.ending) return null;
    if (this.passed === null) {
      this.writer.control(KIND_PASSING, 0, 0);
      this.passed = new Promise((resolve) => (this.onPassing = resolve));
    }
    return this.passed;
  }

  /**
   * Blocks until something has come for a body that is read, or its reads have blocked for too long in all. Frames of the others wait for the end of the current batch, so that every
   * stream's frames stay in order and no other application runs inside this one.
   */
  private block(exchange: LinkedExchange, input: StreamedInput): void {
    const began = performance.now() - input.blockedMs;
    // It may have been received already, behind the frame that is being dispatched.
    if (this.current !== null) take(this.current, this.current.next, exchange, this.shared);
    for (const queued of this.queue) take(queued, 0, exchange, this.shared);
    while (!input.isReady) {
      if (this.ending || this.closed) {
        input.fail(RESET_CLIENT_GONE);
        return;
      }
      if (input.blockedMs >= this.owner.patienceMs) {
        input.giveUp();
        return;
      }
      this.writer.send();
      this.waited ??= newBatch();
      const end = this.native.wait(this.waited.bytes.buffer as ArrayBuffer, WAIT_MS);
      Atomics.add(this.marks, PULSE_BEATS / 4, 1);
      input.blockedMs = performance.now() - began;
      if (end < 0) this.onClose(null);
      if (end <= 0) continue;
      this.waited.end = end;
      take(this.waited, 0, exchange, this.shared);
      const others = rest(this.waited);
      if (others === null) continue;
      this.queue.push(others);
      // Outside of a batch nothing else would look at the queue.
      if (this.current === null && this.queue.length === 1) setImmediate(() => this.dispatchQueue());
    }
  }

  private onFrames(end: number): void {
    this.received.end = end;
    this.writer.hold();
    if (this.queue.length === 0) this.dispatch(this.received);
    // What a blocking wait received came before.
    else this.queue.push(this.received);
    if (this.queue.length > 0) this.drainQueue();
    this.writer.release();
  }

  private dispatchQueue(): void {
    this.writer.hold();
    this.drainQueue();
    this.writer.release();
  }

  private drainQueue(): void {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) this.dispatch(next);
  }

  private dispatch(frames: Batch): void {
    const { words } = frames;
    this.current = frames;
    let at = 0;
    while (at < frames.end && !this.closed) {
      const word = at >> 2;
      const size = words[word]!;
      const stream = words[word + 2]!;
      try {
        if (size < FRAME_HEADER || size > MAX_FRAME || at + size > frames.end) {
          throw new ProtocolError(`a frame has ${size} bytes`);
        }
        frames.next = (at + size + 7) & ~7;
        this.onFrame(frames, at, size, stream);
      } catch (error) {
        if (error instanceof ProtocolError) {
          this.onProtocolError(error);
          break;
        }
        this.onFault(error, stream);
      }
      at = frames.next;
    }
    this.current = null;
  }

  private onFrame(frames: Batch, at: number, size: number, stream: number): void {
    const kindAndFlags = frames.words[(at >> 2) + 1]!;
    const kind = kindAndFlags & 0xff;
    const flags = (kindAndFlags >>> 8) & 0xff;
    switch (kind) {
      case KIND_HEAD:
        this.onHead(frames, at, flags, stream);
        break;
      case KIND_DATA:
        this.onData(frames, at, size, flags, stream);
        break;
      case KIND_END:
        this.onEnd(stream);
        break;
      case KIND_CREDIT:
        this.onCredit(stream, frames.words[(at >> 2) + 3]!);
        break;
      case KIND_RESET:
        // Unknown streams are no error: this side may have ended the stream while the frame was under way.
        this.streams[stream]?.abandon(frames.words[(at >> 2) + 3]!);
        break;
      case KIND_PASSING:
        this.isPassing = true;
        this.onPassing();
        break;
      case KIND_CLOSED:
        this.streams[stream]?.disconnected();
        break;
      case KIND_NAMES: {
        const text = frames.bytes.latin1Slice(at + FRAME_HEADER, at + size);
        const names = text.split('\0');
        names.pop();
        this.requireEnvirons().define(frames.words[(at >> 2) + 3]!, names);
        break;
      }
      case KIND_HELLO:
        ({ window: this.window, environs: this.environs } = readHello(frames, at, size));
        break;
      default:
        throw new ProtocolError(`the core sent a frame of kind ${kind}`);
    }
  }

  private onHead(frames: Batch, at: number, flags: number, stream: number): void {
    const { words } = frames;
    const head = (at + FRAME_HEADER) >> 2;
    const environs = this.requireEnvirons();
    const application = this.owner.adapters[words[head + HEAD_APPLICATION]!];
    if (application === undefined)
      throw new ProtocolError(`a request is for application ${words[head + HEAD_APPLICATION]}`);
    if (stream <= 0) throw new ProtocolError(`a request came on stream ${stream}`);
    if (this.streams[stream] !== undefined) throw new ProtocolError(`stream ${stream} is open already`);
    const sequence = words[(at >> 2) + 3]!;
    const start = at + FRAME_HEADER + words[head + HEAD_TEXT_START]!;
    const text = frames.bytes.latin1Slice(start, start + words[head + HEAD_TEXT_LENGTH]!);
    const window = flags & FLAG_NARROW ? NARROW_WINDOW : this.window;
    const exchange =
      this.context === null
        ? application.open(this, stream, window, sequence)
        : this.openIn(
            this.context,
            () => application.open(this, stream, window, sequence),
            environs.header(words, head, text, 'x-request-id'),
          );
    const length = words[head + HEAD_FLAGS]! & HEAD_FLAG_LENGTH ? bodyLength(words, head) : 0;
    let input: RequestInput | StreamedInput;
    const streamed = (words[head + HEAD_FLAGS]! & HEAD_FLAG_STREAMED) !== 0;
    if (streamed) {
      input = new StreamedInput(this.sourceOf(exchange), this.window);
    } else if (flags & FLAG_FD) {
      const fd = this.native.takeFd();
      if (fd === FD_LOST) {
        this.writer.log(LOG_ERROR, stream, OUT_OF_DESCRIPTORS);
        this.writer.reset(stream, RESET_APPLICATION_ERROR);
        return;
      }
      if (fd < 0) throw new ProtocolError('a frame with a descriptor came without it');
      input = RequestInput.file(fd, length);
    } else if (flags & FLAG_END) {
      if (length !== 0) throw new ProtocolError('a body is announced and missing');
      input = RequestInput.empty();
    } else {
      // Not of Node’s pool: its buffer is the application’s to see, and holds bytes of others.
      exchange.body = Buffer.allocUnsafeSlow(length);
      input = new RequestInput(exchange.body);
    }
    exchange.input = input;
    this.streams[stream] = exchange;
    this.open += 1;
    exchange.prepare(environs, words, head, text, input);
    if (streamed || flags & FLAG_END) this.run(exchange);
  }

  /** Makes the exchange in a context of its own: async resources keep the one that they were made in. */
  private openIn(
    context: AsyncLocalStorage<RunningRequest>,
    open: () => LinkedExchange,
    id: string | undefined,
  ): LinkedExchange {
    const request: RunningRequest = { id, writer: this.writer, exchange: null };
    const exchange = context.run(request, open);
    request.exchange = exchange;
    return exchange;
  }

  private sourceOf(exchange: LinkedExchange): InputSource {
    const { inProcess, writer } = this;
    const { response } = exchange;
    return {
      inProcess,
      grant: (bytes) => {
        if (!response.ended && !response.gone) writer.control(KIND_CREDIT, response.stream, bytes);
      },
      waitForInput: (input) => this.block(exchange, input),
    };
  }

  /** Marks the request as started and calls the application. */
  private run(exchange: LinkedExchange): void {
    const { sequence } = exchange;
    // A body may have come after a later request: the mark never goes back, else that one would count as not seen.
    if (((sequence - this.marks[this.mark]!) | 0) > 0) this.marks[this.mark] = sequence;
    exchange.start();
  }

  private onData(frames: Batch, at: number, size: number, flags: number, stream: number): void {
    const exchange = this.streams[stream];
    const input = exchange?.input;
    const streamed = input instanceof StreamedInput ? input : null;
    if (flags & FLAG_SHARED && !this.shared.read(frames.words[(at >> 2) + 3]!, streamed))
      throw new ProtocolError('a piece of a body is in no shared buffer');
    if (exchange === undefined) return;
    if (streamed !== null) {
      if (!(flags & FLAG_SHARED)) streamed.push(frames.bytes, at + FRAME_HEADER, at + size);
      if (flags & FLAG_END) streamed.finish();
      exchange.announce();
      return;
    }
    const { body } = exchange;
    const length = size - FRAME_HEADER;
    if (body === null || exchange.received + length > body.length)
      throw new ProtocolError('a body is longer than announced');
    // Copied out: the buffer is received into again.
    frames.bytes.copy(body, exchange.received, at + FRAME_HEADER, at + size);
    exchange.received += length;
    if (flags & FLAG_END) this.onEnd(stream);
  }

  private onEnd(stream: number): void {
    const exchange = this.streams[stream];
    if (exchange === undefined) return;
    if (exchange.input instanceof StreamedInput) {
      exchange.input.finish();
      exchange.announce();
      return;
    }
    if (exchange.body === null || exchange.received !== exchange.body.length)
      throw new ProtocolError('a body is shorter than announced');
    exchange.body = null;
    this.run(exchange);
  }

  private onCredit(stream: number, bytes: number): void {
    const exchange = this.streams[stream];
    if (exchange === undefined) return;
    exchange.response.credit += bytes >>> 0;
    if (exchange.blocked) exchange.resume();
  }

  /** The core has shut down its side (`reason` null), or the connection failed. */
  private onClose(reason: string | null): void {
    if (this.closed) return;
    if (reason !== null) {
      // The core is gone, or has closed the link in the middle of something: it knows why and has said so in its log.
      this.close();
      return;
    }
    if (this.ending) return;
    this.ending = true;
    this.onPassing();
    for (const exchange of this.streams) {
      // A request whose body is incomplete stays so, and credit does not come any more.
      if (exchange === undefined) continue;
      if (!exchange.running || exchange.blocked) exchange.abandon();
      else if (exchange.input instanceof StreamedInput) {
        exchange.input.fail(RESET_CLIENT_GONE);
        exchange.announce();
      }
    }
    if (this.open === 0) this.closeWhenSent();
  }

  private closeWhenSent(): void {
    if (this.closed) return;
    this.writer.flush();
    if (this.native.send(0) > 0) setTimeout(() => this.closeWhenSent(), CLOSING_MS);
    else this.close();
  }

  private onProtocolError(error: ProtocolError): void {
    this.writer.log(LOG_ERROR, 0, `gateway protocol: ${error.message}`);
    this.close(error);
  }

  /** A fault of this dispatcher must not take down the other streams. */
  private onFault(error: unknown, stream: number): void {
    this.writer.log(LOG_ERROR, 0, `gateway: ${show(error)}`);
    const exchange = this.streams[stream];
    if (exchange === undefined) return;
    exchange.response.reset(RESET_APPLICATION_ERROR);
    exchange.abandon();
  }

  private requireEnvirons(): EnvironFactories {
    if (this.environs === null) throw new ProtocolError('the core sent a frame before HELLO');
    return this.environs;
  }
}
