// With `user`, keys are root's and the main process is not root any more: a process of its own stays root, reads the files that the
// configuration names, and hands over what they hold. It goes over to the process that takes this one's place, too.

import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { PACKAGE } from '../package-folder.js';
import { parseJson } from '../parse-error.js';
import type { CertificateFiles, FileReading } from './files.js';
import { lines, type ReaderReply, type ReaderRequest } from './reader-protocol.js';

/** It says itself after 10 s that a file system does not answer. */
const PATIENCE_MS = 20_000;

/** The main process's end. */
export class CertificateReader implements CertificateFiles {
  readonly #socket: Socket;
  readonly #onChange: (paths: readonly string[]) => void;
  readonly #waiting = new Map<number, (readings: FileReading[] | undefined) => void>();
  /** The process before this one, whose place it has taken, has asked too. */
  #last = process.pid * 1000;
  #hasEnded = false;

  private constructor(socket: Socket, onChange: (paths: readonly string[]) => void, onLoss: () => void) {
    this.#socket = socket;
    this.#onChange = onChange;
    socket.unref();
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const settle of this.#waiting.values()) settle(undefined);
      if (!this.#hasEnded) onLoss();
    });
    lines(socket, (line) => this.#hear(line));
  }

  /** Starts the process, as the user that this one is. `onLoss` is told if it ends. */
  static start(onChange: (paths: readonly string[]) => void, onLoss: () => void): CertificateReader {
    const main = fileURLToPath(new URL('dist/certificates/reader-main.js', PACKAGE));
    const child = spawn(process.execPath, [main], {
      cwd: '/',
      // Nothing of the environment is for a process that stays root, and what a terminal sends to all is not for it.
      env: {},
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    });
    child.on('error', () => {});
    child.unref();
    return new CertificateReader(child.stdio[3] as Socket, onChange, onLoss);
  }

  /** Takes over the one of the process whose place this one takes. */
  static inherited(fd: number, onChange: (paths: readonly string[]) => void, onLoss: () => void): CertificateReader {
    return new CertificateReader(new Socket({ fd, readable: true, writable: true }), onChange, onLoss);
  }

  async read(paths: readonly string[]): Promise<FileReading[]> {
    const id = (this.#last += 1);
    const readings = await new Promise<FileReading[] | undefined>((resolve) => {
      if (this.#socket.destroyed) return resolve(undefined);
      const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      this.#waiting.set(id, (result) => {
        clearTimeout(timer);
        resolve(result);
      });
      // While somebody waits for it, the process does not end.
      this.#socket.ref();
      this.#send({ read: [...paths], id });
    });
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#socket.unref();
    const fault = 'cannot be read: the process that reads certificates as root does not answer; restart the server';
    return readings?.length === paths.length ? readings : paths.map(() => ({ fault, state: 'lost' }));
  }

  watch(states: ReadonlyMap<string, string>): void {
    this.#send({ watch: [...states] });
  }

  /** This process has no use for it any more. It ends when no process has. */
  end(): void {
    this.#hasEnded = true;
    // Without a word: another process may have the same connection.
    this.#socket.destroy();
  }

  /** Has another process use the connection, to which it is given: nothing is heard here meanwhile. */
  lend(): Socket {
    return this.#socket.pause();
  }

  /** The other process has not come about. */
  takeBack(): void {
    this.#socket.resume();
  }

  #send(request: ReaderRequest): void {
    if (!this.#socket.destroyed) this.#socket.write(`${JSON.stringify(request)}\n`);
  }

  #hear(line: string): void {
    // The beginning of a line may have been heard by another process.
    const reply = parseJson(line) as ReaderReply | undefined | null;
    if (typeof reply !== 'object' || reply === null) return;
    if ('changed' in reply) this.#onChange(reply.changed);
    else this.#waiting.get(reply.id)?.(reply.readings);
  }
}
