// One worker process: how it is started and what it tells.

import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ResolvedApplication } from '../config/resolved.js';
import { GwanmunError, systemFault, type SerializedError } from '../errors.js';
import { PACKAGE } from '../package-folder.js';
import { parseError, parseJson } from '../parse-error.js';
import { framesOf, withoutOwnFrames } from '../stack.js';
import { prefixLines, readLines } from './lines.js';
import { Report, REPORT_FD, type OnLoaded } from './report.js';

/** The worker's ends of its links, as file descriptors of this process. */
export interface WorkerLinks {
  readonly memory: number;
  readonly links: readonly number[];
}

/** What a worker is told through its environment; the file descriptors come beside it in GWANMUN_LINKS. */
export interface WorkerSettings {
  readonly applications: readonly ResolvedApplication[];
  readonly concurrency: number;
  /** Milliseconds that a request may have the worker to itself; 0: any. */
  readonly timeout: number;
  /** The main process's id: the worker ends when that process does. */
  readonly parent: number;
  /** Requests have ids, and code of the application is to know its request's. */
  readonly requestIds: boolean;
  /** What the application prints goes to the log over the links, as events. */
  readonly capture: boolean;
  /** Errors are shown to clients. */
  readonly development: boolean;
  /** Where a worker whose applications do not load writes why, as a SerializedError in JSON, and where it is asked for its stack. */
  readonly report: number;
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
  /** Ends it at once, or asks it to end. */
  kill(signal?: 'SIGTERM' | 'SIGKILL'): void;
  /** Where its code is, as a stack of the user's frames; undefined if it does not say. Never rejects. */
  stack(): Promise<string | undefined>;
  /** Settles when it has ended; never rejects. */
  readonly died: Promise<void>;
  /** Settles when it has ended and all that it printed has been passed on; never rejects. */
  readonly exited: Promise<WorkerExit>;
}

/** The worker's first descriptor after standard input, output, error and its report. */
export const FIRST_LINK_FD = REPORT_FD + 1;

/** GWANMUN_LINKS for a worker's links. */
export function linksVariable(links: readonly number[]): string {
  return `memory=${FIRST_LINK_FD};links=${links.map((_, index) => FIRST_LINK_FD + 1 + index).join(',')}`;
}

/** Takes a line that a worker printed. */
export type Print = (stream: 'stdout' | 'stderr', line: string, worker: number, pid: number) => void;

/**
 * Starts a worker in the folder `cwd`. The caller still owns its copies of the links and closes them. What the worker prints goes to `print`, or to
 * standard error with the worker's number. In development `onLoaded` is told what it loads.
 */
export function spawnWorker(
  number: number,
  { memory, links }: WorkerLinks,
  settings: Omit<WorkerSettings, 'report'>,
  cwd: string,
  print?: Print,
  onLoaded?: OnLoaded,
): WorkerProcess {
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      // Whoever has inspectors opened, by --inspect or NODE_OPTIONS, gets one for each worker, at any free port.
      ...(process.features.inspector ? ['--inspect-port=0'] : []),
      ...process.execArgv,
      fileURLToPath(new URL('dist/worker/main.js', PACKAGE)),
    ],
    {
      cwd,
      // Its standard output is ours to pass on: the main process's standard output is the access log.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', memory, ...links],
      env: {
        ...process.env,
        GWANMUN_LINKS: linksVariable(links),
        GWANMUN_WORKER: JSON.stringify({ ...settings, report: REPORT_FD }),
      },
    },
  );
  const report = new Report(child, undefined, onLoaded);
  const worker = followWorker(
    number,
    child,
    () => parseError(parseJson(report.text)),
    async () => userFrames(await report.answer(() => report.ask())),
    print,
  );
  // What it has forked may hold the other end.
  void worker.exited.then(() => report.close());
  return worker;
}

/** Why there is no process: `known` only if the system had none of its reasons. */
function notStarted(number: number, error: Error, known: GwanmunError | undefined): GwanmunError {
  const fault = systemFault(error);
  const message = `Worker ${number} could not be started: ${(fault ?? error).message}`;
  return fault?.with({ message }) ?? known ?? new GwanmunError('GWM_WORKER_EXITED', message, { cause: error });
}

/** The frames of a stack that are the user's, or all if there are none. */
function userFrames(stack: string): string | undefined {
  const frames = framesOf(stack).filter((line) => !/\(eval at |<anonymous>:1:/.test(line));
  return frames.length === 0 ? undefined : withoutOwnFrames(frames.join('\n'));
}

/**
 * Passes on what a worker prints, and waits for its end. `failure` is asked then why its application did not load; `ask` finds out
 * where its code is.
 */
export function followWorker(
  number: number,
  child: ChildProcess,
  failure: () => GwanmunError | undefined,
  ask: (pid: number) => Promise<string | undefined>,
  print?: Print,
): WorkerProcess {
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = child[name];
    // Without descriptors left there is neither a process nor its streams.
    if (!stream) continue;
    if (print === undefined) prefixLines(stream, process.stderr, `[worker ${number}] `);
    else {
      readLines(stream, (lines) => {
        for (const line of lines) print(name, line, number, child.pid ?? 0);
      });
    }
  }
  const died = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.on('error', () => child.pid === undefined && resolve());
  });
  const exited = new Promise<WorkerExit>((resolve) => {
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      resolve({ code: null, signal: null, failure: notStarted(number, error, failure()) });
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
  const stack = async (): Promise<string | undefined> => {
    try {
      return child.pid === undefined ? undefined : await ask(child.pid);
    } catch {
      // It has ended.
      return undefined;
    }
  };
  return { pid: child.pid, kill: (signal = 'SIGKILL') => void child.kill(signal), stack, died, exited };
}
