// Watches the source files of a project, and whatever else it loads.

import { existsSync, realpathSync, statSync, watch as watchFolder, type FSWatcher } from 'node:fs';
import { basename, dirname, extname, join, relative, sep } from 'node:path';
import { watch } from 'chokidar';
import { systemFault, type GwanmunError } from '../errors.js';

/** What an application is made of. Files that are served need no reload. */
const SOURCES = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.tsx', '.jsx', '.json', '.py']);
const IGNORED = new Set(['node_modules', '__pycache__', 'venv', 'site-packages']);
/** An editor or a checkout writes several files: they are one change. */
const QUIET_MS = 50;
/** A folder that is built anew is gone for a while. */
const ABSENT_MS = 300;
/** Of files outside of the project: what workers say has a bound. */
const MOST_FILES = 20_000;

/** What is told of the files. */
export interface Watching {
  /** They have changed, by their real paths. */
  readonly onChange: (files: string[]) => void;
  /** Told once, that from here on not all is watched. */
  readonly onFault: (fault: GwanmunError) => void;
}

/** The files that a server in development is made of. */
export class Sources {
  readonly #watching: Watching;
  #folders: readonly string[] = [];
  /** Files outside of the folders, by the folder that each is in. */
  readonly #loaded = new Map<string, Set<string>>();
  readonly #watchers = new Map<string, FSWatcher>();
  #count = 0;
  readonly #changed = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #hasFault = false;

  constructor(watching: Watching) {
    this.#watching = watching;
  }

  /** Watches folders with all sources in them. Resolves when it does, or rejects with GWM_WATCH_LIMIT. Called once. */
  async watchFolders(folders: readonly string[]): Promise<void> {
    this.#folders = folders.map(realPath);
    const watcher = watch([...folders], {
      ignoreInitial: true,
      ignored: (path, stats) => {
        if (!folders.includes(path) && isIgnored(basename(path))) return true;
        return stats?.isFile() === true && !SOURCES.has(extname(path));
      },
    });
    watcher.on('all', (event, path) => {
      if (event !== 'addDir' && event !== 'unlinkDir') this.#change(path);
    });
    await new Promise<void>((resolve, reject) => {
      watcher.once('ready', resolve);
      watcher.once('error', (error) => {
        void watcher.close();
        reject(systemFault(error) ?? (error as Error));
      });
    });
    watcher.on('error', (error) => this.#fault(error));
  }

  /** Watches files wherever they lie. They were read after `since`, a time of Date: one that has changed from then on is told. */
  add(files: readonly string[], since: number): void {
    for (const file of files.map(realPath)) {
      const folder = dirname(file);
      const others = this.#loaded.get(folder);
      if (others?.has(file) === true || this.#isWatched(file) || this.#count >= MOST_FILES) continue;
      this.#count += 1;
      if (others === undefined) {
        this.#loaded.set(folder, new Set([file]));
        this.#watch(folder);
      } else others.add(file);
      if ((statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) > since) this.#change(file);
    }
  }

  /** Whether a file is among those of the folders. */
  #isWatched(file: string): boolean {
    return this.#folders.some((folder) => {
      const parts = relative(folder, file).split(sep);
      return parts[0] !== '..' && !parts.some(isIgnored) && SOURCES.has(extname(file));
    });
  }

  /** Watches a folder's own files. It is the folder that is, since editors replace files. */
  #watch(folder: string): void {
    if (this.#watchers.has(folder)) return;
    let watcher: FSWatcher;
    try {
      watcher = watchFolder(folder, { persistent: false });
    } catch (error) {
      if (existsSync(folder)) this.#fault(error);
      else this.#await(folder);
      return;
    }
    this.#watchers.set(folder, watcher);
    watcher.on('error', (error) => this.#fault(error));
    watcher.on('change', (_, given) => {
      const name = String(given);
      const file = join(folder, name);
      if (this.#loaded.get(folder)?.has(file) === true) this.#change(file);
      // So it is told that the folder itself was moved or removed.
      else if (name === basename(folder)) this.#watchAnew(folder, watcher);
    });
  }

  #watchAnew(folder: string, watcher: FSWatcher): void {
    watcher.close();
    this.#watchers.delete(folder);
    this.#await(folder);
  }

  /** A folder is not there: its files are looked at once it is. */
  #await(folder: string): void {
    setTimeout(() => {
      this.#watch(folder);
      if (!this.#watchers.has(folder)) return;
      for (const file of this.#loaded.get(folder) ?? []) if (existsSync(file)) this.#change(file);
    }, ABSENT_MS).unref();
  }

  #change(path: string): void {
    this.#changed.add(realPath(path));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const files = [...this.#changed];
      this.#changed.clear();
      this.#watching.onChange(files);
    }, QUIET_MS);
  }

  /** Another file that cannot be watched is no reason to say more. */
  #fault(error: unknown): void {
    const fault = systemFault(error);
    if (fault === undefined || this.#hasFault) return;
    this.#hasFault = true;
    this.#watching.onFault(fault);
  }
}

function isIgnored(name: string): boolean {
  return IGNORED.has(name) || (name.startsWith('.') && name.length > 1);
}

/** One file has one name, whatever links lead to it. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
