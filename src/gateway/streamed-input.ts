import { MAX_PAYLOAD, RESET_BODY } from './frame.js';
import { passed } from './garbage.js';
import { Input, inputError } from './input.js';

/** What a streamed body needs of its link. */
export interface InputSource {
  /** Whether the clients may share this event loop, so that nothing may block it. */
  readonly inProcess: boolean;
  /** Lets the client send so many bytes more. */
  grant(bytes: number): void;
  /** Blocks until the body has a piece more, its end, or a failure. */
  waitForInput(input: StreamedInput): void;
}

const EMPTY = Buffer.alloc(0);
/** Pieces of a client that sends byte by byte share blocks of this size. */
const BLOCK = 4096;

/**
 * `wsgi.input` over a body that comes as the client sends it (HEAD flag bit 3).
 *
 * Nothing comes before it is asked for: the first read grants a window, and what has been read is granted again. So no
 * more than a window of it is ever in memory.
 */
export class StreamedInput extends Input {
  /** Called when there is something new: a piece, the end or a failure. {@link pull} says what. */
  onReadable: (() => void) | null = null;
  /** Why no more of the body comes. */
  failure: Error | null = null;
  private readonly source: InputSource;
  private readonly most: number;
  /** Bytes to be granted. */
  private owed: number;
  private readonly pieces: Buffer[] = [];
  /** The last block, of which `[start, end)` has come and was not read. */
  private block = EMPTY;
  private start = 0;
  private end = 0;
  private complete = false;
  private waiting: (() => void)[] = [];
  /** For how many milliseconds reads have blocked the worker. */
  blockedMs = 0;

  /** `window`: most bytes that are kept. */
  constructor(source: InputSource, window: number) {
    super(EMPTY);
    this.source = source;
    // Whole frames, else each window would end with a tiny one.
    this.most = window < MAX_PAYLOAD ? window : window - (window % MAX_PAYLOAD);
    this.owed = this.most;
  }

  /** A piece has come; it is copied. */
  push(bytes: Buffer, start: number, end: number): void {
    if (this.over || start === end) return;
    const length = end - start;
    if (this.block.length - this.end < length) {
      if (this.start < this.end) this.pieces.push(this.block.subarray(this.start, this.end));
      // Its buffer is the application’s to see: nothing of others is in it.
      this.block = length < BLOCK ? Buffer.alloc(BLOCK) : Buffer.allocUnsafeSlow(length);
      this.start = 0;
      this.end = 0;
    }
    bytes.copy(this.block, this.end, start, end);
    this.end += length;
    passed(length);
  }

  /** The end of the body has come. */
  finish(): void {
    this.complete = true;
  }

  /** The body does not come to its end; what has come can still be read. `reason`: the core's, for its RESET. */
  fail(reason: number): void {
    if (this.complete) return;
    this.failure ??= inputError(reason === RESET_BODY ? 'GWM_BODY_REFUSED' : 'GWM_CLIENT_DISCONNECTED');
  }

  /** The client is too slow for reads that block; they fail from now on. */
  giveUp(): void {
    if (!this.isReady) this.failure = inputError('GWM_READ_TOO_SLOW');
  }

  /** Tells those who wait that there is something new. */
  notify(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const wake of waiting) wake();
    this.onReadable?.();
  }

  /**
   * The next piece that has come. Null: it has ended if {@link ended}, else {@link onReadable} will be called. To ask is what lets
   * the client send.
   * @throws if the body does not come to its end
   */
  pull(): Buffer | null {
    if (this.position < this.window.length) return this.cut(this.window.length - this.position);
    if (this.over) throw inputError('GWM_INPUT_CLOSED');
    const piece = this.shift();
    if (piece === null && this.failure !== null) throw this.failure;
    this.owed += piece?.length ?? 0;
    if (!this.complete && this.failure === null && this.owed >= this.most / 2) {
      this.source.grant(this.owed);
      this.owed = 0;
    }
    return piece;
  }

  /** Lets the client send so many bytes before anybody asks for them, if nobody has. */
  readAhead(bytes: number): void {
    if (this.owed < this.most || this.complete || this.failure !== null || this.over) return;
    const granted = Math.min(bytes, this.owed);
    this.owed -= granted;
    this.source.grant(granted);
  }

  /** All of the body is here, read or not. */
  get arrived(): boolean {
    return this.complete;
  }

  /** Whether {@link pull} gives or throws something, or the end has come. */
  get isReady(): boolean {
    return this.complete || this.failure !== null || this.over || this.pieces.length > 0 || this.start < this.end;
  }

  get ended(): boolean {
    return this.complete && this.pieces.length === 0 && this.start === this.end && this.position === this.window.length;
  }

  release(): void {
    if (this.over) return;
    this.over = true;
    this.pieces.length = 0;
    this.block = EMPTY;
    this.start = 0;
    this.end = 0;
    this.onReadable = null;
    this.notify();
  }

  protected refill(): boolean {
    while (!this.advance()) {
      if (this.ended) return false;
      if (this.source.inProcess) throw inputError('GWM_READ_WOULD_BLOCK');
      this.source.waitForInput(this);
    }
    return true;
  }

  protected async refillLater(): Promise<boolean> {
    while (!this.advance()) {
      if (this.ended) return false;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return true;
  }

  private advance(): boolean {
    const piece = this.pull();
    if (piece === null) return false;
    this.window = piece;
    this.position = 0;
    return true;
  }

  private shift(): Buffer | null {
    const piece = this.pieces.shift();
    if (piece !== undefined) return piece;
    if (this.start === this.end) return null;
    const { block, start, end } = this;
    this.start = end;
    return start === 0 && end === block.length ? block : block.subarray(start, end);
  }
}
