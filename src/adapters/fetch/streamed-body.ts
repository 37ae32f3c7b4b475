import { describe } from '../../gateway/describe.js';
import { isBytes, type Response as Outgoing } from '../../gateway/response.js';

/** What a streamed body needs of its exchange. */
export interface StreamedBodyOwner {
  readonly response: Outgoing;
  /** Sends what waits, and goes on with the body; after its end, ends the response. */
  pump(): void;
  /** As {@link pump}, when what was written is on its way. */
  resume(): void;
  /** The stream has failed, or gave what is no bytes. */
  fail(error: unknown): void;
  /** The stream could not be cancelled, which changes nothing any more. */
  log(error: unknown): void;
}

/** A body that has its chunks ready is given to the kernel after so many bytes or chunks, and other requests have their turn. */
const TURN_BYTES = 65_536;
const TURN_CHUNKS = 32;

/** The body of a response that is a stream, on its way into frames. */
export class StreamedBody {
  /** Nothing more comes: the stream has ended, failed or been cancelled. */
  over = false;
  private readonly owner: StreamedBodyOwner;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  /** The chunks that came at once: their length may be known before the headers go. Null: those have gone. */
  private gathered: Uint8Array[] | null = null;
  private sentBytes = 0;
  private sentChunks = 0;

  /** Locks the stream. */
  constructor(owner: StreamedBodyOwner, stream: ReadableStream<Uint8Array>) {
    this.owner = owner;
    this.reader = stream.getReader();
  }

  start(): void {
    this.gathered = [];
    // Behind all that waits for nothing but other promises.
    queueMicrotask(() => process.nextTick(sendGathered, this));
    this.read();
  }

  /** Asks for the next chunk. */
  read(): void {
    this.reader.read().then(
      ({ done, value }) => this.accept(done, value),
      (error: unknown) => {
        this.over = true;
        this.owner.fail(error);
      },
    );
  }

  /** What was not read is not wanted: its source is told. */
  cancel(reason: unknown): void {
    this.gathered = null;
    if (this.over) return;
    this.over = true;
    this.reader.cancel(reason).catch((error: unknown) => this.owner.log(error));
  }

  /**
   * @internal Once all is done that waits for nothing: a body that has ended by then has had a length, whatever middleware has made of
   * it. Of any other goes out what there is.
   */
  sendGathered(): void {
    const { gathered } = this;
    this.gathered = null;
    if (gathered === null || gathered.length === 0) return;
    // Less than the window.
    this.owner.response.send(gathered.length === 1 ? (gathered[0] as Uint8Array) : Buffer.concat(gathered));
  }

  private accept(done: boolean, chunk: unknown): void {
    if (this.over) return;
    const { owner, gathered } = this;
    const { response } = owner;
    if (done) {
      this.over = true;
      this.gathered = null;
      if (gathered !== null && !response.sendPieces(gathered)) {
        response.sendHeaders(this.sentBytes);
        this.gathered = gathered;
        this.sendGathered();
      }
      owner.pump();
      return;
    }
    try {
      if (!isBytes(chunk))
        throw new TypeError(`the stream of a response gave ${describe(chunk)}; it must give Uint8Arrays`);
      if (gathered !== null) {
        gathered.push(chunk);
        this.sentBytes += chunk.length;
        if (this.sentBytes < TURN_BYTES && gathered.length < TURN_CHUNKS) {
          this.read();
          return;
        }
        this.sentBytes = 0;
        this.sendGathered();
      } else response.send(chunk);
    } catch (error) {
      owner.fail(error);
      return;
    }
    this.sentBytes += chunk.length;
    this.sentChunks += 1;
    if (response.blocked) return;
    if (this.sentBytes < TURN_BYTES && this.sentChunks < TURN_CHUNKS) {
      owner.pump();
      return;
    }
    this.sentBytes = 0;
    this.sentChunks = 0;
    response.writer.afterFlush(owner);
  }
}

function sendGathered(body: StreamedBody): void {
  body.sendGathered();
}
