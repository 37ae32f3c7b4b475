// One process at a time, of all that have a storage in common: by files, since they need not have anything else in common.

import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const BEAT_MS = 5000;
/** A lock that has not beaten for so long is nobody's. */
const STALE_MS = 30_000;

interface Content {
  readonly id: string;
  readonly pid: number;
  /** Where that number means this process. */
  readonly space: string;
}

/** The locks in a folder. */
export class Locks {
  readonly #folder: string;
  /** Those of others: since when they have not beaten, by a clock that nobody sets. */
  readonly #seen = new Map<string, { readonly beat: string; readonly at: number }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Undefined: another one has it. */
  take(name: string): Lock | undefined {
    const path = join(this.#folder, name);
    const content: Content = { id: randomUUID(), pid: process.pid, space: space() };
    const temporary = `${path}.${content.id}.tmp`;
    writeFileSync(temporary, JSON.stringify(content), { mode: 0o600 });
    try {
      for (let attempt = 0; attempt < 2; attempt++) {
        try {
          linkSync(temporary, path);
          this.#seen.delete(path);
          return new Lock(path, content.id);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        if (!this.#breakStale(path)) return undefined;
      }
      return undefined;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Removes a lock that is nobody's. `false`: it is somebody's. */
  #breakStale(path: string): boolean {
    const before = look(path);
    if (before === undefined) return true;
    const known = this.#seen.get(path);
    const now = performance.now();
    if (known?.beat !== before.beat) this.#seen.set(path, { beat: before.beat, at: now });
    const isSilent = known?.beat === before.beat && now - known.at >= STALE_MS;
    if (!isSilent && !hasDied(before.content)) return false;
    // Another one may be about to do the same, and have the lock by now: what is moved away must be what was looked at.
    const aside = `${path}.${randomUUID()}.tmp`;
    try {
      renameSync(path, aside);
    } catch {
      return true;
    }
    const isTheSame = look(aside)?.beat === before.beat;
    if (!isTheSame) {
      try {
        linkSync(aside, path);
      } catch {
        // Its owner notices before it stores anything.
      }
    }
    rmSync(aside, { force: true });
    return isTheSame;
  }
}

/** A lock that this process has, for as long as it beats. */
export class Lock {
  readonly #path: string;
  readonly #id: string;
  readonly #timer: NodeJS.Timeout;

  constructor(path: string, id: string) {
    this.#path = path;
    this.#id = id;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS).unref();
  }

  /** Whether nobody has taken it for dead meanwhile. */
  isHeld(): boolean {
    return look(this.#path)?.content?.id === this.#id;
  }

  release(): void {
    clearInterval(this.#timer);
    if (this.isHeld()) rmSync(this.#path, { force: true });
  }

  #beat(): void {
    if (!this.isHeld()) return clearInterval(this.#timer);
    try {
      const now = new Date();
      utimesSync(this.#path, now, now);
    } catch {
      // Others will take it for dead: that is seen before anything is stored.
    }
  }
}

function look(path: string): { readonly beat: string; readonly content: Content | undefined } | undefined {
  try {
    const { ino, mtimeNs } = statSync(path, { bigint: true });
    const text = readFileSync(path, 'utf8');
    return { beat: `${ino} ${mtimeNs} ${text}`, content: parse(text) };
  } catch {
    return undefined;
  }
}

function parse(text: string): Content | undefined {
  try {
    const content = JSON.parse(text) as Content | null;
    return typeof content === 'object' && content !== null && Number.isSafeInteger(content.pid) ? content : undefined;
  } catch {
    return undefined;
  }
}

/** Certain only where process ids mean the same. */
function hasDied(content: Content | undefined): boolean {
  if (content === undefined || content.space !== space() || content.pid <= 0) return false;
  try {
    process.kill(content.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function space(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `${hostname()} ${process.pid}`;
  }
}
