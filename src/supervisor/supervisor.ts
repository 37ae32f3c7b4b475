// Keeps the workers of a pool running: starts them, waits until they are ready, replaces those that end.

import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerExitInfo } from '../config/define.js';
import { GwanmunError } from '../errors.js';
import { Backoff } from './backoff.js';
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

export interface SupervisorOptions {
  readonly core: WorkerRegistry;
  /** Starts the process of worker `number` on these links. */
  readonly spawn: (number: number, links: WorkerLinks) => WorkerProcess;
  /** In development: starts a worker that shows why the real one does not start. */
  readonly spawnFailed?: ((number: number, links: WorkerLinks, failure: GwanmunError) => WorkerProcess) | undefined;
  /** Closes our copies of the worker's ends. */
  readonly closeFds: (fds: number[]) => void;
  /** The core's number of the pool. */
  readonly pool: number;
  /** What its workers are called, one each. */
  readonly numbers: readonly number[];
  /** Milliseconds that a worker may take until it is ready. */
  readonly startTimeout: number;
  readonly tell: (event: WorkerEvent) => void;
  readonly onReady?: (worker: number, pid: number) => void;
  readonly onExit?: (exit: WorkerExitInfo) => void;
}

/** What a worker is about. */
export interface WorkerStatus {
  readonly worker: number;
  readonly pid: number | undefined;
  readonly state: Slot['state'];
  /** The core's id, while it has links. */
  readonly id: number | undefined;
  /** Milliseconds since its start. */
  readonly age: number;
  /** How often its place was taken by a new one that was not asked for. */
  readonly restarts: number;
  /** Why, the last time. */
  readonly lastExit: string | undefined;
}

/** How often a pool that is to go looks whether requests wait yet. */
const QUEUE_POLL_MS = 20;

/** After the core has closed a worker's links, the worker gets this long to exit by itself. */
const GONE_GRACE_MS = 1000;

/** A worker that hangs gets so long to end by SIGTERM. */
const HUNG_GRACE_MS = 1000;

interface Slot {
  readonly number: number;
  readonly backoff: Backoff;
  process: WorkerProcess | undefined;
  /** The core's id of the running worker. */
  id: number | undefined;
  state: 'starting' | 'ready' | 'draining' | 'hung' | 'gone' | 'waiting' | 'failed' | 'stopped';
  startedAt: number;
  /** Of the state: start timeout, grace, or wait before the restart. */
  timer: NodeJS.Timeout | undefined;
  /** Why it was killed, if the supervisor did it. */
  killedFor: GwanmunError | undefined;
  restarts: number;
  lastExit: string | undefined;
  /** It takes this worker's place once it is ready. */
  successor: Slot | undefined;
  /** Told whether it has become ready. */
  onStarted: ((failure: GwanmunError | undefined) => void) | undefined;
}

