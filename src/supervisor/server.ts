// The core and its workers together: one running server.

import type { CertificateReader } from '../certificates/reader.js';
import { toCoreTls } from '../certificates/store.js';
import type { CoreAddress, CoreConfig, CoreEvent } from '../config/core.js';
import type { Hooks } from '../config/define.js';
import { placeError } from '../config/origin.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { toCoreConfig } from '../config/to-core.js';
import { fromCore, GwanmunError } from '../errors.js';
import { VERSION } from '../config/version.js';
import { loadNative, type CoreStatus, type NativeCore } from '../native.js';
import { ServerCertificates, type LoadedCertificates } from './certificates.js';
import { settles } from './deadline.js';
import type { ServerEvent } from './event.js';
import { Generations, type Pool } from './generations.js';
import { callHook } from './hooks.js';
import type { Inheritance } from './inheritance.js';
import { Journal } from './journal.js';
import { keepSettings } from './kept-settings.js';
import { dropPrivileges } from './privileges.js';
import type { OnLoaded } from './report.js';
import { nameHolder } from './socket-holder.js';
import { STARTED_IN } from './started-in.js';
import { showing, startersOf } from './starters.js';
import { describeLoad, type ServerStatus } from './status.js';
import { Supervisor } from './supervisor.js';
import { Upkeep } from './upkeep.js';

/** A server that listens and whose applications are ready. */
export interface RunningServer {
  /** Where it really listens: a port 0 has become a number. */
  readonly addresses: readonly CoreAddress[];
}

/** The I/O threads take a configuration over within a turn of their loop; more than this is a hang that nobody has to wait for. */
const RENEW_MS = 5000;
/** In development nobody wants to wait for a stream of the code that was. */
const DEVELOPMENT_DRAIN_MS = 1000;
/** As many as a configuration may ask for. */
const MOST_WORKERS = 1024;
/** A worker whose event loop is so late is asked where it is. */
const REPORT_LAG_MS = 500;
/** After the core has ended all connections, workers get this long to end. */
const WORKER_EXIT_MS = 3000;
/** What is at work on certificates gives it up at once, but for a disk that hangs. */
const CERTIFICATES_MS = 2000;
/** The core ends every connection at the end of its grace; this much later it is taken to hang. */
const CLOSE_SLACK_MS = 2000;

