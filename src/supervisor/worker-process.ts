// One worker process: how it is started and what it tells.

import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ResolvedApplication } from '../config/resolve.js';
import { GwanmunError, type SerializedError } from '../errors.js';
import { prefixLines, readLines } from './lines.js';

/** The worker's ends of its links, as file descriptors of this process. */
export interface WorkerLinks {
  readonly marks: number;
  readonly links: readonly number[];
}

/** What a worker is told through its environment; the file descriptors come beside it in GWANMUN_LINKS. */
export interface WorkerSettings {
  readonly applications: readonly ResolvedApplication[];
  readonly concurrency: number;
  /** The main process's id: the worker ends when that process does. */
  readonly parent: number;
  /** Requests have ids, and code of the application is to know its request's. */
  readonly requestIds: boolean;
  /** What the application prints goes to the log over the links, as events. */
  readonly capture: boolean;
  /** Errors are shown to clients. */
  readonly development: boolean;
  /** In development: why the applications do not load. The worker shows this instead of them. */
  readonly failure?: SerializedError | undefined;
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
export const FIRST_LINK_FD = 4;

/** GWANMUN_LINKS for a worker's links. */
export function linksVariable(links: readonly number[]): string {
  return `marks=${FIRST_LINK_FD};links=${links.map((_, index) => FIRST_LINK_FD + 1 + index).join(',')}`;
}

/** Takes a line that a worker printed. */
export type Print = (stream: 'stdout' | 'stderr', line: string, worker: number, pid: number) => void;

/**
 * Starts a worker. The caller still owns its copies of the links and closes them. What the worker prints goes to `print`, or to
 * standard error with the worker's number.
 */
export function spawnWorker(
  number: number,
  { marks, links }: WorkerLinks,
  settings: WorkerSettings,
  print?: Print,
): WorkerProcess {
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', ...process.execArgv, fileURLToPath(new URL('../worker/main.js', import.meta.url))],
    {
      // Its standard output is ours to pass on: the main process's standard output is the access log.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', marks, ...links],
      env: {
        ...process.env,
        GWANMUN_LINKS: linksVariable(links),
        GWANMUN_WORKER: JSON.stringify(settings),
      },
    },
  );
  let failure: GwanmunError | undefined;
  child.on('message', (message) => {
    if (isFailure(message)) failure = GwanmunError.fromJSON(message.failure);
  });
  return followWorker(number, child, () => failure, print);
}

/** Passes on what a worker prints, and waits for its end. `failure` is asked then why its application did not load. */
export function followWorker(
  number: number,
  child: ChildProcess,
  failure: () => GwanmunError | undefined,
  print?: Print,
): WorkerProcess {
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = child[name];
    // Without descriptors left there is neither a process nor its streams.
    if (!stream) continue;
    if (print === undefined) prefixLines(stream, process.stderr, `[worker ${number}] `);
    else readLines(stream, (lines) => lines.forEach((line) => print(name, line, number, child.pid ?? 0)));
  }
  const exited = new Promise<WorkerExit>((resolve) => {
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      const { code } = error as NodeJS.ErrnoException;
      const fault =
        failure() ??
        new GwanmunError(
          code === 'EMFILE' || code === 'ENFILE' ? 'GWM_FD_LIMIT' : 'GWM_WORKER_EXITED',
          `Worker ${number} could not be started: ${error.message}`,
          { cause: error },
        );
      resolve({ code: null, signal: null, failure: fault });
    });
    // 'close' and not 'exit': what it printed last and its message are then here too. A grandchild that holds the
    // pipes open must not hide the death, hence the second way out.
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => resolve({ code, signal, failure: failure() }), 500);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal, failure: failure() });
      });
    });
  });
  return { pid: child.pid, kill: () => void child.kill('SIGKILL'), exited };
}

function isFailure(message: unknown): message is { failure: SerializedError } {
  return typeof message === 'object' && message !== null && 'failure' in message;
}
