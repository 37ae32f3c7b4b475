// The files of certificates and keys: read so that nothing half-written is taken, and watched whatever way they are renewed.

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
  watch,
  type BigIntStats,
  type FSWatcher,
  type Stats,
} from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { NativeBinding } from '../native.js';

/** What a file held. */
export interface FileText {
  readonly text: string;
  /** Equal for as long as the file is the same: {@link stateOf}. */
  readonly state: string;
  /** Every user of the machine may read it, and no container's secret is mounted there. */
  readonly isOpenToAll: boolean;
}

/** Why it could not be read; `fault` completes "the file …". */
export interface FileFault {
  readonly fault: string;
  readonly state: string;
}

export type FileReading = FileText | FileFault;

/** Who reads the files: this process, or another one that may. */
export interface CertificateFiles {
  /** Reads them all at one moment. Never rejects, and takes seconds if a file system does not answer. */
  read(paths: readonly string[]): Promise<FileReading[]>;
  /** Watches these from now on, and no others. Each has the state that it was last read in. */
  watch(states: ReadonlyMap<string, string>): void;
  /** Whoever else has them in use, this process does not. */
  end(): void;
}

/** A chain of certificates has some thousand bytes. */
const MOST_BYTES = 1_048_576;
/** Files that are being written are read again so many times, */
const ATTEMPTS = 10;
/** after so long. */
const PAUSE_MS = 100;

export class LocalFiles implements CertificateFiles {
  readonly #silentPaths: NativeBinding['silentPaths'];
  readonly #denied: string;
  readonly #watch: Watch;

  /** `onChange` is told of those that are not what they were. `denied`: what else there is to say of one that may not be read. */
  constructor(silentPaths: NativeBinding['silentPaths'], onChange: (paths: readonly string[]) => void, denied = '') {
    this.#silentPaths = silentPaths;
    this.#denied = denied;
    this.#watch = new Watch(silentPaths, onChange);
  }

