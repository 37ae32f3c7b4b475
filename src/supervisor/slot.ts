// One worker process from its start to its end.

import type { WorkerExitInfo } from '../config/define.js';
import { GwanmunError } from '../errors.js';
import type { WorkerExit, WorkerLinks, WorkerProcess } from './worker-process.js';

/** What the supervisor needs of the core. */
export interface WorkerRegistry {
  /** Makes the links for one worker of the pool. */
  addWorker(pool: number): { id: number } & WorkerLinks;
  /** Sends it no more requests, and ends its links when its streams have ended. */
  removeWorker(id: number): void;
  /** Its process has ended, whoever else may hold its links. */
  workerDied(id: number): void;
  /** What operators know the worker by. */
  nameWorker(id: number, number: number, pid: number): void;
  /** How many requests wait for a worker of the pool. */
  queued(pool: number): number;
}

/** Something in the life of a worker that its operator should know. */
export interface WorkerEvent {
  readonly level: 'warn' | 'error';
  readonly event: 'worker-exited' | 'worker-lost' | 'worker-not-started' | 'worker-killed' | 'worker-hung';
  readonly message: string;
  readonly worker: number;
  readonly pid?: number | undefined;
  readonly error?: GwanmunError | undefined;
  /** Where its code is. */
  readonly stack?: string | undefined;
}

/** Starts the process of worker `number` on these links. */
export type Spawn = (number: number, links: WorkerLinks) => WorkerProcess;

/** What the slots of a pool have in common. */
export interface SlotOptions {
  readonly core: WorkerRegistry;
  /** Closes our copies of the worker's ends. */
  readonly closeFds: (fds: number[]) => void;
  /** The core's number of the pool. */
  readonly pool: number;
  /** Milliseconds that a worker may take until it is ready. */
  readonly startTimeout: number;
  readonly tell: (event: WorkerEvent) => void;
  /** Whether all workers are to end. */
  readonly isEnding: () => boolean;
  /** Its process has ended; called before {@link Slot.started} and {@link Slot.exited} say so. */
  readonly ended: (slot: Slot, exit: WorkerExit) => void;
  readonly onReady?: ((worker: number, pid: number) => void) | undefined;
  readonly onExit?: ((exit: WorkerExitInfo) => void) | undefined;
}

/**
 * - `starting`: its applications load.
 * - `ready`: it gets requests.
 * - `gone`: the core has closed its links, and its process is still there.
 * - `draining`: it was let go and finishes what it has.
 * - `hung`: it was given up, and is ended.
 * - `ended`: its process is no more.
 */
export type SlotState = 'starting' | 'ready' | 'gone' | 'draining' | 'hung' | 'ended';

/** What became of a start: `released` while it started, or why it failed. */
export type Start = 'ready' | 'released' | GwanmunError;

/** After the core has closed a worker's links, the worker gets this long to exit by itself. */
const GONE_GRACE_MS = 1000;

/** A worker that hangs gets so long to end by SIGTERM. */
const HUNG_GRACE_MS = 1000;

/** One worker process. Whoever makes it has it until {@link Slot.exited}. */
export class Slot {
  /** What operators know the worker by. */
  readonly number: number;
  readonly startedAt = performance.now();
  /** Settles with what becomes of its start. */
  readonly started: Promise<Start>;
  /** Settles when its process has ended. */
  readonly exited: Promise<void>;
  /** Whoever made it waits for its start, and sees to the place if that fails. */
  readonly isAwaited: boolean;
  readonly #options: SlotOptions;
  readonly #process: WorkerProcess;
  #settleStart!: (start: Start) => void;
  #state: SlotState = 'starting';
  /** The core's id, while it has links. */
  #id: number | undefined;
  /** Of the state. */
  #timer: NodeJS.Timeout | undefined;
  #wasReady = false;
  /** Why it was killed, if it was for its start. */
  #killedFor: GwanmunError | undefined;

