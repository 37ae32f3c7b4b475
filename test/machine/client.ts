// A client that sends its requests in pieces, stalls, leaves; and that checks each byte it gets.

import { connect, type Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, constants } from 'node:zlib';
import type { Episode } from './episode.js';
import type { Random } from './random.js';
import { bytesOf, hasBody, makeRequest, type Request } from './requests.js';

/** How a client ends: it waits for all its answers, ends its sending first, or goes at any time. */
type Ending = 'waits' | 'half-closes' | 'leaves' | 'resets';

/** A final response that is being received. */
interface Answer {
  readonly request: Request;
  /** By whom: the core has pages of its own. */
  readonly byCore: boolean;
  /** Bytes until its end; undefined: chunked; infinite: until the connection ends. */
  left: number | undefined;
  readonly isPacked: boolean;
  packed: Buffer[];
  /** Body bytes so far. */
  at: number;
  readonly closes: boolean;
}

export class Client {
  readonly name: string;
  private readonly episode: Episode;
  private readonly random: Random;
  private readonly requests: Request[];
  private readonly ending: Ending;
  private readonly socket: Socket;
  private received: Buffer = Buffer.alloc(0);
  /** Of the requests, how many have been begun to be sent, have been sent, and are answered. */
  private begun = 0;
  private sent = 0;
  private answered = 0;
  private answer: Answer | undefined;
  private inTrailers = false;
  private chunkLeft = -1;
  private continued = -1;
  /** Nothing that this client or its workers did makes the core end the connection. */
  private excuse: string | undefined;
  /** The core has ended the connection. */
  private ended = false;
  private isGone = false;
  private finished = false;
  private isDismissed = false;
  private wake: (() => void)[] = [];

