// The core and its workers together: one running server.

import type { CoreAddress, CoreEvent } from '../config/core.js';
import { placeError } from '../config/origin.js';
import { toCoreConfig, type ResolvedConfig } from '../config/resolve.js';
import { formatError, fromCore, type GwanmunError } from '../errors.js';
import { loadNative, type NativeCore } from '../native.js';
import { nameHolder } from './socket-holder.js';
import { spawnPythonWorker } from './python-worker.js';
import { Supervisor, type SupervisorOptions } from './supervisor.js';
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
}

/** After the core has ended all connections, workers get this long to end. */
const WORKER_EXIT_MS = 3000;
/** The core ends every connection at the end of its grace; this much later it is taken to hang. */
const CLOSE_SLACK_MS = 2000;

/** The core, its workers, and the order in which they start and stop. */
export class Server {
  readonly #config: ResolvedConfig;
  readonly #log: (message: string, error?: GwanmunError) => void;
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #core: NativeCore | undefined;
  /** One for each pool of workers. */
  #supervisors: readonly Supervisor[] = [];
  #stopping: Promise<void> | undefined;

  constructor(config: ResolvedConfig, log: (message: string, error?: GwanmunError) => void) {
    this.#config = config;
    this.#log = log;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /**
   * Binds the addresses and starts the workers. Resolves when the listeners are bound and the first worker is ready, or
   * when {@link Server.stop} was called meanwhile; then with undefined. Rejects with a GwanmunError.
   */
  async start(): Promise<RunningServer | undefined> {
    const { Core, closeFds } = loadNative();
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
    const { startTimeout, workers } = this.#config;
    this.#supervisors = pools(this.#config, this.#printer(core)).map(
      (spawn, pool) =>
        new Supervisor({
          core,
          closeFds,
          pool,
          workers,
          firstNumber: pool * workers + 1,
          startTimeout,
          spawn,
          tell: (event) => this.#tell(event),
        }),
    );
    try {
      await Promise.all(this.#supervisors.map((supervisor) => supervisor.start()));
    } catch (error) {
      await this.stop(0);
      throw placeError(fromCore(error), this.#config);
    }
    return this.#stopping ? undefined : { addresses };
  }

  /** Stops accepting, lets requests in progress finish for `graceMs`, then ends connections and workers. Idempotent. */
  stop(graceMs: number = this.#config.shutdownTimeout): Promise<void> {
    return (this.#stopping ??= this.#stop(graceMs));
  }

  async #stop(graceMs: number): Promise<void> {
    for (const supervisor of this.#supervisors) supervisor.drain();
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
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop(WORKER_EXIT_MS)));
    this.#core?.dispose();
  }

  /** Whether the main process's own words go into the core's log; else they are for who watches standard error. */
  get #logsEvents(): boolean {
    const { format, file } = this.#config.errorLog;
    return format === 'json' || file !== undefined;
  }

  #tell({ level, event, message, worker, pid, error: fault }: ServerEvent): void {
    const error = fault && placeError(fault, this.#config);
    if (!this.#logsEvents || !this.#core) {
      this.#log(message, error);
      return;
    }
    this.#core.log({
      level,
      event,
      msg: message,
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
        for (const supervisor of this.#supervisors) supervisor.workerReady(event.worker);
        break;
      case 'worker-gone':
        for (const supervisor of this.#supervisors) supervisor.workerGone(event.worker, event.reason);
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

/** How the workers of each pool are started; the order is that of the core's pools. */
function pools(config: ResolvedConfig, print: Print | undefined): SupervisorOptions['spawn'][] {
  const { applications, wsgi, concurrency, errorLog } = config;
  const parent = process.pid;
  const requestIds = config.requestIds !== 'off';
  const capture = requestIds || errorLog.format === 'json';
  const modules: SupervisorOptions['spawn'] = (number, links) =>
    spawnWorker(number, links, { applications, concurrency, parent, requestIds, capture }, print);
  return [
    ...(applications.length > 0 ? [modules] : []),
    ...wsgi.map((application): SupervisorOptions['spawn'] => {
      return (number, links) => spawnPythonWorker(number, links, application, { concurrency, parent }, print);
    }),
  ];
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
