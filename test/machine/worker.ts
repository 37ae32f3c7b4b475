// A worker that answers as its requests say, until its fate comes. While it keeps the rules, the core is held to them too.

import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import * as f from '../../src/gateway/frame.js';
import { type FakeLink, type FakeWorker, type Frame, frame, head, hello, piece } from '../workers/fake-worker.js';
import type { Episode } from './episode.js';
import type { Random } from './random.js';
import { bytesOf, hasBody, type Request, uploadSource } from './requests.js';

/**
 * What becomes of a worker: `serves` keeps the rules to the end, `replaced` too, but the core is to let it go; the others break a rule, close
 * their links, or are dead before their links have ended.
 */
export type Fate = 'serves' | 'replaced' | 'wrong' | 'closes' | 'dies';

const WINDOW = 262_144;

/** A request on its stream. */
class Task {
  readonly request: Request;
  readonly number: number;
  readonly stream: number;
  readonly sequence: number;
  readonly isNarrow: boolean;
  readonly streamed: boolean;
  /** Body bytes that it may still send. */
  credit: number;
  /** Of the upload: what it has granted and not got, what has come, and whether that is all. */
  granted = 0;
  received = 0;
  whole: boolean;
  /** The core has reset it. */
  reset = false;
  /** This worker has ended it. */
  ended = false;
  hasHead = false;
  private wake: (() => void)[] = [];

  constructor(request: Request, number: number, { stream, extra, flags, payload }: Frame) {
    this.request = request;
    this.number = number;
    this.stream = stream;
    this.sequence = extra;
    this.isNarrow = (flags & f.FLAG_NARROW) !== 0;
    this.streamed = (payload.readUInt32LE(f.HEAD_FLAGS * 4) & f.HEAD_FLAG_STREAMED) !== 0;
    this.credit = this.isNarrow ? f.NARROW_WINDOW : WINDOW;
    this.whole = (flags & f.FLAG_END) !== 0;
  }

  changed(): void {
    for (const wake of this.wake.splice(0)) wake();
  }

  change(): Promise<void> {
    return new Promise((resolve) => this.wake.push(resolve));
  }
}

export class Worker {
  readonly name: string;
  readonly fake: FakeWorker;
  readonly fate: Fate;
  readonly concurrency: number;
  /** It has closed its links or is about to: what comes of it is no fault of the core's. */
  leaving = false;
  /** The last sequence number of each link that it has begun. */
  readonly marks: number[];
  /** Why the core said that it is gone. */
  gone: string | undefined;
  private readonly open: Map<number, Task>[];
  private readonly sequences: number[];
  private readonly passing: boolean[];
  private readonly done: Request[] = [];
  private readonly episode: Episode;
  private readonly random: Random;
  private readonly fateAfter: number;
  private closed = false;
  private requests = 0;

  constructor(episode: Episode, random: Random, name: string, fate: Fate) {
    this.episode = episode;
    this.random = random;
    this.name = name;
    this.fate = fate;
    this.fateAfter = random.int(1, 12);
    this.concurrency = random.int(1, 16);
    this.fake = episode.core.connect();
    const { links } = this.fake;
    this.marks = links.map(() => 0);
    this.open = links.map(() => new Map());
    this.sequences = links.map(() => 0);
    this.passing = links.map(() => false);
    this.say(`is worker ${this.fake.id}, ${fate} after ${this.fateAfter}, takes ${this.concurrency}`);
    for (const [number, link] of links.entries()) {
      // The shared buffers of the first link are those that a FakeWorker reads.
      const capabilities = (random.chance(0.5) ? f.CAPABILITY_CLOSED : 0) | (number === 0 ? f.CAPABILITY_SHARED : 0);
      link.send(hello({ concurrency: this.concurrency, capabilities, name }));
      if (random.chance(0.7)) link.send(frame(f.KIND_PASSING, 0));
      link.send(frame(f.KIND_READY, 0));
      void this.read(link, number);
    }
    if (fate !== 'serves') setTimeout(() => this.meet(), random.int(200, 2500)).unref();
  }

  /** How many streams it has open. */
  get busy(): number {
    let count = 0;
    for (const open of this.open) count += open.size;
    return count;
  }

  /** Whether the core has to take a request for begun. */
  hasBegun(number: number, sequence: number): boolean {
    return (this.marks[number] as number) >= sequence;
  }

