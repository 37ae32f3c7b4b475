// Python applications: which interpreter runs them.

import { delimiter, join, resolve } from 'node:path';
import type { KeyPath } from './locate.js';
import type { PathCheck } from './paths.js';

/** A WSGI application and the Python that runs it. */
export interface WsgiApplication {
  /** `module` or `module:callable`. */
  readonly target: string;
  /** Absolute path, or a name that PATH finds. */
  readonly python: string;
  /** Where its modules are looked for, and its current folder. */
  readonly directory: string;
}

/** What {@link WsgiApplication.target} may be: any names of files that Python's importlib finds, and an attribute. */
export const WSGI_TARGET: RegExp = /^[^\s.:/\\]+(?:\.[^\s.:/\\]+)*(?::[\p{L}_][\p{L}\p{N}_]*)?$/u;

/** Where virtual environments mostly are. */
const ENVIRONMENTS = ['venv/bin/python', '.venv/bin/python'];
/** What PATH is searched for otherwise. */
const DEFAULT = 'python3';

/** Where the interpreter for the applications of a folder has to be. `key`: the mount's. */
export function pythonCheck(named: string | undefined, directory: string, mount: KeyPath): PathCheck {
  const key = [...mount, named === undefined ? 'wsgi' : 'python'];
  if (named?.includes('/')) return { key, paths: [resolve(directory, named)], kind: 'program', written: named };
  const onPath = foldersOfPath().map((folder) => join(folder, named ?? DEFAULT));
  const paths = named === undefined ? [...environmentsOf(directory), ...onPath] : onPath;
  const nowhere =
    named === undefined
      ? `there is no ${DEFAULT} on PATH; install Python, or name one with python: './…'`
      : `there is no program "${named}" on PATH`;
  return { key, paths, kind: 'program', nowhere };
}

/** What the interpreter is started by, where it was found: by a path, or by the name that PATH finds. */
export function pythonFrom(found: string, named: string | undefined, directory: string): string {
  const isPath = named === undefined ? environmentsOf(directory).includes(found) : named.includes('/');
  return isPath ? found : (named ?? DEFAULT);
}

function environmentsOf(directory: string): string[] {
  return ENVIRONMENTS.map((path) => join(directory, path));
}

function foldersOfPath(): string[] {
  return (process.env['PATH'] ?? '').split(delimiter).map((folder) => resolve(folder));
}
