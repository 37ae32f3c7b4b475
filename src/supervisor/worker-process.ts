// One worker process: how it is started and what it tells.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { GwanmunError, type SerializedError } from '../errors.js';
import { prefixLines } from './lines.js';

/** The worker's ends of its links, as file descriptors of this process. */
export interface WorkerLinks {
  readonly marks: number;
  readonly links: readonly number[];
}

/** What a worker is told through its environment; the file descriptors come beside it in GWANMUN_LINKS. */
export interface WorkerSettings {
  /** Absolute paths of the application modules. */
  readonly applications: readonly string[];
  readonly concurrency: number;
  /** The main process's id: the worker ends when that process does. */
  readonly parent: number;
}

/** How a worker ended. */
export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why its applications did not load, if that was the reason. */
  readonly failure: GwanmunError | undefined;
}

/** A running worker. */
export interface WorkerProcess {
  readonly pid: number | undefined;
  /** Ends it at once. */
  kill(): void;
  /** Settles when it has ended and all that it printed has been passed on; never rejects. */
  readonly exited: Promise<WorkerExit>;
}

/** The worker's first descriptor after standard input, output, error and the channel for its start. */
const FIRST_LINK_FD = 4;

/** Starts a worker. The caller still owns its copies of the links and closes them. */
export function spawnWorker(number: number, { marks, links }: WorkerLinks, settings: WorkerSettings): WorkerProcess {
  const fds = links.map((_, index) => FIRST_LINK_FD + 1 + index);
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', ...process.execArgv, fileURLToPath(new URL('../worker/main.js', import.meta.url))],
    {
      // Its standard output is ours to pass on: the main process's standard output is the access log.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', marks, ...links],
      env: {
        ...process.env,
        GWANMUN_LINKS: `marks=${FIRST_LINK_FD};links=${fds.join(',')}`,
        GWANMUN_WORKER: JSON.stringify(settings),
      },
    },
  );
  const prefix = `[worker ${number}] `;
  for (const stream of [child.stdout, child.stderr]) if (stream) prefixLines(stream, process.stderr, prefix);

  let failure: GwanmunError | undefined;
  child.on('message', (message) => {
    if (isFailure(message)) failure = GwanmunError.fromJSON(message.failure);
  });
  const exited = new Promise<WorkerExit>((resolve) => {
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      const message = `worker ${number} could not be started: ${error.message}`;
      resolve({ code: null, signal: null, failure: new GwanmunError('GWM_WORKER_EXITED', message, { cause: error }) });
    });
    // 'close' and not 'exit': what it printed last and its message are then here too. A grandchild that holds the
    // pipes open must not hide the death, hence the second way out.
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => resolve({ code, signal, failure }), 500);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal, failure });
      });
    });
  });
  return { pid: child.pid, kill: () => void child.kill('SIGKILL'), exited };
}

function isFailure(message: unknown): message is { failure: SerializedError } {
  return typeof message === 'object' && message !== null && 'failure' in message;
}