  /** Ends what it never would. */
  release(): void {
    for (const open of this.open) for (const task of open.values()) task.changed();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.leaving = true;
    // What the kernel has not taken goes with it.
    const isCut = this.fake.links.some(({ queued }) => queued > 0);
    for (const [number, open] of this.open.entries()) {
      for (const task of open.values()) {
        if (this.hasBegun(number, task.sequence)) this.episode.broken.add(task.request.id);
        task.changed();
      }
    }
    if (isCut) for (const { id } of this.done) this.episode.broken.add(id);
    this.fake.close();
  }

  /** What the core says of its end. */
  onGone(reason: string): void {
    this.gone = reason;
    if (!this.leaving && !this.episode.closing && !(this.fate === 'replaced' && reason === '')) {
      this.episode.fault(`${this.name} kept the rules and is gone: ${reason}`);
    }
    this.close();
  }

  private say(text: string): void {
    this.episode.say(`${this.name} ${text}`);
  }

  private fault(text: string): void {
    this.episode.fault(`${this.name} ${text}`);
  }

  private async read(link: FakeLink, number: number): Promise<void> {
    for (;;) {
      const received = await link.take();
      if (received === undefined) break;
      this.handle(link, number, received);
    }
    if (this.closed) return;
    if (!this.leaving && !this.episode.closing) {
      if ((this.open[number] as Map<number, Task>).size > 0) this.fault('had open streams when a link ended');
      else if (this.fate !== 'replaced') this.fault('lost a link');
    }
    link.close();
    if (this.fake.links.every(({ ended }) => ended)) this.close();
  }

  private handle(link: FakeLink, number: number, received: Frame): void {
    const { kind, stream, flags, extra, payload } = received;
    const open = this.open[number] as Map<number, Task>;
    const task = open.get(stream);
    if (kind !== f.KIND_HEAD && kind !== f.KIND_DATA && flags !== 0) this.fault(`got flags ${flags} with kind ${kind}`);
    switch (kind) {
      case f.KIND_HELLO:
        if (payload.readUInt32LE(4) !== WINDOW) this.fault(`got a window of ${payload.readUInt32LE(4)}`);
        break;
      case f.KIND_NAMES:
        break;
      case f.KIND_PASSING:
        this.passing[number] = true;
        break;
      case f.KIND_HEAD:
        if (task !== undefined) this.fault(`got ${stream} again before it had ended it`);
        this.begin(link, number, received);
        break;
      case f.KIND_DATA:
        this.data(task, received, number);
        break;
      case f.KIND_CREDIT:
        if (task !== undefined) task.credit += extra;
        break;
      case f.KIND_RESET:
        if (task !== undefined) task.reset = true;
        break;
      case f.KIND_CLOSED:
        break;
      default:
        this.fault(`got a frame of kind ${kind}`);
    }
    task?.changed();
  }

  private begin(link: FakeLink, number: number, received: Frame): void {
    const { payload, extra, fd } = received;
    this.sequences[number] = (this.sequences[number] as number) + 1;
    if (extra !== this.sequences[number]) this.fault(`got sequence number ${extra}, not ${this.sequences[number]}`);
    const [id = 0] = /\d+/.exec(piece(payload, f.HEAD_PATH_INFO))?.map(Number) ?? [];
    const request = this.episode.requests.get(id);
    const line = [f.HEAD_METHOD, f.HEAD_TARGET].map((word) => piece(payload, word)).join(' ');
    if (request === undefined || !request.head.toString('latin1').startsWith(`${line} `)) {
      this.fault(`got a request that nobody made: ${line}`);
      return;
    }
    const task = new Task(request, number, received);
    this.say(`got ${line} as ${number}:${task.stream} #${extra}${task.isNarrow ? ' narrow' : ''}`);
    if (this.leaving) {
      // It has done its last, and nobody answers.
      (this.open[number] as Map<number, Task>).set(task.stream, task);
      if (fd !== undefined) closeSync(fd);
      return;
    }
    this.episode.dispatched(this, number, task.sequence, request);
    (this.open[number] as Map<number, Task>).set(task.stream, task);
    if (this.busy > this.concurrency) this.fault(`got ${this.busy} requests at once, not ${this.concurrency}`);
    const { upload } = request;
    if (upload !== undefined && !upload.chunked && upload.size > this.episode.config.limits.body) {
      this.fault(`got an upload over the limit: ${line}`);
    }
    if (fd !== undefined) this.spooled(task, fd);
    else if (task.whole && (upload?.size ?? 0) > 0) this.fault(`got an upload without its body: ${line}`);
    this.requests += 1;
    if (this.requests === this.fateAfter && this.fate !== 'serves') {
      setTimeout(() => this.meet(), this.random.int(0, 40)).unref();
    }
    void this.answer(link, task);
  }

