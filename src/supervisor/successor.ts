// Another process that takes this one's place, with every listening socket: the upgrade to another version of gwanmun or of Node.

import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { GwanmunError } from '../errors.js';
import { bequest } from './inheritance.js';

/** The successor's first socket, behind standard input, output, error and the channel on which it says that it serves. */
const FIRST_FD = 4;

/** Where this process was started, by the name that the shell has for it: that of a symbolic link may stand for another folder by now. */
const STARTED_IN = startedIn();

export interface SuccessorOptions {
  readonly sockets: readonly number[];
  readonly isActivated: boolean;
  /** For the successor alone. */
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until it has to serve. */
  readonly patience: number;
}

/** Starts it by the command line that this process was started by. Gives its process id when it serves; rejects with GWM_SUCCESSOR. */
export function startSuccessor({ sockets, isActivated, env, patience }: SuccessorOptions): Promise<number> {
  const [, main = '', ...args] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, main, ...args], {
    cwd: STARTED_IN,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...sockets],
    env: { ...process.env, ...env, ...bequest(FIRST_FD, sockets.length, isActivated) },
  });
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new GwanmunError('GWM_SUCCESSOR', `The new process ${what}; everything goes on as it was`));
    };
    const timer = setTimeout(() => fail(`does not serve after ${patience} ms`), patience);
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => fail(signal === null ? `ended with ${code}` : `was ended by ${signal}`));
    child.once('message', () => {
      clearTimeout(timer);
      child.removeAllListeners('exit');
      child.disconnect();
      child.unref();
      resolve(child.pid ?? 0);
    });
  });
}

/** Says to the predecessor that this process serves. */
export function tellPredecessor(): void {
  process.send?.('serving', () => process.disconnect());
}

function startedIn(): string {
  const { PWD } = process.env;
  try {
    if (PWD !== undefined && realpathSync(PWD) === process.cwd()) return PWD;
  } catch {
    // It is gone.
  }
  return process.cwd();
}
