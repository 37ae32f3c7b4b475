// What has to be at the paths that a configuration names, and the only code that looks there. Before it looks, threads of the core ask whether the paths
// answer: the file system of a server that has gone, or of a dead process, never does, and who looks at it waits for ever.

import { accessSync, constants, readdirSync, statSync, type Stats } from 'node:fs';
import { basename, dirname, relative } from 'node:path';
import { GwanmunError, type ErrorCode } from '../errors.js';
import { loadNative } from '../native.js';
import { displayPath } from './display-path.js';
import type { KeyPath } from './locate.js';
import { didYouMean } from './suggest.js';

/** What a path has to be. `anything`: it has to answer, and whoever uses it later says what else is wrong with it. */
export type Kind =
  | 'folder'
  | 'folder or nothing'
  | 'page'
  | 'module'
  | 'program'
  | 'script'
  | 'socket or program'
  | 'anything';

/** Something that a configuration names. */
export interface PathCheck {
  /** The key that names it. */
  readonly key: KeyPath;
  /** Where it may be, absolute: the first path that is what it has to be. Most things can be in one place only. */
  readonly paths: readonly string[];
  readonly kind: Kind;
  /** The path as the user wrote it, for a hint. */
  readonly written?: string | undefined;
  /** What to say if it is in none of several places. */
  readonly nowhere?: string | undefined;
}

/** What came of looking. */
export interface Looked {
  /** Each by the key of its check. */
  readonly faults: readonly { readonly path: KeyPath; readonly message: string }[];
  /** Of each check without a fault: the path that is what it has to be. */
  readonly found: ReadonlyMap<PathCheck, string>;
}

/** Looks at what is checked, one after the other. `silent`: those that are not to be looked at, from {@link silentAmong}. */
export function look(checks: readonly PathCheck[], silent: ReadonlySet<string> = new Set()): Looked {
  const faults: Looked['faults'][number][] = [];
  const found = new Map<PathCheck, string>();
  for (const check of checks) {
    const message = faultOf(check, silent, (path) => found.set(check, path));
    if (message !== undefined) faults.push({ path: check.key, message });
  }
  return { faults, found };
}

function faultOf(
  { paths, kind, written, nowhere }: PathCheck,
  silent: ReadonlySet<string>,
  find: (path: string) => void,
): string | undefined {
  let fault: string | undefined;
  for (const path of paths) {
    // Whatever is behind it in the order can't be known to count.
    if (silent.has(path)) return `${silence(path)}: ${REMEDY}`;
    fault = FAULTS[kind](path, written ?? path);
    if (fault !== undefined) continue;
    find(path);
    return undefined;
  }
  return nowhere ?? fault;
}

/** The paths of checks that have been asked by threads of the core, and have not answered for ten seconds. */
export async function silentAmong(checks: readonly PathCheck[]): Promise<ReadonlySet<string>> {
  return silentPaths(checks.flatMap(({ paths }) => paths));
}

/** Those of these paths that do not answer. */
export async function silentPaths(paths: readonly string[]): Promise<ReadonlySet<string>> {
  if (paths.length === 0) return new Set();
  const areSilent = await loadNative().silentPaths([...paths]);
  return new Set(paths.filter((_, index) => areSilent[index]));
}

/** Rejects with an error of this code if one of these paths does not answer. */
export async function mustAnswer(paths: readonly string[], code: ErrorCode): Promise<void> {
  const [silent] = await silentPaths(paths);
  if (silent !== undefined) throw new GwanmunError(code, silence(silent), { remedy: REMEDY });
}

function silence(path: string): string {
  return `${displayPath(path)} has not answered for 10 s`;
}

const REMEDY = 'check its disk, or the server that the disk is on';

/** What an application module's file name ends in. */
export const MODULE_EXTENSION = /\.[mc]?[jt]s$/;

/** What keeps a path from being what it has to be. */
const FAULTS: Record<Kind, (path: string, written: string) => string | undefined> = {
  folder: folderFault,
  'folder or nothing': (path) => (lookAt(path) === undefined ? undefined : folderFault(path)),
  page: (path) => fileFault(path) ?? mayNot(path, constants.R_OK),
  module: moduleFault,
  program: programFault,
  script: scriptFault,
  'socket or program': (path, written) => (path.endsWith('.sock') ? socketFault(path) : programFault(path, written)),
  anything: () => undefined,
};

function folderFault(path: string): string | undefined {
  const stats = lookAt(path);
  if (typeof stats === 'string') return stats;
  if (stats === undefined) return `there is no folder ${displayPath(path)}${neighbour(path, 'folder')}`;
  if (!stats.isDirectory()) return `${displayPath(path)} is not a folder`;
  return mayNot(path, constants.R_OK | constants.X_OK);
}

function fileFault(path: string): string | undefined {
  const stats = lookAt(path);
  if (typeof stats === 'string') return stats;
  if (stats === undefined) return `there is no file ${displayPath(path)}${neighbour(path, 'file')}`;
  return stats.isFile() ? undefined : `${displayPath(path)} is not a file`;
}

function moduleFault(path: string): string | undefined {
  const fault = fileFault(path);
  if (fault !== undefined) return fault;
  return MODULE_EXTENSION.test(path)
    ? mayNot(path, constants.R_OK)
    : `${displayPath(path)} is not a module: expected .ts, .mts, .js or .mjs`;
}

function programFault(path: string, written: string): string | undefined {
  const stats = lookAt(path);
  if (typeof stats === 'string') return stats;
  if (stats === undefined) return `there is no file ${displayPath(path)}`;
  if (stats.isFile() && mayNot(path, constants.X_OK) === undefined) return undefined;
  const inside = 'bin/python';
  const isEnvironment = stats.isDirectory() && lookAt(`${path}/${inside}`) !== undefined;
  const hint = isEnvironment ? `; did you mean "${written.replace(/\/*$/, '')}/${inside}"?` : '';
  return `${displayPath(path)} is not a program${hint}`;
}

function scriptFault(path: string, written: string): string | undefined {
  const fault = fileFault(path);
  if (fault !== undefined) return fault;
  return mayNot(path, constants.X_OK) === undefined
    ? undefined
    : `${displayPath(path)} is not executable: chmod +x ${written}`;
}

function socketFault(path: string): string | undefined {
  const stats = lookAt(path);
  if (typeof stats === 'string') return stats;
  return stats?.isSocket() ? undefined : `there is no socket ${displayPath(path)}`;
}

/** What is at a path: nothing is undefined, and a folder above it that may not be entered is a fault. */
function lookAt(path: string): Stats | string | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // A file stands where a folder of the path would be: nothing can be there.
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    return `${displayPath(path)} cannot be looked at: ${(error as Error).message}`;
  }
}

function mayNot(path: string, mode: number): string | undefined {
  try {
    accessSync(path, mode);
    return undefined;
  } catch {
    return `this user may not read ${displayPath(path)}; ls -ld shows who may`;
  }
}

/** `; did you mean "./public"?`, if the folder holds something of a similar name. */
function neighbour(path: string, kind: 'file' | 'folder'): string {
  const parent = dirname(path);
  try {
    const names = readdirSync(parent, { withFileTypes: true })
      .filter((entry) => (kind === 'folder' ? entry.isDirectory() : entry.isFile()))
      .map((entry) => entry.name);
    return didYouMean(basename(path), names);
  } catch {
    // The parent is missing too: which is then the thing to say.
    return relative(parent, path) === '' ? '' : `, nor ${displayPath(parent)}`;
  }
}