  /** An upload that came as a file. */
  private spooled({ request }: Task, fd: number): void {
    const size = request.upload?.size ?? 0;
    const content = Buffer.alloc(size + 1);
    const length = size === 0 ? 0 : readSync(fd, content, 0, size, 0);
    closeSync(fd);
    if (length !== size || !content.subarray(0, size).equals(bytesOf(uploadSource(request.id), 0, size))) {
      this.fault(`got the wrong upload for ${request.id}, in a file`);
    }
  }

  private data(task: Task | undefined, received: Frame, number: number): void {
    let { payload } = received;
    if (received.flags & f.FLAG_SHARED) {
      if (number !== 0) this.fault('got a shared buffer that it does not read');
      payload = Buffer.from(this.fake.shared(received));
      this.fake.setShared(received.extra >>> 16, 0);
    }
    // What was under way when it ended the stream.
    if (task === undefined) return;
    const { request } = task;
    const size = request.upload?.size ?? 0;
    if (task.whole) this.fault(`got more of the upload of ${request.id} after its end`);
    const end = task.received + payload.length;
    if (end > size || !payload.equals(bytesOf(uploadSource(request.id), task.received, end))) {
      this.fault(`got wrong bytes of the upload of ${request.id}, from ${task.received} to ${end}`);
    }
    task.received = end;
    if (task.streamed) {
      task.granted -= payload.length;
      if (task.granted < 0) this.fault(`got ${-task.granted} bytes of ${request.id} that it had not asked for`);
    }
    if (received.flags & f.FLAG_END) {
      task.whole = true;
      if (end !== size) this.fault(`got ${end} bytes of ${request.id} as all ${size}`);
    }
  }

