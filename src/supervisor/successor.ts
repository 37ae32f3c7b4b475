// Another process that takes this one's place, with every listening socket: the upgrade to another version of gwanmun or of Node.

import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { GwanmunError } from '../errors.js';
import { bequest } from './inheritance.js';
import { Report, REPORT_FD } from './report.js';
import { byName, STARTED_IN } from './started-in.js';

/** The successor's first socket, behind standard input, output, error and its report. */
const FIRST_FD = REPORT_FD + 1;

/** The line by which it says that it serves. */
const SERVING = 'serving';

export interface SuccessorOptions {
  readonly sockets: readonly number[];
  readonly isActivated: boolean;
  /** For the successor alone. */
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until it has to serve. */
  readonly patience: number;
}

/** Starts it by the command line that this process was started by, in the folder of that name. Gives its process id when it serves; rejects with GWM_SUCCESSOR. */
export function startSuccessor({ sockets, isActivated, env, patience }: SuccessorOptions): Promise<number> {
  const [, main = '', ...args] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, byName(main), ...args], {
    cwd: STARTED_IN,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', ...sockets],
    env: { ...process.env, PWD: STARTED_IN, ...env, ...bequest(FIRST_FD, sockets.length, isActivated) },
  });
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      report.close();
      reject(new GwanmunError('GWM_SUCCESSOR', `The new process ${what}; everything goes on as it was`));
    };
    const timer = setTimeout(() => fail(`does not serve ${patience} ms after its start`), patience);
    child.on('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => fail(signal === null ? `ended with ${code}` : `was ended by ${signal}`));
    const report = new Report(child, () => {
      // The configuration's code may have written there too.
      if (!report.text.split('\n').includes(SERVING)) return;
      clearTimeout(timer);
      child.removeAllListeners('exit');
      report.close();
      child.unref();
      resolve(child.pid ?? 0);
    });
  });
}

/** Says to the predecessor that this process serves. */
export function tellPredecessor(): void {
  try {
    writeSync(REPORT_FD, `${SERVING}\n`);
    closeSync(REPORT_FD);
  } catch {
    // It has ended meanwhile.
  }
}