  /** Starts the process. Throws if the system has no descriptors left for its links. */
  constructor(options: SlotOptions, number: number, spawn: Spawn, isAwaited: boolean) {
    const { core, pool, closeFds, startTimeout } = options;
    this.#options = options;
    this.number = number;
    this.isAwaited = isAwaited;
    this.started = new Promise((resolve) => (this.#settleStart = resolve));
    const { id, memory, links } = core.addWorker(pool);
    try {
      this.#process = spawn(number, { memory, links });
    } finally {
      // As long as our copies are open, the core would not see the worker's end.
      closeFds([memory, ...links]);
    }
    this.#id = id;
    core.nameWorker(id, number, this.pid ?? 0);
    this.#timer = setTimeout(() => {
      const what = `Worker ${number} was not ready after ${startTimeout} ms`;
      this.#killedFor = new GwanmunError('GWM_WORKER_TIMEOUT', what, { part: 'startTimeout' });
      this.kill();
    }, startTimeout);
    void this.#process.died.then(() => core.workerDied(id));
    this.exited = this.#process.exited.then((exit) => this.#end(exit));
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get state(): SlotState {
    return this.#state;
  }

  get id(): number | undefined {
    return this.#id;
  }

  /** The core's event: every link is ready. Gives whether that is news. */
  ready(): boolean {
    if (this.#state !== 'starting') return false;
    clearTimeout(this.#timer);
    this.#state = 'ready';
    this.#wasReady = true;
    this.#options.onReady?.(this.number, this.pid ?? 0);
    this.#settleStart('ready');
    return true;
  }

  /** The core's event: it has closed the links. */
  lost(reason: string): void {
    this.#id = undefined;
    // One that is on its way out has its time counted already.
    if (this.#state !== 'starting' && this.#state !== 'ready') return;
    this.#state = 'gone';
    clearTimeout(this.#timer);
    if (this.#options.isEnding()) return;
    // Most often the process is ending by itself, and its exit says more than we could. If not, it is of no more use.
    this.#timer = setTimeout(() => {
      this.#tell('error', 'worker-lost', `worker ${this.number} lost its connection to the server: ${reason}`);
      this.kill();
    }, GONE_GRACE_MS);
  }

  /** Has it finish what it has; then it ends by itself, or is ended after `drainMs`. Does nothing to one that is on its way out. */
  release(drainMs: number): void {
    if (this.#state === 'draining' || this.#state === 'hung' || this.#state === 'ended') return;
    clearTimeout(this.#timer);
    // Without links it has nothing to finish.
    const graceMs = this.#state === 'gone' ? Math.min(drainMs, GONE_GRACE_MS) : drainMs;
    const wasReady = this.#wasReady;
    this.#state = 'draining';
    this.#settleStart('released');
    if (this.#id !== undefined) this.#options.core.removeWorker(this.#id);
    this.#timer = setTimeout(
      () => {
        const what = `worker ${this.number} (${this.pid}) did not finish in time; its requests were cut off`;
        if (wasReady) this.#tell('warn', 'worker-killed', what);
        this.kill();
      },
      Math.max(graceMs, 0),
    );
  }

  /** Nobody waits for its start any more. */
  abandonStart(): void {
    this.#settleStart('released');
  }

  /** It does nothing any more: the core takes it out, it is asked where it is, which the log gets, and then ended. */
  async giveUp(why: string): Promise<void> {
    clearTimeout(this.#timer);
    this.#state = 'hung';
    if (this.#id !== undefined) this.#options.core.removeWorker(this.#id);
    const stack = await this.stack();
    const where = stack === undefined ? 'it did not say where its code is' : 'its code is at';
    this.#tell('error', 'worker-hung', `worker ${this.number} (${this.pid}) ${why}, and is replaced; ${where}`, stack);
    this.kill('SIGTERM');
    if (!this.#hasEnded()) this.#timer = setTimeout(() => this.kill(), HUNG_GRACE_MS);
  }

  stack(): Promise<string | undefined> {
    return this.#process.stack();
  }

  kill(signal?: 'SIGTERM' | 'SIGKILL'): void {
    if (signal === undefined) this.#process.kill();
    else this.#process.kill(signal);
  }

  #hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** Whether it has ever been ready. */
  get wasReady(): boolean {
    return this.#wasReady;
  }

  #end(exit: WorkerExit): void {
    clearTimeout(this.#timer);
    const { code, signal } = exit;
    const expected = this.#state === 'draining' || this.#options.isEnding();
    if (this.pid !== undefined) this.#options.onExit?.({ worker: this.number, pid: this.pid, code, signal, expected });
    this.#state = 'ended';
    this.#id = undefined;
    const failure = exit.failure ?? this.#killedFor ?? (this.#wasReady ? undefined : exitError(this.number, exit));
    this.#options.ended(this, { ...exit, failure });
    // If nobody has waited so far: 'ready' has been said, or there is a failure.
    if (failure !== undefined) this.#settleStart(failure);
  }

  #tell(level: WorkerEvent['level'], event: WorkerEvent['event'], message: string, stack?: string): void {
    this.#options.tell({ level, event, message, worker: this.number, pid: this.pid, stack });
  }
}

function exitError(number: number, exit: WorkerExit): GwanmunError {
  return new GwanmunError('GWM_WORKER_EXITED', `Worker ${number} ${describeExit(exit)} before it was ready`);
}

export function describeExit({ code, signal }: WorkerExit): string {
  return signal === null ? `exited with code ${code ?? 'unknown'}` : `was ended by ${signal}`;
}
