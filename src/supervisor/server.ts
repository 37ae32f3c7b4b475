// The core and its workers together: one running server.

import { readFileSync } from 'node:fs';
import type { CoreAddress, CoreEvent } from '../config/core.js';
import type { Hooks } from '../config/define.js';
import { placeError } from '../config/origin.js';
import { toCoreConfig, type ResolvedConfig } from '../config/resolve.js';
import { formatError, fromCore, type GwanmunError } from '../errors.js';
import { VERSION } from '../config/version.js';
import { loadNative, type CoreStatus, type NativeCore } from '../native.js';
import { nameHolder } from './socket-holder.js';
import { PULSE_MS, PulseWatch } from './pulse.js';
import { reasonToRecycle } from './recycle.js';
import { spawnPythonWorker } from './python-worker.js';
import { Supervisor, type SupervisorOptions, type WorkerStatus } from './supervisor.js';
import { spawnWorker, type Print } from './worker-process.js';

/** A server that listens and whose applications are ready. */
export interface RunningServer {
  /** Where it really listens: a port 0 has become a number. */
  readonly addresses: readonly CoreAddress[];
}

/** Something that an operator should know; docs/logs.md lists the events. */
export interface ServerEvent {
  readonly level: 'error' | 'warn' | 'info';
  readonly event: string;
  readonly message: string;
  readonly worker?: number | undefined;
  readonly pid?: number | undefined;
  readonly error?: GwanmunError | undefined;
  /** Where the code is that it is about. */
  readonly stack?: string | undefined;
}

/** The workers of one pool, and the core's number of it. */
interface Pool {
  readonly number: number;
  readonly supervisor: Supervisor;
}

/** A worker, for operators. */
export interface WorkerLine extends Omit<WorkerStatus, 'id'> {
  /** `current`, `coming` during a reload, or `old`: it finishes what it has. */
  readonly generation: string;
  readonly inFlight: number;
  readonly requests: number;
  /** By how many milliseconds its event loop is late at this moment; of a worker in Node. */
  readonly eventLoopDelay: number | undefined;
  /** Resident bytes. */
  readonly memory: number | undefined;
}

/** A server, for operators: what `gwanmun status --json` prints. */
export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly config: string;
  readonly directory: string;
  /** Milliseconds. */
  readonly uptime: number;
  /** Counts the configurations since the start. */
  readonly generation: number;
  readonly state: 'serving' | 'reloading' | 'stopping';
  readonly listen: readonly CoreAddress[];
  readonly connections: number;
  /** Requests that wait for a worker. */
  readonly queue: number;
  /** For how many milliseconds the first of them has waited. */
  readonly queueAge: number;
  readonly memory: number | undefined;
  readonly workers: readonly WorkerLine[];
}

/** The I/O threads take a configuration over within a turn of their loop; more than this is a hang that nobody has to wait for. */
const RENEW_MS = 5000;
/** In development nobody wants to wait for a stream of the code that was. */
const DEVELOPMENT_DRAIN_MS = 1000;
/** A worker may be busy by itself for so much longer than in a request. */
const IDLE_SLACK_MS = 1000;
/** So many generations may finish at once. */
const MOST_LEAVING = 2;

/** After the core has ended all connections, workers get this long to end. */
const WORKER_EXIT_MS = 3000;
/** The core ends every connection at the end of its grace; this much later it is taken to hang. */
const CLOSE_SLACK_MS = 2000;

/** The core, its workers, and the order in which they start and stop. */
export class Server {
  #config: ResolvedConfig;
  readonly #development: boolean;
  readonly #startedAt = performance.now();
  /** Counts the configurations that were taken over. */
  #generation = 1;
  readonly #log: (message: string, error?: GwanmunError) => void;
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #core: NativeCore | undefined;
  /** One for each pool of workers, in the order of the configuration. */
  #pools: readonly Pool[] = [];
  /** Pools of a configuration that is coming, and of old ones that finish. */
  #coming: readonly Pool[] = [];
  readonly #leaving: (readonly Pool[])[] = [];
  #renewed: () => void = () => {};
  #reloading: Promise<void> | undefined;
  #isRecycling = false;
  readonly #pulse = new PulseWatch();
  readonly #watch = setInterval(() => this.#look(), PULSE_MS).unref();
  #stopping: Promise<void> | undefined;

