// One core, from its start to its end, with clients and workers that do what the seed says. What it must then be is checked here.

import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoreConfig } from '../../src/config/core.js';
import type { CoreStatus } from '../../src/native.js';
import { TestCore } from '../workers/fake-worker.js';
import { Client } from './client.js';
import { Random } from './random.js';
import { bytesOf, FILES, fileSource, type Request } from './requests.js';
import { type Fate, Worker } from './worker.js';

const MIB = 1024 * 1024;
/** For what must come, however busy the machine is. */
const PATIENCE_MS = 45_000;

export interface Outcome {
  seed: number;
  faults: string[];
  /** What happened, in order. */
  trace: string[];
  requests: number;
  answers: number;
  clients: number;
  workers: number;
}

type Config = Pick<CoreConfig, 'threads' | 'limits' | 'timeouts' | 'pools' | 'mounts' | 'requestIds'>;

export class Episode {
  readonly core: TestCore;
  readonly config: Config;
  readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-machine-'));
  readonly requests = new Map<number, Request>();
  /** Requests whose worker failed after it had begun them. */
  readonly broken = new Set<number>();
  /** Timeouts are so short that they end what stalls. */
  readonly hurries: boolean;
  /** Workers end what they would leave open, and clients read on. */
  released = false;
  /** Everything is to end: no more workers are made or fail. */
  ending = false;
  /** The core has been told to close while clients are there. */
  closing = false;
  answers = 0;
  private readonly random: Random;
  private readonly workers: Worker[] = [];
  private readonly clients: Client[] = [];
  private readonly faults: string[] = [];
  private readonly trace: string[] = [];
  private readonly began = performance.now();
  /** Who has got each request, and by which sequence number on which link. */
  private readonly receipts = new Map<number, { worker: Worker; link: number; sequence: number }[]>();
  private readonly expected: Promise<void>[] = [];
  private ids = 0;

  constructor(seed: number) {
    const random = new Random(seed);
    this.random = random;
    const files = join(this.folder, 'files');
    mkdirSync(files);
    for (const [index, size] of FILES.entries()) {
      writeFileSync(join(files, String(index)), bytesOf(fileSource(index), 0, size));
    }
    this.hurries = random.chance(0.4);
    const wait = (): number => (this.hurries ? random.pick([150, 400, 1500]) : 60_000);
    this.config = {
      threads: random.int(1, 2),
      mounts: [
        { path: '/app', application: 0, pool: 0, stream: false },
        { path: '/stream', application: 0, pool: 0, stream: true },
        { path: '/packed', application: 0, pool: 0, stream: false, compress: true },
        {
          path: '/files',
          files: { root: files, index: [], tryFiles: [], types: [], headers: [], listing: false, compress: false },
        },
      ],
      pools: [
        {
          queue: random.pick([1, 4, 64, 1000]),
          queueTimeoutMs: random.pick([100, 1000, 15_000]),
          requestTimeoutMs: random.pick([0, 300, 15_000]),
        },
      ],
      limits: {
        requestLine: 8192,
        headerBytes: 16_384,
        headerCount: 100,
        body: random.pick([20_000, 300_000, 10_000_000]),
        bodyInMemory: random.pick([1024, 16_384, 65_536]),
        spool: random.pick([100_000, 2_000_000, 1e9]),
        minRate: this.hurries ? random.pick([0, 240, 100_000]) : 0,
      },
      timeouts: { headerMs: wait(), bodyMs: wait(), keepAliveMs: wait(), writeMs: wait() },
      requestIds: random.pick(['off', 'off', 'generate']),
    };
    this.core = new TestCore(this.config);
    this.say(JSON.stringify({ ...this.config, mounts: undefined }));
  }

  /** Why any connection may end early. */
  get excuse(): string | undefined {
    return this.closing ? 'the server closes' : this.hurries ? 'timeouts are short' : undefined;
  }

  nextId(): number {
    return ++this.ids;
  }

  say(text: string): void {
    this.trace.push(`${(performance.now() - this.began).toFixed(1).padStart(8)} ${text}`);
  }

  fault(text: string): void {
    this.faults.push(text);
    this.say(`FAULT: ${text}`);
  }