/** Runs workers until {@link Supervisor.stop}. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #slots: Slot[];
  /** Workers that finish what they have. */
  readonly #leaving = new Set<Slot>();
  readonly #started: Promise<void>;
  #resolveStarted!: () => void;
  #rejectStarted!: (failure: GwanmunError) => void;
  /** Until the first worker is ready, a failure is the user's to see, not to be retried. */
  #hasStarted = false;
  #isStopping = false;
  #firstFailure: GwanmunError | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.#slots = options.numbers.map((number) => newSlot(number));
  }

  /** Starts all workers. Resolves when the first is ready; rejects with the first failure when all have failed. */
  async start(): Promise<void> {
    for (const slot of this.#slots) this.#spawn(slot);
    await this.#started;
  }

  /** Starts all workers. Resolves when all are ready; rejects with the first failure, and stops the others. */
  async startAll(): Promise<void> {
    this.#hasStarted = true;
    try {
      await Promise.all(this.#slots.map((slot) => this.#launch(slot)));
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /**
   * Starts a new worker beside one that serves, which finishes what it has once the new one is ready, for at most `drainMs`.
   * Rejects if the new one fails to start: then the old one stays.
   */
  async replace(number: number, drainMs: number): Promise<void> {
    const slot = this.#slots.find((other) => other.number === number);
    if (slot === undefined || this.#isStopping || slot.successor !== undefined) return;
    const next = newSlot(number);
    next.restarts = slot.restarts;
    slot.successor = next;
    try {
      await this.#launch(next);
    } finally {
      slot.successor = undefined;
    }
    const index = this.#slots.indexOf(slot);
    if (index >= 0) this.#slots[index] = next;
    // Its place is gone meanwhile: the new one goes too.
    const old = index >= 0 ? slot : next;
    clearTimeout(old.timer);
    if (old.process === undefined) return;
    this.#leaving.add(old);
    this.#release(old, drainMs);
  }

  /**
   * In development: has every worker finish, and starts new ones at once; requests that come meanwhile wait for them. Those that do
   * not start are replaced by workers that show why. Gives the first failure.
   */
  async swap(drainMs: number): Promise<GwanmunError | undefined> {
    const fresh = this.#slots.map(({ number }) => newSlot(number));
    for (const slot of this.#slots.splice(0, this.#slots.length, ...fresh)) {
      clearTimeout(slot.timer);
      slot.onStarted = undefined;
      if (slot.process === undefined) continue;
      this.#leaving.add(slot);
      // What it loads is out of date.
      if (slot.state === 'ready') this.#release(slot, drainMs);
      else slot.process.kill();
    }
    this.#hasStarted = true;
    this.#resolveStarted();
    const failures = await Promise.all(fresh.map((slot) => this.#launchOrShow(slot)));
    return failures.find((failure) => failure !== undefined);
  }

  async #launchOrShow(slot: Slot): Promise<GwanmunError | undefined> {
    try {
      await this.#launch(slot);
      return undefined;
    } catch (error) {
      const failure = error as GwanmunError;
      const { spawnFailed } = this.#options;
      // By now another change may have come.
      if (spawnFailed === undefined || this.#isStopping || !this.#slots.includes(slot)) return undefined;
      await this.#launch(slot, (number, links) => spawnFailed(number, links, failure)).catch(() => {});
      return failure;
    }
  }

  /** Lets the workers go: those that wait for one are served first, then each finishes what it has, for at most `drainMs`. */
  async retire(drainMs: number): Promise<void> {
    const end = performance.now() + drainMs;
    this.drain();
    // Whoever is in the queue has come under this configuration.
    while (this.#options.core.queued(this.#options.pool) > 0 && performance.now() < end) await delay(QUEUE_POLL_MS);
    for (const slot of this.#slots) this.#release(slot, end - performance.now());
    await Promise.all([...this.#slots, ...this.#leaving].map((slot) => slot.process?.exited));
  }

  /**
   * Gives up on a worker that does nothing any more. Another one starts in its place at once; it is asked where it is, which the log
   * gets, and then ended. Requests that it has not begun go to others.
   */
  async endHung(id: number, why: string): Promise<void> {
    const slot = this.#slotOf(id);
    const worker = slot?.process;
    if (slot === undefined || worker === undefined || (slot.state !== 'ready' && slot.state !== 'draining')) return;
    clearTimeout(slot.timer);
    this.#options.core.removeWorker(id);
    slot.state = 'hung';
    const index = this.#slots.indexOf(slot);
    if (index >= 0 && slot.successor === undefined && !this.#isStopping) {
      const next = newSlot(slot.number);
      next.restarts = slot.restarts + 1;
      next.lastExit = 'hung';
      this.#slots[index] = next;
      this.#leaving.add(slot);
      this.#tryToSpawn(next);
    }
    const stack = await worker.stack();
    this.#options.tell({
      level: 'error',
      event: 'worker-hung',
      message: `worker ${slot.number} (${worker.pid}) ${why}, and is replaced${stack === undefined ? '; it does not say where its code is' : '; its code is at'}`,
      worker: slot.number,
      pid: worker.pid,
      stack,
    });
    worker.kill('SIGTERM');
    slot.timer = setTimeout(() => worker.kill(), HUNG_GRACE_MS);
  }

  /** Where the code of some workers is, by the core's ids. */
  async stacks(isWanted: (id: number) => boolean): Promise<string[]> {
    const wanted = this.#everyone().filter(({ id }) => id !== undefined && isWanted(id));
    const asked = wanted.map(async ({ number, process: worker }) => {
      const stack = await worker?.stack();
      return `worker ${number} (${worker?.pid}): ${stack === undefined ? 'it does not say where its code is' : `\n${stack}`}`;
    });
    return Promise.all(asked);
  }

  /** What each worker is about. */
  status(): WorkerStatus[] {
    const now = performance.now();
    return this.#everyone().map((slot) => ({
      worker: slot.number,
      pid: slot.process?.pid,
      state: slot.state,
      id: slot.id,
      age: now - slot.startedAt,
      restarts: slot.restarts,
      lastExit: slot.lastExit,
    }));
  }

  /** How many workers it has, or is to have. */
  get count(): number {
    return this.#slots.length;
  }

  /** Starts one more worker. Rejects if it does not become ready; then there are as many as before. False: the pool is to end. */
  async grow(number: number): Promise<boolean> {
    if (this.#isStopping) return false;
    const slot = newSlot(number);
    this.#slots.push(slot);
    try {
      await this.#launch(slot);
    } catch (error) {
      const index = this.#slots.indexOf(slot);
      if (index >= 0) this.#slots.splice(index, 1);
      if (this.#isStopping) return false;
      throw error;
    }
    return true;
  }

  /** Has the last worker finish what it has, for at most `drainMs`. */
  shrink(drainMs: number): void {
    const slot = this.#slots.pop();
    if (slot === undefined) return;
    clearTimeout(slot.timer);
    if (slot.process === undefined) return;
    this.#leaving.add(slot);
    this.#release(slot, drainMs);
  }

  /** The numbers of its workers. */
  get numbers(): number[] {
    return this.#slots.map(({ number }) => number);
  }

  /** Has a worker finish what it has; then it ends by itself, or is ended after `drainMs`. */
  #release(slot: Slot, drainMs: number): void {
    const { process: worker } = slot;
    if (worker === undefined) return;
    clearTimeout(slot.timer);
    if (slot.id !== undefined) this.#options.core.removeWorker(slot.id);
    slot.state = 'draining';
    slot.timer = setTimeout(
      () => {
        this.#options.tell({
          level: 'warn',
          event: 'worker-killed',
          message: `worker ${slot.number} (${worker.pid}) was not done in time; what it had is cut`,
          worker: slot.number,
          pid: worker.pid,
        });
        worker.kill();
      },
      Math.max(drainMs, 0),
    );
  }

  /** Starts a slot's worker. Settles when that is ready, or has failed. */
  #launch(slot: Slot, spawn: SupervisorOptions['spawn'] = this.#options.spawn): Promise<void> {
    return new Promise((resolve, reject) => {
      slot.onStarted = (failure) => {
        slot.onStarted = undefined;
        if (failure === undefined) resolve();
        else reject(failure);
      };
      this.#spawn(slot, spawn);
    });
  }

  /** The core's event: every link of the worker is ready. */
  workerReady(id: number): void {
    const slot = this.#slotOf(id);
    if (slot?.state !== 'starting') return;
    clearTimeout(slot.timer);
    slot.state = 'ready';
    this.#options.onReady?.(slot.number, slot.process?.pid ?? 0);
    slot.onStarted?.(undefined);
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#resolveStarted();
    for (const other of this.#slots) if (other.state === 'failed') this.#restart(other);
  }

  /** The core's event: it has closed the worker's links, because they ended or because of a protocol error. */
  workerGone(id: number, reason: string): void {
    const slot = this.#slotOf(id);
    if (!slot || slot.state === 'gone') return;
    slot.id = undefined;
    // One that finishes is on its way out, and its time is counted already.
    if (slot.state === 'draining' || slot.state === 'hung') return;
    slot.state = 'gone';
    clearTimeout(slot.timer);
    if (this.#isStopping) return;
    // Most often the process is ending by itself, and its exit says more than we could. If not, it is of no more use.
    slot.timer = setTimeout(() => {
      this.#options.tell({
        level: 'error',
        event: 'worker-lost',
        message: `worker ${slot.number} lost its connection to the server: ${reason}`,
        worker: slot.number,
        pid: slot.process?.pid,
      });
      slot.process?.kill();
    }, GONE_GRACE_MS);
  }

  /** Starts no more workers: the server is draining. Those that run end when the core closes their links. */
  drain(): void {
    this.#isStopping = true;
    for (const slot of this.#slots) {
      clearTimeout(slot.timer);
      slot.onStarted?.(new GwanmunError('GWM_WORKER_EXITED', 'The server stops'));
    }
    this.#resolveStarted();
  }

  /** Waits for the workers to end; what still runs after `killAfterMs` is killed. */
  async stop(killAfterMs: number): Promise<void> {
    this.drain();
    const timer = setTimeout(() => {
      for (const slot of this.#everyone()) slot.process?.kill();
    }, killAfterMs);
    await Promise.all(this.#everyone().map((slot) => slot.process?.exited));
    clearTimeout(timer);
  }

  #spawn(slot: Slot, spawn: SupervisorOptions['spawn'] = this.#options.spawn): void {
    if (this.#isStopping) return;
    const { core, pool, closeFds, startTimeout } = this.#options;
    const { id, memory, links } = core.addWorker(pool);
    slot.id = id;
    slot.state = 'starting';
    slot.killedFor = undefined;
    slot.startedAt = performance.now();
    let worker: WorkerProcess;
    try {
      worker = spawn(slot.number, { memory, links });
    } finally {
      // As long as our copies are open, the core would not see the worker's end.
      closeFds([memory, ...links]);
    }
    slot.process = worker;
    core.nameWorker(id, slot.number, worker.pid ?? 0);
    slot.timer = setTimeout(() => {
      slot.killedFor = new GwanmunError(
        'GWM_WORKER_TIMEOUT',
        `Worker ${slot.number} was not ready after ${startTimeout} ms`,
        { part: 'startTimeout' },
      );
      worker.kill();
    }, startTimeout);
    void worker.died.then(() => core.workerDied(id));
    void worker.exited.then((exit) => this.#exited(slot, exit, worker.pid));
  }

  #exited(slot: Slot, exit: WorkerExit, pid: number | undefined): void {
    clearTimeout(slot.timer);
    const expected = this.#isStopping || slot.state === 'draining' || slot.state === 'stopped';
    const { code, signal } = exit;
    if (pid !== undefined) this.#options.onExit?.({ worker: slot.number, pid, code, signal, expected });
    const wasStarting = slot.state === 'starting' || (slot.state === 'gone' && !this.#hasStarted);
    slot.id = undefined;
    slot.process = undefined;
    if (this.#isStopping) {
      slot.state = 'stopped';
      return;
    }
    if (this.#leaving.delete(slot) || slot.state === 'draining') {
      slot.state = 'stopped';
      return;
    }
    const failure = exit.failure ?? slot.killedFor ?? (wasStarting ? exitError(slot.number, exit) : undefined);
    if (slot.onStarted !== undefined) {
      slot.state = 'failed';
      slot.onStarted(failure ?? exitError(slot.number, exit));
      return;
    }
    if (!this.#hasStarted) {
      this.#failedToStart(slot, failure ?? exitError(slot.number, exit));
      return;
    }
    slot.restarts += 1;
    slot.lastExit = describeExit(exit);
    const wait = this.#restart(slot);
    this.#options.tell({
      level: 'error',
      event: 'worker-exited',
      message: `worker ${slot.number} ${describeExit(exit)}; a new one starts in ${wait} ms`,
      worker: slot.number,
      pid,
      error: failure,
    });
  }

  #failedToStart(slot: Slot, failure: GwanmunError): void {
    slot.state = 'failed';
    this.#firstFailure ??= failure;
    if (this.#slots.every(({ state }) => state === 'failed')) this.#rejectStarted(this.#firstFailure);
  }

  /** Starts the slot's next worker after its back-off, which is returned. */
  #restart(slot: Slot): number {
    const wait = slot.backoff.delay(performance.now() - slot.startedAt);
    slot.state = 'waiting';
    slot.timer = setTimeout(() => this.#tryToSpawn(slot), wait);
    return wait;
  }

  /** Out of file descriptors or processes the other workers go on, and so do the attempts. */
  #tryToSpawn(slot: Slot): void {
    try {
      this.#spawn(slot);
    } catch (error) {
      const next = this.#restart(slot);
      this.#options.tell({
        level: 'error',
        event: 'worker-not-started',
        message: `worker ${slot.number} could not be started (${String(error)}); next attempt in ${next} ms`,
        worker: slot.number,
      });
    }
  }

  #slotOf(id: number): Slot | undefined {
    return this.#everyone().find((slot) => slot.id === id);
  }

  #everyone(): Slot[] {
    return [...this.#slots, ...this.#leaving].flatMap((slot) => (slot.successor ? [slot, slot.successor] : [slot]));
  }
}

function newSlot(number: number): Slot {
  return {
    number,
    backoff: new Backoff(),
    process: undefined,
    id: undefined,
    state: 'waiting',
    startedAt: 0,
    timer: undefined,
    killedFor: undefined,
    restarts: 0,
    lastExit: undefined,
    successor: undefined,
    onStarted: undefined,
  };
}

function exitError(number: number, exit: WorkerExit): GwanmunError {
  return new GwanmunError('GWM_WORKER_EXITED', `Worker ${number} ${describeExit(exit)} before it was ready`);
}

function describeExit({ code, signal }: WorkerExit): string {
  return signal === null ? `exited with code ${code ?? 'unknown'}` : `was ended by ${signal}`;
}