  /** `development`: errors are shown to clients, and applications that do not load do not keep the server from starting. */
  constructor(config: ResolvedConfig, log: (message: string, error?: GwanmunError) => void, development = false) {
    this.#config = config;
    this.#log = log;
    this.#development = development;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /**
   * Binds the addresses and starts the workers. Resolves when the listeners are bound and the first worker is ready, or
   * when {@link Server.stop} was called meanwhile; then with undefined. Rejects with a GwanmunError.
   */
  async start(): Promise<RunningServer | undefined> {
    const { Core } = loadNative();
    if (this.#stopping) return undefined;
    let core: NativeCore;
    let addresses: CoreAddress[];
    try {
      core = new Core(JSON.stringify(toCoreConfig(this.#config)), (event) =>
        this.#onEvent(JSON.parse(event) as CoreEvent),
      );
      this.#core = core;
      addresses = JSON.parse(core.addresses()) as CoreAddress[];
    } catch (error) {
      throw placeError(nameHolder(fromCore(error), this.#config.listen), this.#config);
    }
    this.#pools = this.#makePools(this.#config, core, (index) => index);
    if (this.#development) {
      await this.loadAnew();
      return this.#started(addresses);
    }
    try {
      await Promise.all(this.#pools.map(({ supervisor }) => supervisor.start()));
    } catch (error) {
      await this.stop(0);
      throw placeError(fromCore(error), this.#config);
    }
    return this.#started(addresses);
  }

  #started(addresses: readonly CoreAddress[]): RunningServer | undefined {
    if (this.#stopping) return undefined;
    this.#call('onReady', { pid: process.pid, addresses });
    return { addresses };
  }

  /** Calls a hook of the configuration. */
  #call<Name extends keyof Hooks>(name: Name, info: Parameters<NonNullable<Hooks[Name]>>[0]): void {
    const hook = this.#config.hooks[name] as ((about: typeof info) => unknown) | undefined;
    if (hook === undefined) return;
    Promise.resolve(info)
      .then(hook)
      .catch((error: unknown) => {
        const frames =
          error instanceof Error ? error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) : undefined;
        const stack = frames?.join('\n');
        this.#tell({
          level: 'warn',
          event: 'hook-failed',
          message: `the hook ${name} failed: ${String(error)}`,
          stack,
        });
      });
  }

  /**
   * Takes over another configuration, and the applications as they are now. New workers start beside the old and take over when all
   * of them are ready; the old finish what they have, for at most `drainTimeout`. Connections stay, and so do the addresses that are
   * in both. Rejects with a GwanmunError if the new configuration or an application fails; then nothing has changed.
   */
  async reload(load: () => Promise<ResolvedConfig>): Promise<void> {
    // One after the other; whoever asks meanwhile gets one of their own.
    while (this.#reloading !== undefined) await this.#reloading.catch(() => {});
    if (this.#stopping) return;
    const reloading = this.#reload(load);
    this.#reloading = reloading;
    try {
      await reloading;
    } finally {
      this.#reloading = undefined;
    }
  }

  async #reload(load: () => Promise<ResolvedConfig>): Promise<void> {
    const core = this.#core;
    if (core === undefined) return;
    const began = performance.now();
    // The threads and the logs stay as they are.
    const loaded = await load();
    const kept = this.#keptSettings(loaded);
    const { threads, accessLog, errorLog, pidFile, hooks } = this.#config;
    const config: ResolvedConfig = { ...loaded, threads, accessLog, errorLog, pidFile, hooks };
    let numbers: number[];
    try {
      numbers = core.prepare(JSON.stringify(toCoreConfig(config)));
    } catch (error) {
      throw placeError(nameHolder(fromCore(error), config.listen), config);
    }
    this.#coming = this.#makePools(config, core, (index) => numbers[index] ?? 0);
    try {
      await Promise.all(this.#coming.map(({ supervisor }) => supervisor.startAll()));
      if (this.#stopping) return;
    } catch (error) {
      await Promise.all(this.#coming.map(({ supervisor }) => supervisor.stop(0)));
      this.#coming = [];
      core.discard();
      throw placeError(fromCore(error), config);
    }
    const renewed = new Promise<void>((resolve) => (this.#renewed = resolve));
    core.commit();
    await settles(renewed, RENEW_MS);
    const old = this.#pools;
    this.#pools = this.#coming;
    this.#coming = [];
    this.#config = config;
    this.#generation += 1;
    this.#retire(old, core);
    this.#tell({
      level: 'info',
      event: 'reloaded',
      message: `configuration ${this.#generation} is in use after ${Math.round(performance.now() - began)} ms`,
    });
    this.#call('onReload', { generation: this.#generation });
    for (const key of kept) {
      this.#tell({
        level: 'warn',
        event: 'reloaded',
        message: `${key} has changed; that takes effect at the next start`,
      });
    }
  }

  /** What a reload leaves as it was. */
  #keptSettings(config: ResolvedConfig): string[] {
    return (['threads', 'accessLog', 'errorLog', 'pidFile'] as const).filter(
      (key) => JSON.stringify(config[key]) !== JSON.stringify(this.#config[key]),
    );
  }

  /** Lets old workers finish. Of more than two generations that do, the oldest is cut. */
  #retire(old: readonly Pool[], core: NativeCore): void {
    if (this.#leaving.length >= MOST_LEAVING) {
      for (const { supervisor } of this.#leaving[0] ?? []) void supervisor.stop(0);
    }
    this.#leaving.push(old);
    const gone = old.map(async ({ supervisor, number }) => {
      await supervisor.retire(this.#config.drainTimeout);
      if (!this.#stopping) core.forgetPool(number);
    });
    void Promise.all(gone).then(() => this.#leaving.splice(this.#leaving.indexOf(old), 1));
  }

  /** In development: loads the applications anew under the same configuration. Requests wait for them. Gives whether they load. */
  async loadAnew(): Promise<boolean> {
    const failures = await Promise.all(this.#pools.map(({ supervisor }) => supervisor.swap(DEVELOPMENT_DRAIN_MS)));
    const failure = failures.find((fault) => fault !== undefined);
    if (failure !== undefined && !this.#stopping) {
      const message = 'the application does not load; save the file to try again';
      this.#tell({ level: 'error', event: 'reload-failed', message, error: failure });
    }
    return failure === undefined;
  }

  /** Replaces the workers of these numbers, or all, one after the other; each finishes what it has. */
  async restartWorkers(worker?: number): Promise<number[]> {
    const replaced: number[] = [];
    for (const { supervisor } of this.#pools) {
      for (const number of supervisor.numbers) {
        if (worker !== undefined && number !== worker) continue;
        try {
          await supervisor.replace(number, this.#config.drainTimeout);
        } catch (error) {
          throw placeError(fromCore(error), this.#config);
        }
        replaced.push(number);
      }
    }
    return replaced;
  }

  /** Looks after the workers. */
  #look(): void {
    const core = JSON.parse(this.#core?.status() ?? '{}') as Partial<CoreStatus>;
    const workers = core.workers ?? [];
    this.#pulse.look(workers);
    const { timeout } = this.#config;
    for (const { id } of workers) {
      const still = this.#pulse.stillFor(id);
      // A request that it hangs in is found first, and named.
      if (timeout > 0 && still >= timeout + IDLE_SLACK_MS)
        this.#endHung(id, `has been busy without a pause for ${still / 1000} s`);
    }
    void this.#recycle(core);
  }

  /** A worker has not answered a request in time. */
  async #late(id: number, request: string, isStuck: boolean): Promise<void> {
    if (await this.#pulse.hangs(id)) this.#endHung(id, `hangs in ${request}`);
    else if (isStuck) await this.#replace(id, `${request} does not end, though nobody waits for it any more`);
  }

  #endHung(id: number, why: string): void {
    for (const { supervisor } of this.#everyPool) void supervisor.endHung(id, why);
  }

  /** Replaces the worker that the core has this id for, gracefully. */
  async #replace(id: number, reason: string): Promise<void> {
    for (const { supervisor } of this.#pools) {
      const found = supervisor.status().find((other) => other.id === id);
      if (found?.state !== 'ready') continue;
      const { worker, pid } = found;
      const message = `worker ${worker} (${pid}) is replaced: ${reason}`;
      this.#tell({ level: 'info', event: 'worker-recycled', message, worker, pid });
      try {
        await supervisor.replace(worker, this.#config.drainTimeout);
      } catch (error) {
        const fault = placeError(fromCore(error), this.#config);
        const text = `worker ${worker} stays, for a new one does not start`;
        this.#tell({ level: 'error', event: 'worker-not-started', message: text, worker, error: fault });
      }
    }
  }

  /** Replaces the workers that have done their part, one of each pool at a time. */
  async #recycle(core: Partial<CoreStatus>): Promise<void> {
    const { requests, memory, age, jitter } = this.#config.recycle;
    if ((requests ?? memory ?? age) === undefined) return;
    if (this.#stopping || this.#reloading || this.#isRecycling) return;
    this.#isRecycling = true;
    await Promise.all(
      this.#pools.map(async ({ supervisor }) => {
        for (const { pid, id, state, age: ms } of supervisor.status()) {
          const load = core.workers?.find((other) => other.id === id);
          if (state !== 'ready' || pid === undefined || load === undefined) continue;
          const own = { pid, requests: load.requests, memory: memory && residentBytes(pid), age: ms };
          const reason = reasonToRecycle(own, { requests, memory, age, jitter });
          if (reason !== undefined) await this.#replace(load.id, reason);
        }
      }),
    );
    this.#isRecycling = false;
  }

  /** What goes on, for operators. */
  status(): ServerStatus {
    const core = JSON.parse(this.#core?.status() ?? '{}') as Partial<CoreStatus>;
    const describe = (pool: Pool, generation: string): WorkerLine[] =>
      pool.supervisor.status().map(({ id, ...worker }) => {
        const load = core.workers?.find((other) => other.id === id);
        return {
          ...worker,
          generation,
          inFlight: load?.inFlight ?? 0,
          requests: load?.requests ?? 0,
          eventLoopDelay: id === undefined ? undefined : this.#pulse.lag(id),
          memory: worker.pid === undefined ? undefined : residentBytes(worker.pid),
        };
      });
    return {
      pid: process.pid,
      version: VERSION,
      config: this.#config.origin.source.name,
      directory: process.cwd(),
      uptime: Math.round(performance.now() - this.#startedAt),
      generation: this.#generation,
      state: this.#stopping ? 'stopping' : this.#reloading ? 'reloading' : 'serving',
      listen: JSON.parse(this.#core?.addresses() ?? '[]') as CoreAddress[],
      connections: core.connections ?? 0,
      queue: (core.queues ?? []).reduce((sum, { length }) => sum + length, 0),
      queueAge: Math.max(0, ...(core.queues ?? []).map(({ oldest }) => oldest)),
      memory: residentBytes(process.pid),
      workers: [
        ...this.#pools.flatMap((pool) => describe(pool, 'current')),
        ...this.#coming.flatMap((pool) => describe(pool, 'coming')),
        ...this.#leaving.flat().flatMap((pool) => describe(pool, 'old')),
      ],
    };
  }

  #makePools(config: ResolvedConfig, core: NativeCore, numberOf: (index: number) => number): Pool[] {
    const { closeFds } = loadNative();
    const { startTimeout, workers } = config;
    const development = this.#development;
    return pools(config, this.#printer(core), development).map((spawn, index) => ({
      number: numberOf(index),
      supervisor: new Supervisor({
        core,
        closeFds,
        pool: numberOf(index),
        workers,
        firstNumber: index * workers + 1,
        startTimeout,
        spawn,
        ...(development ? { spawnFailed: showing(config) } : {}),
        tell: (event) => this.#tell(event),
        onReady: (worker, pid) => this.#call('onWorkerStart', { worker, pid }),
        onExit: (exit) => this.#call('onWorkerExit', exit),
      }),
    }));
  }

  /** Every pool that has workers. */
  get #everyPool(): Pool[] {
    return [...this.#pools, ...this.#coming, ...this.#leaving.flat()];
  }

  /** Opens the files of the logs anew by their names: they were moved away. */
  reopenLogs(): void {
    this.#core?.reopenLogs();
  }

  /** Says something in the log. */
  tell(event: ServerEvent): void {
    this.#tell(event);
  }

  /** Stops accepting, lets requests in progress finish for `graceMs`, then ends connections and workers. Idempotent. */
  stop(graceMs: number = this.#config.shutdownTimeout): Promise<void> {
    return (this.#stopping ??= this.#stop(graceMs));
  }

  async #stop(graceMs: number): Promise<void> {
    clearInterval(this.#watch);
    for (const { supervisor } of this.#everyPool) supervisor.drain();
    if (this.#core) {
      this.#core.close(graceMs);
      if (!(await settles(this.#closed, graceMs + CLOSE_SLACK_MS))) {
        this.#tell({
          level: 'warn',
          event: 'core',
          message: 'connections did not close in time; they are cut',
        });
        this.#core.close(0);
        await settles(this.#closed, CLOSE_SLACK_MS);
      }
    }
    await Promise.all(this.#everyPool.map(({ supervisor }) => supervisor.stop(WORKER_EXIT_MS)));
    this.#core?.dispose();
  }

  /** Whether the main process's own words go into the core's log; else they are for who watches standard error. */
  get #logsEvents(): boolean {
    const { format, file } = this.#config.errorLog;
    return format === 'json' || file !== undefined;
  }

  #tell({ level, event, message, worker, pid, error: fault, stack }: ServerEvent): void {
    const error = fault && placeError(fault, this.#config);
    if (!this.#logsEvents || !this.#core) {
      this.#log(stack === undefined ? message : `${message}\n${stack}`, error);
      return;
    }
    this.#core.log({
      level,
      event,
      msg: message,
      ...(stack === undefined ? {} : { stack }),
      ...(error === undefined ? {} : { code: error.code, stack: formatError(error) }),
      ...(worker === undefined ? {} : { worker }),
      ...(pid === undefined ? {} : { pid }),
    });
  }

  /** Where lines go that workers print; undefined: to standard error. */
  #printer(core: NativeCore): Print | undefined {
    if (!this.#logsEvents) return undefined;
    return (stream, msg, worker, pid) => core.log({ level: 'info', event: 'output', msg, worker, pid, stream });
  }

  #onEvent(event: CoreEvent): void {
    switch (event.type) {
      case 'worker-ready':
        for (const { supervisor } of this.#everyPool) supervisor.workerReady(event.worker);
        break;
      case 'worker-gone':
        for (const { supervisor } of this.#everyPool) supervisor.workerGone(event.worker, event.reason);
        break;
      case 'worker-late':
        void this.#late(event.worker, event.request, event.stuck);
        break;
      case 'renewed':
        this.#renewed();
        break;
      case 'closed':
        this.#resolveClosed();
        break;
      default:
        // A newer core may tell more than we know.
        event satisfies never;
    }
  }
}

/** The memory of a process that is its own or shared, as `ps` has it. */
function residentBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

/** How the workers of each pool are started; the order is that of the core's pools. */
function pools(config: ResolvedConfig, print: Print | undefined, development: boolean): SupervisorOptions['spawn'][] {
  const { applications, wsgi, concurrency, errorLog } = config;
  const parent = process.pid;
  const requestIds = config.requestIds !== 'off';
  const capture = requestIds || errorLog.format === 'json';
  const modules: SupervisorOptions['spawn'] = (number, links) =>
    spawnWorker(number, links, { applications, concurrency, parent, requestIds, capture, development }, print);
  return [
    ...(applications.length > 0 ? [modules] : []),
    ...wsgi.map((application): SupervisorOptions['spawn'] => {
      return (number, links) =>
        spawnPythonWorker(number, links, application, { concurrency, parent, development }, print);
    }),
  ];
}

/** Starts workers that show why an application does not load. */
function showing({ applications, concurrency }: ResolvedConfig): SupervisorOptions['spawnFailed'] {
  return (number, links, failure) =>
    spawnWorker(number, links, {
      // A pool of Python has one application.
      applications: applications.length > 0 ? applications : [{ module: '' }],
      concurrency,
      parent: process.pid,
      requestIds: false,
      capture: false,
      development: true,
      failure: failure.toJSON(),
    });
}

/** Whether the promise settles within that time. */
async function settles(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([promise.then(() => true as const), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
