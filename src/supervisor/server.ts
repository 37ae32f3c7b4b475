// The core and its workers together: one running server.

import type { CoreAddress, CoreEvent } from '../config/core.js';
import { toCoreConfig, type ResolvedConfig } from '../config/resolve.js';
import { fromCore, type GwanmunError } from '../errors.js';
import { loadNative, type NativeCore } from '../native.js';
import { spawnPythonWorker } from './python-worker.js';
import { Supervisor, type SupervisorOptions } from './supervisor.js';
import { spawnWorker } from './worker-process.js';

/** A server that listens and whose applications are ready. */
export interface RunningServer {
  /** Where it really listens: a port 0 has become a number. */
  readonly addresses: readonly CoreAddress[];
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
    const { Core, closeFds } = await loadNative();
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
      throw fromCore(error);
    }
    const { startTimeout, workers } = this.#config;
    this.#supervisors = pools(this.#config).map(
      (spawn, pool) =>
        new Supervisor({
          core,
          closeFds,
          pool,
          workers,
          firstNumber: pool * workers + 1,
          startTimeout,
          spawn,
          log: this.#log,
        }),
    );
    try {
      await Promise.all(this.#supervisors.map((supervisor) => supervisor.start()));
    } catch (error) {
      await this.stop(0);
      throw fromCore(error);
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
        this.#log('connections did not close in time; they are cut');
        this.#core.close(0);
        await settles(this.#closed, CLOSE_SLACK_MS);
      }
    }
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop(WORKER_EXIT_MS)));
    this.#core?.dispose();
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
function pools({ applications, wsgi, concurrency }: ResolvedConfig): SupervisorOptions['spawn'][] {
  const parent = process.pid;
  const modules: SupervisorOptions['spawn'] = (number, links) =>
    spawnWorker(number, links, { applications, concurrency, parent });
  return [
    ...(applications.length > 0 ? [modules] : []),
    ...wsgi.map((application): SupervisorOptions['spawn'] => {
      return (number, links) => spawnPythonWorker(number, links, application, { concurrency, parent });
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
