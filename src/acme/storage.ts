// What is kept between starts: the account, certificates with their keys, what is known of each name. A file is whole at every instant,
// and one that is damaged costs nobody but itself.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fchownSync,
  fsyncSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeSync,
  type FSWatcher,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { GwanmunError } from '../errors.js';

/** Folders of a storage. What has one file alone lies beside them. */
const FOLDERS = ['certificates', 'names', 'challenges', 'locks', 'damaged'] as const;
export type Folder = Exclude<(typeof FOLDERS)[number], 'locks' | 'damaged'>;

/** A file that a process had begun when it ended is nobody's after this. */
const LEFT_BEHIND_MS = 3_600_000;

/** The user whose the files are to be, if it is not the one that makes them. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The storage for one authority: accounts, certificates and failures of another one mean nothing here (T158). */
export class Storage {
  readonly folder: string;
  readonly #tell: (message: string) => void;
  readonly #owner: Owner | undefined;
  #last = 0;

  private constructor(folder: string, owner: Owner | undefined, tell: (message: string) => void) {
    this.folder = folder;
    this.#owner = owner;
    this.#tell = tell;
  }

  /**
   * Makes the folders where they are missing, and tries whether they can be written to. Throws GWM_ACME_STORAGE. `tell` is told of what was
   * repaired.
   */
  static open(root: string, directory: string, tell: (message: string) => void, owner?: Owner): Storage {
    const folder = join(root, folderOf(directory));
    const storage = new Storage(folder, owner, tell);
    try {
      const isOwn = storage.#makeRoot(root);
      for (const path of [folder, ...FOLDERS.map((name) => join(folder, name))]) storage.#makeFolder(path);
      storage.#give(isOwn ? root : folder);
      storage.write('probe.json', '{}');
      storage.remove('probe.json');
      storage.#sweep();
    } catch (error) {
      throw new GwanmunError(
        'GWM_ACME_STORAGE',
        `certificates cannot be kept in ${root}: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    return storage;
  }

  /** Whether it is for nothing else: it was made here, or is empty. A folder with other things in it stays whose and as open as it is. */
  #makeRoot(root: string): boolean {
    try {
      mkdirSync(root, { mode: 0o700 });
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return readdirSync(root).length === 0;
      if (code !== 'ENOENT') throw error;
      // Those above it are everybody's.
      mkdirSync(dirname(root), { recursive: true });
      mkdirSync(root, { mode: 0o700 });
      return true;
    }
  }

  #makeFolder(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const { mode } = lstatSync(path);
    if ((mode & 0o077) === 0) return;
    chmodSync(path, 0o700);
    this.#tell(`${path} was open to other users of this machine; it has keys, and is the server's alone now`);
  }

  /** What was made as root is to be the user's that the server becomes. Links are not followed, and what has a second name is nobody's to give. */
  #give(from: string): void {
    if (this.#owner === undefined) return;
    const { uid, gid } = this.#owner;
    const names = readdirSync(this.folder, { recursive: true, encoding: 'utf8' });
    for (const path of [from, this.folder, ...names.map((name) => join(this.folder, name))]) {
      const stats = lstatSync(path);
      const isOurs = stats.isDirectory() || (stats.isFile() && stats.nlink === 1);
      if (isOurs && stats.uid !== uid) lchownSync(path, uid, gid);
    }
  }

  /** Removes what processes had begun that have ended in the middle of it. */
  #sweep(): void {
    const before = Date.now() - LEFT_BEHIND_MS;
    for (const folder of ['.', ...FOLDERS]) {
      for (const name of readdirSync(join(this.folder, folder))) {
        const path = join(this.folder, folder, name);
        if (name.endsWith('.tmp') && lstatSync(path).mtimeMs < before) rmSync(path, { force: true });
      }
    }
  }

  /** Undefined: there is none. What `parse` throws for is moved aside, for somebody to look at. */
  read<T>(file: string, parse: (text: string) => T): T | undefined {
    const path = join(this.folder, file);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return parse(text);
    } catch (error) {
      const aside = join('damaged', `${file.replaceAll('/', '_')}.${Date.now()}`);
      renameSync(path, join(this.folder, aside));
      this.#tell(`${path} is damaged: ${(error as Error).message}; it was moved to ${aside}, and is made anew`);
      return undefined;
    }
  }

  /** Takes the place of what was there, at once: whoever reads gets the one or the other, also after a power failure. */
  write(file: string, text: string): void {
    const path = join(this.folder, file);
    const temporary = `${path}.${process.pid}.${(this.#last += 1)}.tmp`;
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      try {
        const bytes = Buffer.from(text);
        for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
        if (this.#owner !== undefined) fchownSync(fd, this.#owner.uid, this.#owner.gid);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(path));
  }

  remove(file: string): void {
    rmSync(join(this.folder, file), { force: true });
  }

  /** The names of the files in a folder, without those that are being written. */
  list(folder: Folder): string[] {
    return readdirSync(join(this.folder, folder)).filter((name) => !name.endsWith('.tmp'));
  }

  /** Tells of changes, where the system does; gives what ends that. */
  watch(folder: Folder, onChange: () => void): () => void {
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(join(this.folder, folder), { persistent: false }, (_, name) => {
        if (name === null || !name.endsWith('.tmp')) onChange();
      });
      watcher.on('error', () => {});
    } catch {
      // The system has no more watches: what looks once a minute has to do.
    }
    return () => watcher?.close();
  }
}

/** The name of a file for a domain, which may be longer than a file's name can be. */
export function fileName(domain: string): string {
  return domain.length <= 200 ? domain : createHash('sha256').update(domain).digest('hex');
}

/** `https://acme-v02.api.letsencrypt.org/directory` as a name. */
function folderOf(directory: string): string {
  const name = directory
    .replace(/^https?:\/\//, '')
    .replaceAll(/[^\w.-]+/g, '_')
    .replace(/^\.+/, '_');
  return name.length <= 200 ? name : createHash('sha256').update(directory).digest('hex');
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
