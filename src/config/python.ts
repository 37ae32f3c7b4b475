// Python applications: which interpreter runs them.

import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { displayPath } from './display-path.js';

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

/** The interpreter for the applications of a folder, and what is wrong with it. */
export function findPython(named: string | undefined, directory: string): { python: string; fault?: string } {
  if (named === undefined) {
    const local = ENVIRONMENTS.map((path) => join(directory, path)).find((path) => existsSync(path));
    if (local !== undefined) return { python: local };
    if (onPath('python3')) return { python: 'python3' };
    return { python: 'python3', fault: "there is no python3 on PATH; install Python, or name one with python: './…'" };
  }
  if (!named.includes('/')) {
    return { python: named, ...(onPath(named) ? {} : { fault: `there is no program "${named}" on PATH` }) };
  }
  const python = resolve(directory, named);
  if (isProgram(python)) return { python };
  const stats = statSync(python, { throwIfNoEntry: false });
  if (stats === undefined) return { python, fault: `there is no file ${displayPath(python)}` };
  const hint = existsSync(join(python, 'bin/python'))
    ? `; did you mean "${named.replace(/\/*$/, '')}/bin/python"?`
    : '';
  return { python, fault: `${displayPath(python)} is not a program${hint}` };
}

function onPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => isProgram(join(folder || '.', name)));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