  /** Answers as the request says. */
  private async answer(link: FakeLink, task: Task): Promise<void> {
    const { request, stream } = task;
    const random = this.random.fork();
    const send = (...bytes: Uint8Array[]): void => link.send(...bytes);
    if (request.delay > 0) await sleep(request.delay);
    if (this.leaving) return;
    if (task.sequence > (this.marks[task.number] as number)) {
      this.marks[task.number] = task.sequence;
      this.fake.mark(task.sequence, task.number);
    }
    let taking: Promise<void> | undefined;
    if (request.reads !== 'never') taking = this.take(link, task, random);
    if (request.reads === 'first') await taking;
    if (this.closed) return;
    if (task.reset && !task.hasHead) {
      this.finish(task, () => send(frame(f.KIND_RESET, stream, f.RESET_CLIENT_GONE)));
      return;
    }
    let lines = `X-Id: ${request.id}\r\nContent-Type: text/plain\r\n`;
    if (request.informs) send(frame(f.KIND_INFO, stream, 103, `X-Info: ${request.id}\r\n`));
    if (random.chance(0.05)) send(frame(f.KIND_LOG, stream, f.LOG_INFORMATION, `about ${request.id}`));
    const body = (from: number, to: number): Buffer => bytesOf(request.source, from, to);
    let { manner } = request;
    if (manner === 'descriptor' && (task.isNarrow || !this.passing[task.number] || !hasBody(request)))
      manner = 'pieces';
    if ((manner === 'whole' || manner === 'http') && request.size > task.credit) manner = 'pieces';
    if (request.announces && request.status !== 204 && request.status !== 304 && manner !== 'descriptor') {
      lines += `Content-Length: ${request.size}\r\n`;
    }
    switch (manner) {
      case 'never':
        while (!this.episode.released && !task.reset && !this.closed) await task.change();
        this.finish(task, () => send(frame(f.KIND_RESET, stream, f.RESET_APPLICATION_ERROR)));
        return;
      case 'error':
      case 'hangs-up': {
        const reason = manner === 'error' ? f.RESET_APPLICATION_ERROR : f.RESET_CLIENT_GONE;
        this.finish(task, () => send(frame(f.KIND_RESET, stream, reason)));
        return;
      }
      case 'whole':
        this.finish(task, () =>
          send(head(stream, request.status, lines, body(0, request.size).toString('latin1'), f.FLAG_END)),
        );
        return;
      case 'http': {
        const text = `HTTP/1.1 ${request.status} As It Is\r\n${lines}\r\n`;
        const fixed = Buffer.alloc(f.RESPONSE_HEAD);
        fixed.writeUInt32LE(text.length, 0);
        fixed.writeUInt32LE(f.FORM_HTTP, 4);
        const payload = Buffer.concat([fixed, Buffer.from(text), body(0, request.size)]);
        this.finish(task, () => send(frame(f.KIND_HEAD, stream, 0, payload, f.FLAG_END)));
        return;
      }
      case 'descriptor':
        this.finish(task, () => this.pass(link, task, lines, random));
        return;
      default:
    }
    // In pieces.
    const end = manner === 'breaks-off' ? random.int(0, request.size - 1) : request.size;
    let at = Math.min(random.chance(0.5) ? random.int(0, 20_000) : 0, task.credit, end);
    send(head(stream, request.status, lines, body(0, at).toString('latin1')));
    task.hasHead = true;
    task.credit -= at;
    while (at < end && !task.reset) {
      if (task.credit === 0) {
        await task.change();
        if (this.closed) return;
        continue;
      }
      const length = Math.min(end - at, task.credit, random.chance(0.5) ? 65_520 : random.int(1, 20_000));
      send(frame(f.KIND_DATA, stream, 0, body(at, at + length)));
      at += length;
      task.credit -= length;
      if (random.chance(0.3)) await turn();
      else if (random.chance(0.05)) await sleep(random.int(1, 30));
      if (this.closed) return;
    }
    if (at < end || manner === 'breaks-off') {
      const ending = random.chance(0.5) && at < end && manner !== 'breaks-off' ? f.KIND_END : f.KIND_RESET;
      this.finish(task, () => send(frame(ending, stream, ending === f.KIND_END ? 0 : f.RESET_APPLICATION_ERROR)));
      return;
    }
    if (request.trails) send(frame(f.KIND_TRAILERS, stream, 0, `X-Trailer: ${request.id}\r\n`));
    if (manner === 'closes') send(frame(f.KIND_CLOSED, stream));
    this.finish(task, () =>
      send(random.chance(0.5) ? frame(f.KIND_END, stream) : frame(f.KIND_DATA, stream, 0, '', f.FLAG_END)),
    );
  }

  /** Takes the upload, granting credit if it has to. */
  private async take(link: FakeLink, task: Task, random: Random): Promise<void> {
    let isFirst = true;
    while (!task.whole && !task.reset && !task.ended && !this.closed) {
      if (task.streamed && (isFirst || task.granted === 0 || random.chance(0.3)) && task.granted < WINDOW) {
        const bytes = random.int(1, random.pick([1, 1000, 60_000, WINDOW]));
        const granted = Math.max(1, Math.min(bytes, WINDOW - task.granted));
        task.granted += granted;
        link.send(frame(f.KIND_CREDIT, task.stream, granted));
        isFirst = false;
      }
      await task.change();
      if (random.chance(0.02)) await sleep(random.int(1, 40));
    }
  }

  /** The last frames of a stream. */
  private finish(task: Task, send: () => void): void {
    if (this.closed) return;
    task.ended = true;
    (this.open[task.number] as Map<number, Task>).delete(task.stream);
    this.done.push(task.request);
    send();
    this.say(`ended ${task.number}:${task.stream}, ${task.request.id}`);
    task.changed();
  }