/** The core, its workers, and the order in which they start and stop. */
export class Server {
  #config: ResolvedConfig;
  readonly #onLoaded: OnLoaded | undefined;
  readonly #inheritance: Inheritance | undefined;
  readonly #ticketKeys: Buffer | undefined;
  readonly #startedAt = performance.now();
  readonly #journal: Journal;
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #core: NativeCore | undefined;
  readonly #certificates: ServerCertificates;
  readonly #generations = new Generations();
  #renewed: () => void = () => {};
  #reloading: Promise<void> | undefined;
  readonly #upkeep = new Upkeep({
    config: () => this.#config,
    pools: () => this.#generations.current,
    everyPool: () => this.#generations.every,
    isBusy: () => (this.#stopping ?? this.#reloading) !== undefined,
    coreStatus: () => this.#coreStatus(),
    tell: (event) => this.tell(event),
  });
  #stopping: Promise<void> | undefined;
  #isLeaving = false;

  /**
   * `onLoaded`, in development: is told what the workers load; errors are shown to clients, and applications that do not load do not keep
   * the server from starting. `inheritance`: listening sockets that it takes over. `ticketKeys`: keys of TLS session tickets, likewise.
   */
  constructor(
    config: ResolvedConfig,
    log: (message: string, error?: GwanmunError) => void,
    onLoaded?: OnLoaded,
    inheritance?: Inheritance,
    ticketKeys?: Buffer,
  ) {
    this.#config = config;
    this.#ticketKeys = ticketKeys;
    this.#inheritance = inheritance;
    this.#journal = new Journal(
      () => this.#config,
      () => this.#core,
      log,
    );
    this.#onLoaded = onLoaded;
    this.#certificates = new ServerCertificates(config, {
      reader: inheritance?.reader,
      apply: (tls) => this.#core?.setCertificates(tls),
      served: () => this.#core?.certificates() ?? [],
      setChallenges: (challenges) => this.#core?.setChallenges(challenges),
      tell: (event) => this.tell(event),
    });
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
      const { sockets } = this.#inheritance ?? {};
      const inherited = sockets === undefined ? {} : { inherited: sockets };
      const certificates = await this.#certificates.load(this.#config);
      if (this.#stopping) return undefined;
      core = new Core(
        JSON.stringify({ ...this.#coreConfig(this.#config), ...inherited }),
        toCoreTls(certificates),
        (event) => this.#onEvent(JSON.parse(event) as CoreEvent),
      );
      this.#core = core;
      if (this.#ticketKeys !== undefined) core.setTicketKeys(this.#ticketKeys);
      this.#certificates.adopt(certificates);
      addresses = JSON.parse(core.addresses()) as CoreAddress[];
    } catch (error) {
      throw placeError(nameHolder(fromCore(error), this.#config.listen), this.#config);
    }
    try {
      dropPrivileges(this.#config.privileges);
    } catch (error) {
      await this.stop(0);
      throw placeError(fromCore(error), this.#config);
    }
    if (this.#stopping) return undefined;
    this.#certificates.begin();
    this.#generations.begin(this.#makePools(this.#config, core, (index) => index));
    if (this.#onLoaded !== undefined) {
      await this.loadAnew();
      return this.#started(addresses);
    }
    try {
      await Promise.all(this.#generations.current.map(({ supervisor }) => supervisor.start()));
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

  #call<Name extends keyof Hooks>(name: Name, info: Parameters<NonNullable<Hooks[Name]>>[0]): void {
    callHook(this.#config.hooks, name, info, (event) => this.tell(event));
  }

  /**
   * Takes over another configuration, and the applications as they are now. New workers start beside the old and take over when all
   * of them are ready; the old finish what they have, for at most `drainTimeout`. Connections stay, and so do the addresses that are
   * in both. Rejects with a GwanmunError if the new configuration or an application fails; then nothing has changed.
   */
  async reload(load: () => Promise<ResolvedConfig>): Promise<void> {
    if (this.#reloading !== undefined) throw new Error('a reload is going on');
    const reloading = this.#reload(load);
    this.#reloading = reloading;
    try {
      await reloading;
    } finally {
      this.#reloading = undefined;
    }
  }

  /** Other changes wait for a reload: they are for what comes of it. One that is at work when a reload takes over ends with what it was at. */
  async #reloadIsOver(): Promise<void> {
    while (this.#reloading !== undefined) await this.#reloading.catch(() => {});
  }

  async #reload(load: () => Promise<ResolvedConfig>): Promise<void> {
    const core = this.#core;
    const began = performance.now();
    const loaded = await load();
    if (core === undefined || this.#stopping) return;
    const { config, ignored } = keepSettings(this.#config, loaded);
    let numbers: number[];
    let certificates: LoadedCertificates;
    try {
      certificates = await this.#certificates.load(config);
      numbers = core.prepare(JSON.stringify(this.#coreConfig(config)), toCoreTls(certificates));
    } catch (error) {
      throw placeError(nameHolder(fromCore(error), config.listen), config);
    }
    try {
      await this.#generations.prepare(this.#makePools(config, core, (index) => numbers[index] ?? 0));
    } catch (error) {
      core.discard();
      throw placeError(fromCore(error), config);
    }
    if (this.#stopping) return;
    const renewed = new Promise<void>((resolve) => (this.#renewed = resolve));
    core.commit();
    this.#certificates.adopt(certificates);
    await settles(renewed, RENEW_MS);
    this.#config = config;
    this.#generations.takeOver(config.drainTimeout, ({ number }) => {
      if (!this.#stopping) core.forgetPool(number);
    });
    const generation = this.#generations.number;
    this.tell({
      level: 'info',
      event: 'reloaded',
      message: `configuration ${generation} is in use after ${Math.round(performance.now() - began)} ms`,
    });
    this.#call('onReload', { generation });
    for (const name of ignored) {
      const message = `${name} has changed; that takes effect at the next start`;
      this.tell({ level: 'warn', event: 'reloaded', message });
    }
  }

  /** In development: loads the applications anew under the same configuration. Requests wait for them. Gives whether they load. */
  async loadAnew(): Promise<boolean> {
    await this.#reloadIsOver();
    const failures = await Promise.all(
      this.#generations.current.map(({ supervisor }) => supervisor.swap(DEVELOPMENT_DRAIN_MS)),
    );
    const failure = failures.find((fault) => fault !== undefined);
    if (failure !== undefined && !this.#stopping) {
      const message = 'the application does not load';
      // Nothing has to be started again: that remedy would be wrong here.
      const error = failure.with({ remedy: 'correct the file and save it; gwanmun dev loads it again' });
      this.tell({ level: 'error', event: 'reload-failed', message, error });
    }
    return failure === undefined;
  }

  /** Replaces the workers of these numbers, or all, one after the other; each finishes what it has. */
  async restartWorkers(worker?: number): Promise<number[]> {
    await this.#reloadIsOver();
    const replaced: number[] = [];
    for (const pool of this.#generations.current) {
      for (const number of pool.supervisor.numbers) {
        if (worker !== undefined && number !== worker) continue;
        try {
          const isNew = await pool.supervisor.replace(number, this.#config.drainTimeout);
          // After a reload all workers are new.
          if (isNew || !this.#generations.current.includes(pool)) replaced.push(number);
        } catch (error) {
          throw placeError(fromCore(error), this.#config);
        }
      }
    }
    return replaced;
  }

  /**
   * Changes the number of workers of every pool: to `workers`, or by it. Stays within the configuration's bounds, or 1 to 1024 where it
   * has one number. Rejects with a GwanmunError if a worker does not start. Gives the number of workers of each pool.
   */
  async scale(workers: { readonly to: number } | { readonly by: number }): Promise<number[]> {
    await this.#reloadIsOver();
    const { workers: least, mostWorkers: most } = this.#config;
    if (this.#generations.current.length === 0) {
      throw new GwanmunError('GWM_CONTROL', 'This server has no application, and so no workers', {
        remedy: 'files are served by the I/O threads: see threads in the configuration',
      });
    }
    const [min, max] = least === most ? [1, MOST_WORKERS] : [least, most];
    for (const pool of this.#generations.current) {
      if (this.#stopping) break;
      const decide = (count: number): number =>
        Math.min(Math.max('to' in workers ? workers.to : count + workers.by, min), max);
      try {
        const { before, after } = await this.#upkeep.scale(pool, decide);
        if (after === before) continue;
        const message = `${after} ${after === 1 ? 'worker' : 'workers'} instead of ${before}, as requested`;
        this.tell({ level: 'info', event: 'scaled', message });
      } catch (error) {
        throw placeError(fromCore(error), this.#config);
      }
    }
    return this.#generations.current.map(({ supervisor }) => supervisor.count);
  }

  /** Writes what goes on to the log, with where the code is of workers that hang: for who ends a server that misbehaves. */
  async report(): Promise<void> {
    const status = this.status();
    const busy = this.#generations.every.map(({ supervisor }) =>
      supervisor.stacks((id) => (this.#upkeep.lag(id) ?? 0) >= REPORT_LAG_MS),
    );
    const stack = (await Promise.all(busy)).flat().join('\n');
    this.tell({
      level: 'error',
      event: 'report',
      message: `ended by SIGQUIT: ${JSON.stringify(status)}`,
      ...(stack === '' ? {} : { stack }),
    });
  }

  /** What goes on, for operators. */
  status(): ServerStatus {
    const { source, directory } = this.#config.origin;
    return {
      pid: process.pid,
      version: VERSION,
      config: source.name,
      directory: STARTED_IN,
      configDirectory: source.isTarget ? undefined : directory,
      uptime: Math.round(performance.now() - this.#startedAt),
      generation: this.#generations.number,
      state: this.#stopping ? 'stopping' : this.#reloading ? 'reloading' : 'serving',
      listen: JSON.parse(this.#core?.addresses() ?? '[]') as CoreAddress[],
      certificates: this.#certificates.store.status(),
      domains: this.#certificates.domains(),
      clientCertificates: this.#certificates.store.clientsStatus(),
      ...describeLoad(this.#generations, this.#coreStatus(), (id) => this.#upkeep.lag(id)),
    };
  }

  #makePools(config: ResolvedConfig, core: NativeCore, numberOf: (index: number) => number): Pool[] {
    const { closeFds } = loadNative();
    const { startTimeout } = config;
    let last = 0;
    return startersOf(config, this.#journal.printer(core), this.#onLoaded).map((spawn, index) => ({
      number: numberOf(index),
      supervisor: new Supervisor({
        core,
        closeFds,
        pool: numberOf(index),
        numbers: Array.from({ length: this.#countFor(config, index) }, () => (last += 1)),
        startTimeout,
        spawn,
        ...(this.#onLoaded === undefined ? {} : { spawnFailed: showing(config) }),
        tell: (event) => this.tell(event),
        onReady: (worker, pid) => this.#call('onWorkerStart', { worker, pid }),
        onExit: (exit) => this.#call('onWorkerExit', exit),
      }),
    }));
  }

  /** Addresses that a service manager has bound take the place of the configuration's. */
  #coreConfig(config: ResolvedConfig): CoreConfig {
    const core = toCoreConfig(config);
    return this.#inheritance?.isActivated === true
      ? { ...core, listen: [{ kind: 'inherited', like: [...config.listen] }] }
      : core;
  }

  #coreStatus(): Partial<CoreStatus> {
    return JSON.parse(this.#core?.status() ?? '{}') as Partial<CoreStatus>;
  }

  /** How many workers a pool begins with: where they are scaled, as many as serve now. */
  #countFor({ workers, mostWorkers }: ResolvedConfig, index: number): number {
    const now = workers === mostWorkers ? workers : (this.#generations.current[index]?.supervisor.count ?? workers);
    return Math.min(Math.max(now, workers), mostWorkers);
  }

  /** Opens the files of the logs anew by their names: they were moved away. */
  reopenLogs(): void {
    this.#core?.reopenLogs();
  }

  /** Says something in the log. */
  tell(event: ServerEvent): void {
    this.#journal.tell(event);
  }

  /** Stops accepting, lets requests in progress finish for `graceMs`, then ends connections and workers. Idempotent. */
  stop(graceMs: number = this.#config.shutdownTimeout): Promise<void> {
    // Who leaves takes its time; now it is to hurry.
    if (this.#isLeaving) this.#core?.close(graceMs);
    return (this.#stopping ??= this.#stop(graceMs));
  }

  /** The descriptors of its listening sockets, for a process that takes its place. */
  get sockets(): readonly number[] {
    return this.#core?.sockets() ?? [];
  }

  /** The keys of TLS session tickets, for a process that takes its place. They are secret. */
  get ticketKeys(): Uint8Array {
    return this.#core?.ticketKeys() ?? new Uint8Array();
  }

  /** Reads certificates as root, also for a process that takes this one's place. */
  get certificateReader(): CertificateReader | undefined {
    return this.#certificates.reader;
  }

  /** As {@link stop}, for when another process has its sockets: nobody is in a hurry, and no connection is closed without a word. */
  leave(): Promise<void> {
    this.#isLeaving = true;
    return (this.#stopping ??= this.#leave());
  }

  async #leave(): Promise<void> {
    // The other process sees to them from now on.
    await settles(this.#certificates.end(), CERTIFICATES_MS);
    const { drainTimeout, timeouts } = this.#config;
    const graceMs = Math.max(drainTimeout, timeouts.keepAliveMs) + CLOSE_SLACK_MS;
    this.#core?.leave(graceMs);
    await settles(this.#closed, graceMs + CLOSE_SLACK_MS);
    await this.#stop(0);
  }

  async #stop(graceMs: number): Promise<void> {
    const issuing = settles(this.#certificates.end(), CERTIFICATES_MS);
    this.#upkeep.end();
    for (const { supervisor } of this.#generations.every) supervisor.drain();
    if (this.#core) {
      this.#core.close(graceMs);
      if (!(await settles(this.#closed, graceMs + CLOSE_SLACK_MS))) {
        this.tell({
          level: 'warn',
          event: 'core',
          message: 'some connections did not close in time and were cut',
        });
        this.#core.close(0);
        await settles(this.#closed, CLOSE_SLACK_MS);
      }
    }
    await Promise.all(this.#generations.every.map(({ supervisor }) => supervisor.stop(WORKER_EXIT_MS)));
    await issuing;
    this.#core?.dispose();
  }

  #onEvent(event: CoreEvent): void {
    switch (event.type) {
      case 'worker-ready':
        for (const { supervisor } of this.#generations.every) supervisor.workerReady(event.worker);
        break;
      case 'worker-gone':
        for (const { supervisor } of this.#generations.every) supervisor.workerGone(event.worker, event.reason);
        break;
      case 'worker-late':
        void this.#upkeep.late(event.worker, event.request, event.stuck);
        break;
      case 'refused':
        // It is in the log.
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