  /** A worker has got a request: nobody else may have it. */
  dispatched(worker: Worker, link: number, sequence: number, { id }: Request): void {
    const receipts = this.receipts.get(id) ?? [];
    this.receipts.set(id, receipts);
    for (const before of receipts) {
      if (before.worker.hasBegun(before.link, before.sequence)) {
        this.fault(`${worker.name} got ${id}, which ${before.worker.name} had begun`);
      } else if (!before.worker.leaving) this.fault(`${worker.name} got ${id}, which ${before.worker.name} has`);
    }
    receipts.push({ worker, link, sequence });
  }

  wasDispatched(id: number): boolean {
    return this.receipts.has(id);
  }

  /** A worker has broken a rule: the core must end it. */
  expectGone(worker: Worker, what: string): void {
    this.expected.push(
      this.until(`the end of ${worker.name} for ${what}`, () => worker.gone !== undefined).then(() => {
        if (worker.gone !== undefined && !worker.gone.includes('broke the gateway protocol') && !this.closing) {
          this.fault(`${worker.name} broke a rule, ${what}, and is gone because: ${worker.gone}`);
        }
      }),
    );
  }

  /** Another worker takes the place of one. */
  replace(worker: Worker): void {
    this.say(`${worker.name} is replaced`);
    if (this.workers.length < 12) setTimeout(() => this.ending || this.addWorker(), this.random.int(0, 100)).unref();
  }

