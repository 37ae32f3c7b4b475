// Another process that takes this one's place, with every listening socket: the upgrade to another version of gwanmun or of Node.

import { spawn } from 'node:child_process';
import { closeSync, readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import type { CertificateReader } from '../certificates/reader.js';
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
  /** Reads certificates as root; the successor gets the connection to it. */
  readonly reader: CertificateReader | undefined;
  /** Keys of session tickets, which the successor takes over. */
  readonly ticketKeys: Uint8Array;
  /** For the successor alone. */
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until it has to serve. */
  readonly patience: number;
}

/** How many bytes the predecessor has written to its end of the report: they are in no file, no argument and no environment. */
const SECRET = 'GWANMUN_SECRET';

/** The keys of session tickets that the predecessor had; undefined if there is none. To be called once, before anything is reported. */
export function takeTicketKeys(env: NodeJS.ProcessEnv = process.env): Buffer | undefined {
  const length = Number(env[SECRET]);
  delete env[SECRET];
  if (!Number.isSafeInteger(length) || length <= 0 || length > MOST_SECRET) return undefined;
  const keys = Buffer.alloc(length);
  for (let read = 0; read < length;) {
    const count = readSync(REPORT_FD, keys, read, length - read, null);
    if (count === 0) return undefined;
    read += count;
  }
  return keys;
}

/** Some keys of some bytes: they fit into a socket's buffer. */
const MOST_SECRET = 4096;

/** Starts it by the command line that this process was started by, in the folder of that name. Gives its process id when it serves; rejects with GWM_SUCCESSOR. */
export function startSuccessor({
  sockets,
  isActivated,
  reader,
  ticketKeys,
  env,
  patience,
}: SuccessorOptions): Promise<number> {
  const [, main = '', ...args] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, byName(main), ...args], {
    cwd: STARTED_IN,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', ...sockets, ...(reader === undefined ? [] : [reader.lend()])],
    env: {
      ...process.env,
      PWD: STARTED_IN,
      ...env,
      ...bequest(FIRST_FD, sockets.length, isActivated, reader !== undefined),
      [SECRET]: String(ticketKeys.length),
    },
  });
  const secret = child.stdio[REPORT_FD];
  if (secret instanceof Duplex && ticketKeys.length > 0) secret.write(ticketKeys);
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      report.close();
      reader?.takeBack();
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
