import type { IncomingMessage } from 'node:http';
import { type Input, inputError } from '../../gateway/input.js';
import { StreamedInput } from '../../gateway/streamed-input.js';
import { HIGH_WATER_MARK, type RequestSocket } from './socket.js';

/** What a feed needs of its exchange. */
export interface FeedOwner {
  /** The stream is over: nothing comes any more. */
  readonly finished: boolean;
  /** What waits for the end of the body is looked at again, at the end of this tick. */
  settle(callback: undefined): void;
}

/** The body of a request on its way from the core to Node's `IncomingMessage`. */
export class Feed {
  /** The request wants more of the body than has come. */
  isWanting = false;
  private readonly owner: FeedOwner;
  private readonly req: IncomingMessage;
  private readonly input: Input;
  private readonly socket: RequestSocket;
  /** All of the body has been given to the request, or nobody takes it any more. */
  private fed = false;
  private pulling = false;
  /** The response is written, and waits for the body to be read. */
  private holding = false;

  constructor(owner: FeedOwner, req: IncomingMessage, input: Input, socket: RequestSocket) {
    this.owner = owner;
    this.req = req;
    this.input = input;
    this.socket = socket;
  }

  /** As from Node's parser: a request that is all here is complete once its handler has been called. */
  begin(): void {
    const { req, input } = this;
    if (!(input instanceof StreamedInput)) req.complete = true;
    else if (req.headers.expect === undefined) input.readAhead(HIGH_WATER_MARK);
  }

  /** Something new of a streamed body has come. */
  announce(): void {
    if ((this.input as StreamedInput).arrived) this.req.complete = true;
  }

  /** Gives the request what there is, as much as it takes. */
  pull(): void {
    const { req } = this;
    if (this.fed || this.pulling) return;
    this.pulling = true;
    this.isWanting = false;
    for (;;) {
      const chunk = this.next();
      if (chunk === null) break;
      this.socket.bytesRead += chunk.length;
      if (!req.push(chunk)) break;
    }
    this.pulling = false;
  }

  /**
   * Whether a response that is complete has to wait: its end is the end of the stream, but the application is still reading
   * the body (`request.pipe(file); response.end('thanks')`). If so, the exchange is told when that may have changed.
   */
  mustHold(): boolean {
    const { req, owner } = this;
    if (this.fed || !(this.input instanceof StreamedInput) || req.destroyed || !isRead(req)) return false;
    if (!this.holding) {
      this.holding = true;
      // Perhaps it does not read any more.
      for (const event of ['pause', 'close']) req.on(event, () => owner.settle(undefined));
    }
    return true;
  }

  /** The client has left, or the core has refused the body and told the client: the request learns of it. */
  breakOff(isRefused: boolean): void {
    const { req } = this;
    if (!isRefused) this.keepArrived();
    this.fed = true;
    if (!req.destroyed) req.destroy(isRefused ? inputError('GWM_BODY_REFUSED') : aborted());
  }

  /** The next piece of the body. Null: none has come, or it has ended, of which the request is told. */
  private next(): Uint8Array | null {
    const { req, input, owner } = this;
    const internals = req as unknown as { _dumped: boolean };
    if (owner.finished && !input.ended && !internals._dumped) {
      // The rest will not come: that is not to look like the body's end.
      this.fed = true;
      req.destroy(aborted());
      return null;
    }
    let chunk: Uint8Array | null = null;
    try {
      if (!owner.finished) chunk = input.pull();
    } catch {
      // The link has ended, and the client with it.
      this.fed = true;
      req.destroy(aborted());
      return null;
    }
    if (chunk !== null) return chunk;
    if (owner.finished || input.ended) {
      this.fed = true;
      req.complete = true;
      req.push(null);
      if (this.holding) owner.settle(undefined);
    } else this.isWanting = true;
    return null;
  }

  /** What has come of the body can be read when the client has left: Node has given it to the request by then. */
  private keepArrived(): void {
    const { req, input } = this;
    if (this.fed || this.owner.finished || req.destroyed) return;
    for (let chunk = input.pull(); chunk !== null; chunk = input.pull()) req.push(chunk);
    if (!input.ended) return;
    req.complete = true;
    req.push(null);
  }
}

/** Whether somebody reads the request's body; a pipe whose other end is full does, and goes on later. */
function isRead(req: IncomingMessage): boolean {
  const { pipes } = (req as unknown as { _readableState: { pipes: unknown[] } })._readableState;
  return req.readableFlowing === true || pipes.length > 0 || req.listenerCount('readable') > 0;
}

function aborted(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}