  /** Answers with a part of a file. */
  private pass(link: FakeLink, { request, stream }: Task, lines: string, random: Random): void {
    const before = random.pick([0, 0, 1, 5000]);
    const path = `${this.episode.folder}/passed-${request.id}`;
    const fd = openSync(path, 'wx+');
    unlinkSync(path);
    const all = Buffer.concat([bytesOf(99, 0, before), bytesOf(request.source, 0, request.size)]);
    for (let at = 0; at < all.length;) at += writeSync(fd, all, at, all.length - at, at);
    const fixed = Buffer.alloc(f.RESPONSE_HEAD);
    fixed.writeUInt32LE(lines.length, 0);
    const part = Buffer.alloc(f.FILE_PART);
    part.writeBigUInt64LE(BigInt(before), 0);
    part.writeBigUInt64LE(random.chance(0.5) ? 0xffff_ffff_ffff_ffffn : BigInt(request.size), 8);
    const payload = Buffer.concat([fixed, Buffer.from(lines), part]);
    link.sendWithFd(frame(f.KIND_HEAD, stream, request.status, payload, f.FLAG_END | f.FLAG_FD), fd);
    closeSync(fd);
  }

  /** Its fate has come. */
  private meet(): void {
    if (this.leaving || this.closed || this.episode.ending) return;
    this.say(`meets its fate: ${this.fate}`);
    switch (this.fate) {
      case 'serves':
        break;
      case 'replaced':
        this.episode.core.core.removeWorker(this.fake.id);
        break;
      case 'closes':
        this.close();
        break;
      case 'dies':
        this.leaving = true;
        this.episode.core.core.workerDied(this.fake.id);
        this.close();
        break;
      case 'wrong':
        this.breakRule();
    }
    this.episode.replace(this);
  }

  private breakRule(): void {
    const number = this.random.int(0, this.fake.links.length - 1);
    const link = this.fake.links[number] as FakeLink;
    const tasks = [...(this.open[number] as Map<number, Task>).values()].filter(({ hasHead }) => !hasHead);
    const task = tasks.length > 0 ? this.random.pick(tasks) : undefined;
    const any: [string, () => Buffer][] = [
      ['a kind that there is not', () => frame(99, 1)],
      ['a reserved kind', () => frame(8, 1)],
      ['a size of nothing', () => Buffer.alloc(16)],
      ['noise', () => Buffer.alloc(40, 0xff)],
      ['DATA on no stream', () => frame(f.KIND_DATA, 60_000, 0, 'x')],
      ['DATA about the link', () => frame(f.KIND_DATA, 0, 0, 'x')],
      ['a second HELLO', () => hello()],
      ['a second READY', () => frame(f.KIND_READY, 0)],
      ['a BLOCK without an id', () => frame(f.KIND_BLOCK, 0, 0, 'A: b\r\n')],
      ['a BLOCK of a forbidden line', () => frame(f.KIND_BLOCK, 0, 1, 'Connection: close\r\n')],
      ['NAMES', () => frame(f.KIND_NAMES, 0, 1, 'a\0')],
      ['a LOG of no level', () => frame(f.KIND_LOG, 0, 9, 'x')],
      ['unknown flags', () => frame(f.KIND_LOG, 0, f.LOG_DEBUG, 'x', 128)],
      ['END with its flag', () => frame(f.KIND_END, 60_000, 0, '', f.FLAG_END)],
      ['CREDIT on no stream', () => frame(f.KIND_CREDIT, 60_000, 5)],
    ];
    if (task !== undefined) {
      const { stream } = task;
      const on: typeof any = [
        ['two HEADs', () => Buffer.concat([head(stream, 200), head(stream, 200)])],
        ['a block that is not defined', () => head(stream, 200 + 77 * 65_536)],
        ['TRAILERS before HEAD', () => frame(f.KIND_TRAILERS, stream, 0, 'A: b\r\n')],
        ['17 times INFO', () => Buffer.concat(Array.from({ length: 17 }, () => frame(f.KIND_INFO, stream, 103)))],
        ['a status that there is not', () => head(stream, 101)],
        ['FD without a descriptor', () => head(stream, 200, '', 'x'.repeat(16), f.FLAG_FD | f.FLAG_END)],
        ['two ENDs', () => Buffer.concat([head(stream, 200, '', '', f.FLAG_END), frame(f.KIND_END, stream)])],
      ];
      if (this.random.chance(0.7)) any.splice(0, any.length, ...on);
    }
    const [what, bytes] = this.random.pick(any);
    this.leaving = true;
    this.say(`breaks a rule: ${what}`);
    // What it was at may have got a part of that.
    for (const open of this.open) for (const { request } of open.values()) this.episode.broken.add(request.id);
    link.send(bytes());
    this.episode.expectGone(this, what);
  }
}