  async run(): Promise<void> {
    const { random } = this;
    const calm = random.chance(0.3);
    const events = this.watchEvents();
    for (let count = random.int(1, 4); count > 0; count--) this.addWorker(calm ? 'serves' : undefined);
    const arrivals = Array.from({ length: random.int(3, 30) }, () => random.int(0, 700)).toSorted((a, b) => a - b);
    const runs: Promise<void>[] = [];
    for (const [index, at] of arrivals.entries()) {
      await sleep(Math.max(0, at - (arrivals[index - 1] ?? 0)));
      const client = new Client(this, random.fork(), `client-${index}`);
      this.clients.push(client);
      runs.push(client.run());
      // This thread is busy: nobody reads for a while, and the core goes on.
      if (random.chance(0.1)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, random.int(1, 60));
      this.look();
    }
    await sleep(random.int(100, 1200));
    if (random.chance(0.2)) await this.closeEarly();
    this.say('releases everything');
    this.released = true;
    for (const client of this.clients) client.release();
    const ticking = setInterval(() => {
      for (const worker of this.workers) worker.release();
      this.look();
    }, 50);
    let isDone = false;
    void Promise.all(runs).then(() => (isDone = true));
    const waiting = (): string =>
      this.clients.flatMap(({ name, state }) => (state === undefined ? [] : [`${name}: ${state}`])).join('; ');
    await this.until('an answer to every request', () => waiting() === '', waiting);
    if (!this.closing && !this.hurries) await this.rest();
    for (const client of this.clients) client.dismiss();
    await this.until('the end of all connections', () => isDone, waiting);
    if (!isDone) for (const client of this.clients) client.leave();
    this.ending = true;
    await Promise.all(this.expected);
    if (!this.closing) await this.drain();
    clearInterval(ticking);
    for (const worker of this.workers) worker.close();
    if (!this.closing) await this.settle();
    this.say('ends the core');
    await this.within('the end of the core', this.closing ? this.core.event('closed') : this.core.end());
    this.core.core.dispose();
    events.stop();
    this.readLog();
    await this.core[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true });
  }

  outcome(seed: number): Outcome {
    return {
      seed,
      faults: this.faults,
      trace: this.trace,
      requests: this.requests.size,
      answers: this.answers,
      clients: this.clients.length,
      workers: this.workers.length,
    };
  }

  /** Waits for what must come; a fault if it does not. */
  async until(what: string, isSo: () => boolean, detail?: () => string): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!isSo()) {
      if (performance.now() > end) {
        this.fault(`${what} does not come${detail === undefined ? '' : `: ${detail()}`}`);
        return;
      }
      await sleep(5);
    }
  }

  private addWorker(fate?: Fate): void {
    const random = this.random.fork();
    const fates = ['serves', 'serves', 'replaced', 'wrong', 'closes', 'dies'] as const;
    this.workers.push(new Worker(this, random, `worker-${this.workers.length}`, fate ?? random.pick(fates)));
  }

  private async closeEarly(): Promise<void> {
    const graceMs = this.random.pick([0, 100, 500]);
    this.say(`closes the core, with ${graceMs} ms`);
    this.closing = true;
    this.core.core.close(graceMs);
    await this.within('the event closed', this.core.event('closed'));
  }

  /** Every slot is free again, once nobody asks for anything. */
  private async drain(): Promise<void> {
    await this.until(
      'the end of all streams',
      () =>
        this.status().workers.every(({ inFlight }) => inFlight === 0) &&
        this.workers.every(({ busy, gone }) => busy === 0 || gone !== undefined),
      () => JSON.stringify([this.status().workers, this.workers.map(({ name, busy }) => [name, busy])]),
    );
  }

  /** Nobody asks for anything: the connections that are there hold nothing but themselves. */
  private async rest(): Promise<void> {
    await this.until(
      'idle connections that hold nothing',
      () => {
        const { connections, held } = this.status();
        return held.clients === 0 && held.queued === 0 && held.descriptors === connections;
      },
      () => JSON.stringify(this.status()),
    );
  }

  /** Everything is gone: the core holds nothing. */
  private async settle(): Promise<void> {
    await this.until(
      'a core that holds nothing',
      () => {
        const { connections, queues, held, workers } = this.status();
        const { clients, descriptors, queued, spooled, most, mostDescriptors } = held;
        const counts = [connections, clients, descriptors, queued, spooled, most, mostDescriptors, workers.length];
        return counts.every((count) => count === 0) && queues.every(({ length }) => length === 0);
      },
      () => JSON.stringify(this.status()),
    );
    const { kept } = this.status().held;
    // Nine shelves of 2 MiB for each thread.
    if (kept > this.config.threads * 18 * MIB) this.fault(`the core keeps ${kept} bytes`);
  }

  /** No connection holds more than it may, at any time. */
  private look(): void {
    if (this.closing) return;
    const { most, mostDescriptors } = this.status().held;
    if (most > MIB) this.fault(`a connection holds ${most} bytes`);
    if (mostDescriptors > 16) this.fault(`a connection holds ${mostDescriptors} descriptors`);
  }

  private status(): CoreStatus {
    return JSON.parse(this.core.core.status()) as CoreStatus;
  }

  private watchEvents(): { stop: () => void } {
    let seen = 0;
    const look = (): void => {
      for (; seen < this.core.events.length; seen++) {
        const event = this.core.events[seen];
        this.say(`the core says ${JSON.stringify(event)}`);
        if (event?.type === 'worker-gone') {
          this.workers.find(({ fake }) => fake.id === event.worker)?.onGone(event.reason);
        }
      }
    };
    const timer = setInterval(look, 2);
    return {
      stop: () => {
        clearInterval(timer);
        look();
      },
    };
  }

  private async within(what: string, happens: Promise<unknown>): Promise<void> {
    let isDone = false;
    void happens.then(() => (isDone = true));
    await this.until(what, () => isDone);
  }

  private readLog(): void {
    const log = this.core.log();
    if (/panic/i.test(log)) this.fault(`a panic: ${log}`);
    const broke = new Set([...log.matchAll(/worker (\d+) broke the gateway protocol/g)].map(([, id]) => Number(id)));
    for (const { fake, fate, name } of this.workers) {
      if (broke.has(fake.id) && fate !== 'wrong') this.fault(`${name} is said to have broken the protocol: ${log}`);
    }
  }
}

/** What the open descriptors of this process are. */
export function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The one that this folder was read by.
      return [];
    }
  });
}

/** Has the process open what it opens once and keeps. */
export async function warmUp(): Promise<void> {
  const core = new TestCore();
  await core.worker();
  await core[Symbol.asyncDispose]();
}

export async function runEpisode(seed: number): Promise<Outcome> {
  const before = descriptors();
  const episode = new Episode(seed);
  try {
    await episode.run();
  } catch (error) {
    episode.fault(error instanceof Error ? String(error.stack) : String(error));
  }
  let after = descriptors();
  await episode.until(
    'the descriptors of before',
    () => (after = descriptors()).length <= before.length,
    () => JSON.stringify(after.filter((name) => !before.includes(name))),
  );
  return episode.outcome(seed);
}