  async read(paths: readonly string[]): Promise<FileReading[]> {
    const areSilent = await this.#silentPaths([...paths]);
    const isSilent = (index: number): boolean => areSilent[index] === true;
    const states = (): string[] => paths.map((path, index) => (isSilent(index) ? SILENT : stateOf(path)));
    for (let attempt = 1; ; attempt++) {
      const before = states();
      const readings = paths.map((path, index) =>
        isSilent(index)
          ? { fault: 'has not answered for 10 s: check its disk, or the server that the disk is on', state: SILENT }
          : read(path, this.#denied),
      );
      const areStable = states().every((state, index) => state === before[index] && readings[index]?.state === state);
      if (areStable) return readings;
      if (attempt === ATTEMPTS) return before.map((state) => ({ fault: 'changes while it is read', state }));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  watch(states: ReadonlyMap<string, string>): void {
    this.#watch.follow(states);
  }

  end(): void {
    this.#watch.end();
  }
}

const SILENT = 'silent';

/** What tells whether a path still leads to the same file with the same content, or the code of the system's error. */
export function stateOf(path: string): string {
  try {
    return identity(statSync(path, { bigint: true }));
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

function identity({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(':');
}

function read(path: string, denied: string): FileReading {
  let fd: number;
  try {
    // A pipe in its place must not keep anybody waiting.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    return { fault: whyNot(path, error as NodeJS.ErrnoException, denied), state: stateOf(path) };
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    const state = identity(stats);
    if (!stats.isFile()) return { fault: stats.isDirectory() ? 'is a folder' : 'is not a file', state };
    if (stats.size > MOST_BYTES) return { fault: `has ${stats.size} bytes, more than a certificate can have`, state };
    const bytes = Buffer.alloc(Number(stats.size));
    let length = 0;
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, length);
    }
    const isOpenToAll = (stats.mode & 0o004n) !== 0n && !isMounted(path);
    return { text: bytes.toString('utf8', 0, length), state, isOpenToAll };
  } catch (error) {
    return { fault: whyNot(path, error as NodeJS.ErrnoException, denied), state: stateOf(path) };
  } finally {
    closeSync(fd);
  }
}

function whyNot(path: string, { code, message }: NodeJS.ErrnoException, denied: string): string {
  switch (code) {
    case 'ENOENT':
      return 'does not exist';
    case 'EACCES': {
      const who = `this user (${process.geteuid?.()})`;
      const stats = statOrNothing(path);
      return stats === undefined
        ? `may not be read by ${who}, nor may a folder above it; namei -l ${path} shows which${denied}`
        : `may not be read by ${who}: it belongs to user ${stats.uid}, its mode is ${(stats.mode & 0o777).toString(8).padStart(4, '0')}${denied}`;
    }
    default:
      return `cannot be read: ${message}`;
  }
}

function statOrNothing(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Below the link by which Kubernetes swaps the files of a secret: their modes are the cluster's. */
function isMounted(path: string): boolean {
  return stepsOf(path).some(({ name }) => name === '..data');
}

/** What a path depends on: each symbolic link on the way, and the file. */
interface Step {
  readonly folder: string;
  readonly name: string;
}

/** As the kernel has it. */
const MOST_LINKS = 40;

function stepsOf(path: string): Step[] {
  const steps: Step[] = [];
  let folder = '/';
  let links = 0;
  const rest = path.split('/');
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '' || name === '.') continue;
    const here = join(folder, name);
    const target = name === '..' ? undefined : linkAt(here);
    if (target !== undefined && links++ < MOST_LINKS) {
      steps.push({ folder, name });
      if (isAbsolute(target)) folder = '/';
      rest.unshift(...target.split('/'));
      continue;
    }
    if (rest.every((one) => one === '')) steps.push({ folder, name });
    folder = here;
  }
  return steps;
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** After a change nothing more has to come for so long, */
const QUIET_MS = 1000;
/** but no longer than so long is waited. */
const MOST_WAIT_MS = 5000;
/** Without any event: network file systems tell of none, and the number of watches is limited. */
const POLL_MS = 60_000;
/** The longest pause while a file system does not answer: each look leaves a thread behind. */
const MOST_POLL_MS = 3_600_000;

/** Looks at files when something happens in the folders that they are reached by, and every minute. */
class Watch {
  readonly #silentPaths: NativeBinding['silentPaths'];
  readonly #onChange: (paths: readonly string[]) => void;
  #states = new Map<string, string>();
  readonly #folders = new Map<string, WatchedFolder>();
  #poll: NodeJS.Timeout | undefined;
  #pollMs = POLL_MS;
  #quiet: NodeJS.Timeout | undefined;
  #since: number | undefined;
  #isLooking = false;
  #hasEnded = false;

  constructor(silentPaths: NativeBinding['silentPaths'], onChange: (paths: readonly string[]) => void) {
    this.#silentPaths = silentPaths;
    this.#onChange = onChange;
  }

  follow(states: ReadonlyMap<string, string>): void {
    this.#states = new Map(states);
    // What has changed since it was read has told nobody.
    void this.#look(false);
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#poll);
    clearTimeout(this.#quiet);
    this.#arrange([]);
  }

  /** Something has happened: more may follow. */
  #stir(): void {
    if (this.#hasEnded) return;
    const now = performance.now();
    this.#since ??= now;
    clearTimeout(this.#quiet);
    const wait = Math.min(QUIET_MS, Math.max(0, this.#since + MOST_WAIT_MS - now));
    this.#quiet = setTimeout(() => {
      this.#since = undefined;
      void this.#look(true);
    }, wait).unref();
  }

  /** `isQuiet`: for a while nothing has happened; else what has changed may be changing still. */
  async #look(isQuiet: boolean): Promise<void> {
    // The one that is at it may have passed what has changed.
    if (this.#isLooking) return this.#stir();
    this.#isLooking = true;
    const states = this.#states;
    const paths = [...states.keys()];
    const areSilent = paths.length === 0 ? [] : await this.#silentPaths(paths);
    this.#isLooking = false;
    if (this.#hasEnded) return;
    if (states !== this.#states) return this.#look(false);
    const answering = paths.filter((_, index) => areSilent[index] !== true);
    this.#arrange(answering);
    const changed = answering.flatMap((path) => {
      const state = stateOf(path);
      return state === states.get(path) ? [] : [{ path, state }];
    });
    this.#pollMs = answering.length === paths.length ? POLL_MS : Math.min(this.#pollMs * 2, MOST_POLL_MS);
    clearTimeout(this.#poll);
    if (paths.length > 0) this.#poll = setTimeout(() => void this.#look(false), this.#pollMs).unref();
    if (changed.length === 0) return;
    if (!isQuiet) return this.#stir();
    for (const { path, state } of changed) states.set(path, state);
    this.#onChange(changed.map(({ path }) => path));
  }

  /** Watches the folders that these paths lead through now: a link may lead elsewhere by the next time. */
  #arrange(paths: readonly string[]): void {
    const wanted = new Map<string, Set<string>>();
    for (const { folder, name } of paths.flatMap(stepsOf)) {
      const names = wanted.get(folder);
      if (names === undefined) wanted.set(folder, new Set([name]));
      else names.add(name);
    }
    for (const [folder, watched] of this.#folders) {
      if (wanted.has(folder) && watched.isCurrent(folder)) continue;
      watched.close();
      this.#folders.delete(folder);
    }
    for (const [folder, names] of wanted) {
      const watched = this.#folders.get(folder) ?? WatchedFolder.open(folder, () => this.#stir());
      if (watched === undefined) continue;
      watched.names = names;
      this.#folders.set(folder, watched);
    }
  }
}

class WatchedFolder {
  names: ReadonlySet<string> = new Set();
  readonly #watcher: FSWatcher;
  readonly #state: string;

  private constructor(watcher: FSWatcher, state: string, stir: () => void) {
    this.#watcher = watcher;
    this.#state = state;
    // A folder that goes is told by an error, or by its own name; the next look sees what is there then.
    watcher.on('error', stir);
    watcher.on('change', (_, name) => {
      if (name === null || this.names.has(String(name))) stir();
    });
  }

  /** Undefined if the system has no more watches, or the folder is not there: then there is the minute's look. */
  static open(folder: string, stir: () => void): WatchedFolder | undefined {
    try {
      const state = folderState(folder);
      return new WatchedFolder(watch(folder, { persistent: false }), state, stir);
    } catch {
      return undefined;
    }
  }

  /** Whether the folder of this name is still the one that is watched. */
  isCurrent(folder: string): boolean {
    return folderState(folder) === this.#state;
  }

  close(): void {
    this.#watcher.close();
  }
}

function folderState(folder: string): string {
  const stats = statOrNothing(folder);
  return `${stats?.dev}:${stats?.ino}`;
}