  constructor(episode: Episode, random: Random, name: string) {
    this.episode = episode;
    this.random = random;
    this.name = name;
    const count = random.pick([1, 1, 2, 3, 5, 8, 12, 40]);
    const temper = { trouble: random.pick([0, 0, 0.1, 0.4]), uploads: random.pick([0, 0.2, 0.6]) };
    this.requests = Array.from({ length: count }, (_, index) =>
      makeRequest(random, temper, episode.nextId(), index === count - 1),
    );
    for (const request of this.requests) episode.requests.set(request.id, request);
    this.ending = random.chance(0.65) ? 'waits' : random.pick(['half-closes', 'leaves', 'resets'] as const);
    this.socket = connect({ port: episode.core.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.say(
      `${this.ending}, and sends ${this.requests
        .map(({ id, kind, method, manner, size, upload }) =>
          [id, kind, method, manner, size, upload && JSON.stringify(upload)]
            .filter((part) => part !== undefined)
            .join(' '),
        )
        .join(', ')}`,
    );
  }

  /** Resolves when the connection has ended. */
  async run(): Promise<void> {
    const { socket, random } = this;
    socket.on('data', (bytes: Buffer) => {
      if (this.isGone) return;
      this.received = this.received.length === 0 ? bytes : Buffer.concat([this.received, bytes]);
      this.parse();
      this.changed();
    });
    socket.on('end', () => this.end('ended'));
    socket.on('error', (error) => this.end(error.message));
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    if (random.chance(0.2)) this.stopReading(random.int(0, 100), random.int(50, 600));
    if (this.ending === 'leaves' || this.ending === 'resets') setTimeout(() => this.leave(), random.int(0, 800));
    await this.send();
    if (this.ending === 'half-closes' && !this.ended) this.half();
    while (!this.ended && !this.isGone && this.answered < this.requests.length) await this.change();
    while (this.ending === 'waits' && !this.stopped && !this.isDismissed) await this.change();
    if (this.ending !== 'half-closes' && !this.isGone) socket.end();
    // The core's end comes behind the last answer.
    while (!this.ended && !this.isGone) await this.change();
    this.finished = true;
    socket.destroy();
    await closed;
  }

  /** Reads on, and sends what it has, at once. */
  release(): void {
    if (!this.isGone) this.socket.resume();
    this.changed();
  }

  /** What it waits for, for a person; undefined if it has all that it may want. */
  get state(): string | undefined {
    const isServed =
      this.ending !== 'half-closes' && this.answered === this.requests.length && this.sent === this.answered;
    if (this.finished || this.isGone || this.ended || isServed) return undefined;
    return `${this.answered} of ${this.requests.length} answered, ${this.sent} sent, next is ${this.requests[this.answered]?.id}`;
  }

  /** It may end its connection, when it has all its answers. */
  dismiss(): void {
    this.isDismissed = true;
    this.changed();
  }

  leave(): void {
    if (this.isGone || this.finished) return;
    this.say(this.ending === 'resets' ? 'resets' : 'leaves');
    this.isGone = true;
    if (this.ending === 'resets') this.socket.resetAndDestroy();
    else this.socket.destroy();
    this.changed();
  }

  private half(): void {
    this.say('half-closes');
    this.socket.end();
  }

  private say(text: string): void {
    this.episode.say(`${this.name} ${text}`);
  }

  private fault(text: string): void {
    this.episode.fault(`${this.name} ${text}`);
    this.isGone = true;
    this.socket.destroy();
    this.changed();
  }

  private changed(): void {
    for (const wake of this.wake.splice(0)) wake();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.wake.push(resolve));
  }

  private stopReading(afterMs: number, forMs: number): void {
    setTimeout(() => {
      if (this.isGone || this.episode.released) return;
      this.socket.pause();
      this.say(`stops reading for ${forMs} ms`);
      setTimeout(() => this.release(), forMs);
    }, afterMs);
  }

  private async send(): Promise<void> {
    const { random } = this;
    const longest = random.pick([1, 7, 100, 3000, 100_000, 1_000_000]);
    let waiting: Buffer[] = [];
    let counted: Request[] = [];
    const flush = async (): Promise<void> => {
      const bytes = Buffer.concat(waiting);
      waiting = [];
      this.begun += counted.length;
      // Tiny pieces of what is long would take all day.
      const least = Math.ceil(bytes.length / 60);
      for (let at = 0; at < bytes.length && !this.stopped;) {
        const length = Math.max(least, random.int(1, longest));
        const isAll = this.socket.write(bytes.subarray(at, at + length));
        at += length;
        if (at < bytes.length) {
          if (!isAll && !this.socket.writableEnded) await this.drained();
          await this.pause();
        }
      }
      if (!this.stopped) this.sent += counted.length;
      counted = [];
    };
    for (const [index, request] of this.requests.entries()) {
      counted.push(request);
      waiting.push(request.head);
      if (request.upload?.expects) {
        await flush();
        this.sent -= 1;
        // Until it is told to go on, or has waited long enough.
        const late = setTimeout(() => this.changed(), 300);
        const until = Date.now() + 300;
        while (this.continued < index && this.answered <= index && !this.stopped && Date.now() < until)
          await this.change();
        clearTimeout(late);
        if (this.answered > index) {
          this.excuse ??= 'it was answered before it had sent its body';
          if (this.stopped) return;
        }
        waiting.push(request.body);
        await flush();
        this.sent += 1;
        continue;
      }
      waiting.push(request.body);
      if (random.chance(0.2)) {
        await flush();
        if (random.chance(0.5)) while (this.answered <= index && !this.stopped) await this.change();
        await this.pause();
      }
      if (this.stopped) return;
    }
    await flush();
  }

  private get stopped(): boolean {
    return this.ended || this.isGone;
  }

  private async drained(): Promise<void> {
    this.socket.once('drain', () => this.changed());
    while (this.socket.writableNeedDrain && !this.stopped) await this.change();
  }

  private async pause(): Promise<void> {
    const { random } = this;
    if (random.chance(0.5)) return;
    if (random.chance(0.7) || this.episode.released) await turn();
    else await sleep(random.chance(0.95) ? random.int(0, 10) : random.int(50, 500));
  }

  /** The connection has ended: by rights? */
  private end(how: string): void {
    if (this.ended || this.isGone) return;
    this.parse();
    this.ended = true;
    const { answer } = this;
    if (answer !== undefined && answer.left === Number.POSITIVE_INFINITY) this.complete(answer, true);
    if (this.isGone) return;
    this.say(`sees the connection ${how}, with ${this.answered} of ${this.requests.length} answers`);
    if (this.answer !== undefined || this.answered < this.sent) {
      const request = this.requests[this.answered] as Request;
      const excuse = this.excuse ?? this.episode.excuse ?? this.excuseOf(request);
      if (excuse === undefined) {
        const what = this.answer === undefined ? 'without' : `after ${this.answer.at} bytes of`;
        this.fault(`lost the connection (${how}) ${what} the answer to ${request.id}`);
      } else this.say(`takes that for right: ${excuse}`);
    }
    if (this.received.length > 0 && this.answer === undefined && this.answered >= this.requests.length) {
      this.fault(`got bytes that nobody asked for: ${JSON.stringify(this.received.toString('latin1', 0, 80))}`);
    }
    this.changed();
  }

  /** Why a request's answer may be missing or be cut off. */
  private excuseOf(request: Request): string | undefined {
    if (this.episode.broken.has(request.id)) return 'its worker failed';
    if (['breaks-off', 'hangs-up', 'error', 'never'].includes(request.manner)) return `its worker ${request.manner}`;
    return undefined;
  }

  private parse(): void {
    while (this.step());
  }

  /** Takes one thing of what has come; false: there is not enough. */
  private step(): boolean {
    if (this.isGone) return false;
    const { answer } = this;
    if (answer === undefined) return this.head();
    if (answer.left !== undefined) {
      const bytes = this.take(Math.min(answer.left, this.received.length));
      if (answer.left > 0 && bytes.length === 0) return false;
      answer.left -= bytes.length;
      this.body(answer, bytes);
      if (answer.left === 0) this.complete(answer, false);
      return true;
    }
    if (this.chunkLeft > 0) {
      const bytes = this.take(Math.min(this.chunkLeft, this.received.length));
      if (bytes.length === 0) return false;
      this.chunkLeft -= bytes.length;
      this.body(answer, bytes);
      return true;
    }
    const end = this.received.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.take(end + 2).toString('latin1', 0, end);
    if (this.inTrailers) {
      if (line === '') {
        this.inTrailers = false;
        this.chunkLeft = -1;
        this.complete(answer, false);
      } else if (line !== `X-Trailer: ${answer.request.id}`)
        this.fault(`got the trailer ${line} for ${answer.request.id}`);
      return true;
    }
    if (this.chunkLeft === 0) {
      if (line !== '') this.fault(`got a chunk without its end: ${line}`);
      this.chunkLeft = -1;
      return true;
    }
    if (!/^[0-9a-fA-F]+$/.test(line)) this.fault(`got ${JSON.stringify(line.slice(0, 80))} for a chunk's size`);
    this.chunkLeft = Number.parseInt(line, 16);
    if (this.chunkLeft === 0) this.inTrailers = true;
    return true;
  }

  private take(count: number): Buffer {
    const taken = this.received.subarray(0, count);
    this.received = this.received.subarray(count);
    return taken;
  }

  private head(): boolean {
    const end = this.received.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const text = this.take(end + 4).toString('latin1', 0, end);
    const [first = '', ...lines] = text.split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
    const fields = new Map(lines.map((line) => [line.split(':')[0]?.toLowerCase(), line.slice(line.indexOf(':') + 2)]));
    const request = this.requests[this.answered];
    if (request === undefined || this.answered >= this.begun) {
      this.fault(`got an answer that nobody asked for: ${text}`);
      return false;
    }
    const { id } = request;
    if (status === 100) {
      if (!request.upload?.expects) this.fault(`got a 100 for ${id}`);
      this.continued = this.answered;
      return true;
    }
    if (status < 200) {
      if (this.episode.broken.has(id)) return true;
      if (status !== 103 || fields.get('x-info') !== String(id)) this.fault(`got for ${id}: ${text}`);
      return true;
    }
    const of = fields.get('x-id');
    const isCores = of === undefined;
    const why = isCores ? this.cores(request, status) : this.workers(request, status, of);
    if (why !== undefined) {
      this.fault(`got for ${id} (${request.kind}, ${request.manner}) ${why}: ${text}`);
      return false;
    }
    const isFile = request.kind === 'file' && status === request.status;
    const closes = fields.get('connection') === 'close' || request.version === '1.0';
    const length = fields.get('content-length');
    // A head that does not come to its end says no method yet.
    const isHead = request.method === 'HEAD' && status !== 408;
    const hasNone = isHead || status === 204 || status === 304;
    const left = hasNone
      ? 0
      : fields.get('transfer-encoding') === 'chunked'
        ? undefined
        : length === undefined
          ? Number.POSITIVE_INFINITY
          : Number(length);
    if (left === Number.POSITIVE_INFINITY && !closes) this.fault(`got an answer of no length for ${id}: ${text}`);
    this.answer = {
      request,
      byCore: isCores && !isFile,
      left,
      isPacked: fields.get('content-encoding') === 'gzip',
      packed: [],
      at: 0,
      closes,
    };
    this.chunkLeft = -1;
    if (left === 0) this.complete(this.answer, false);
    return true;
  }

  /** What is wrong with an answer that a worker is said to have given. */
  private workers(request: Request, status: number, of: string): string | undefined {
    if (of !== String(request.id)) return `the answer to ${of}`;
    if (status !== request.status) return `a ${status} in place of ${request.status}`;
    if (!this.episode.wasDispatched(request.id)) return 'an answer that no worker gave';
    return undefined;
  }

  /** What is wrong with an answer of the core's own. */
  private cores(request: Request, status: number): string | undefined {
    const { id, kind, manner, upload } = request;
    const { config, broken, hurries } = this.episode;
    // A worker that broke the rules may have begun to answer.
    if (broken.has(id)) return undefined;
    const isFor: Record<number, boolean> = {
      400: kind === 'malformed',
      404: kind === 'absent',
      408: hurries,
      413: (upload?.size ?? 0) > config.limits.body,
      500: manner === 'error' || manner === 'never',
      502: false,
      503: kind === 'application',
      504: kind === 'application' && (config.pools[0]?.requestTimeoutMs ?? 0) > 0,
    };
    if (kind === 'file' && status === request.status) return undefined;
    return isFor[status] === true ? undefined : `a ${status} that it must not get`;
  }

  private body(answer: Answer, bytes: Buffer): void {
    if (answer.byCore || bytes.length === 0) {
      answer.at += bytes.length;
      if (answer.at > 4000) this.fault(`got a page of the core's with ${answer.at} bytes`);
      return;
    }
    if (answer.isPacked) {
      answer.packed.push(Buffer.from(bytes));
      return;
    }
    this.compare(answer, bytes);
  }

  private compare(answer: Answer, bytes: Buffer): void {
    const { request, at } = answer;
    const from = request.from + at;
    answer.at += bytes.length;
    if (answer.at > request.size || !bytes.equals(bytesOf(request.source, from, from + bytes.length))) {
      this.fault(`got wrong bytes for ${request.id}, from ${at} to ${answer.at} of ${request.size}`);
    }
  }

  /** The answer has come to its end; `byEnd`: because the connection has, so that it may have been cut off. */
  private complete(answer: Answer, byEnd: boolean): void {
    this.answer = undefined;
    const { request, byCore } = answer;
    if (answer.isPacked && hasBody(request)) {
      try {
        this.compare(
          answer,
          gunzipSync(Buffer.concat(answer.packed), byEnd ? { finishFlush: constants.Z_SYNC_FLUSH } : {}),
        );
      } catch (error) {
        this.fault(`got what cannot be unpacked for ${request.id}: ${String(error)}`);
      }
    }
    if (!byCore && hasBody(request)) {
      if (answer.at < request.size && !(byEnd && (this.episode.excuse ?? this.excuseOf(request)) !== undefined)) {
        this.fault(`got ${answer.at} bytes for ${request.id} as all ${request.size}`);
      }
      if (!byEnd && request.manner === 'breaks-off' && request.kind === 'application') {
        this.fault(`got all of ${request.id}, which breaks off`);
      }
    }
    this.say(`has its answer to ${request.id}`);
    if (answer.closes) this.excuse ??= `the answer to ${request.id} said so`;
    if (request.manner === 'closes') this.excuse ??= `the application closed behind ${request.id}`;
    if (this.answered >= this.sent && request.upload !== undefined) this.excuse ??= `${request.id} was answered early`;
    if (request.upload !== undefined && (byCore || request.reads !== 'first'))
      this.excuse ??= `nobody wanted the body of ${request.id}`;
    this.answered += 1;
    this.episode.answers += 1;
    this.changed();
  }
}
