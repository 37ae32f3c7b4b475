// Imports a module of the user's: JavaScript as it is, TypeScript on every Node that gwanmun supports.

import type * as ChildProcess from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import type { createJiti as Create, Jiti } from 'jiti';
import { isOwnFrame } from '../stack.js';
import { fileFrame } from './frame.js';

const require = createRequire(import.meta.url);

/** Node 22.18 and later; older ones lack the property. */
const stripsTypes = 'typescript' in process.features && Boolean(process.features.typescript);

/**
 * Imports the module at an absolute path.
 *
 * Node strips types itself from 22.18 on; jiti does it on older ones, and for what Node refuses: `enum`, parameter
 * properties, `./x.js` where only `./x.ts` exists, `paths` of a tsconfig.json. Both keep line numbers, so a stack names the line as it was written.
 */
export async function importModule(path: string): Promise<Record<string, unknown>> {
  const isTypeScript = /\.[mc]?ts$/.test(path);
  if (isTypeScript && !stripsTypes) return importWithJiti(path);
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    if (!isForJiti(error, path)) throw error;
    return importWithJiti(path);
  }
}

async function importWithJiti(path: string): Promise<Record<string, unknown>> {
  const jiti = makeJiti(path);
  try {
    return await jiti.import<Record<string, unknown>>(path);
  } catch (error) {
    if (error instanceof Error) withoutWrapper(error);
    throw error;
  }
}

function makeJiti(path: string): Jiti {
  // Only here, because it takes a while; and by `require`: Node scans a CommonJS module that is imported for its exports, which
  // makes that 45 ms instead of 11.
  const { createJiti } = require('jiti') as { createJiti: typeof Create };
  const fsCache = findUp(path, 'node_modules');
  return createJiti(import.meta.url, {
    // In the project's own node_modules, or nowhere. Never in the shared temporary folder, jiti's other choice: what lies there would be
    // executed. With it a start takes a fifth of the time.
    fsCache: fsCache === undefined ? false : join(fsCache, '.cache', 'gwanmun'),
    interopDefault: false,
    tsconfigPaths: findUp(path, 'tsconfig.json') ?? false,
  });
}

/** What jiti puts before a module's first line, which counts in the columns of a stack. */
const WRAPPER =
  '(async function (exports, require, module, __filename, __dirname, jitiImport, jitiESMResolve) { "use strict";'
    .length;

/** Makes the columns of a stack's first lines those of the files. A column within the line has no wrapper before it. */
function withoutWrapper(error: Error): void {
  const { stack } = error;
  if (stack === undefined) return;
  error.stack = stack.replaceAll(/(\/[^():\n]*\.[mc]?[jt]sx?):1:(\d+)/g, (place, file: string, text: string) => {
    const column = Number(text);
    const isWrapped = column > WRAPPER && column > firstLineOf(file) + 1;
    return isWrapped ? `${file}:1:${column - WRAPPER}` : place;
  });
}

function firstLineOf(file: string): number {
  try {
    return readFileSync(file, 'utf8').split('\n', 1)[0]?.length ?? 0;
  } catch {
    return Infinity;
  }
}

/** The path of what has this name in the nearest folder above. */
function findUp(path: string, name: string): string | undefined {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    const found = join(folder, name);
    if (existsSync(found)) return found;
  }
  return undefined;
}

/** Whether Node failed at linking, before any of the user's code ran, in a way that jiti does not. */
function isForJiti(error: unknown, path: string): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  if (
    error.code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' ||
    error.code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING' ||
    error.code === 'ERR_UNKNOWN_FILE_EXTENSION'
  ) {
    return true;
  }
  if (error.code !== 'ERR_MODULE_NOT_FOUND') return false;
  const [, name, from] = /^Cannot find package '(.+)' imported from (\/[^\n]+)/.exec(error.message) ?? [];
  if (name !== undefined && from !== undefined) return isAlias(name, from, path);
  if (!('url' in error) || typeof error.url !== 'string') return false;
  if (!error.url.startsWith('file:')) return false;
  const missing = fileURLToPath(error.url);
  const candidates = [missing.replace(/\.([mc]?)js$/, '.$1ts'), `${missing}.ts`, `${missing}/index.ts`];
  return candidates.some((candidate) => candidate !== missing && existsSync(candidate));
}

/** Whether a tsconfig.json says what the package of this name is, which the module `from` asks for. */
function isAlias(name: string, from: string, path: string): boolean {
  if (findUp(path, 'tsconfig.json') === undefined) return false;
  const jiti = makeJiti(path);
  // Node names no more than the package, `paths` has what is written.
  const specifiers = importsOf(from).filter((specifier) => `${specifier}/`.startsWith(`${name}/`));
  return specifiers.some((specifier) => jiti.esmResolve(specifier, { parentURL: from, try: true }) !== undefined);
}

/** What went wrong at an import, for people. */
export interface ImportFault {
  readonly isSyntax: boolean;
  /** One line. */
  readonly message: string;
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
  /** Of a syntax error: its line, with a mark. */
  readonly frame?: string | undefined;
  /** The stack without the frames of Node and of gwanmun; absent for a syntax error, whose stack says nothing. */
  readonly stack?: string;
}

/** Says where an import of `path` failed and why. */
export function describeImportFault(error: unknown, path: string): ImportFault {
  if (!(error instanceof Error)) return { isSyntax: false, message: `threw ${inspect(error)}`, file: path };
  // jiti: "ParseError: Unexpected token, expected … \n /a/b.ts:2:1", the column from 0.
  const jiti = /^ParseError: ([^\n]*?)\s*\n\s*(\/[^\n]*):(\d+):(\d+)/.exec(error.message);
  if (jiti) {
    const [, message = '', file = path, line, column] = jiti;
    const place = { line: Number(line), column: Number(column) + 1 };
    return { isSyntax: true, message, file, ...place, frame: fileFrame(file, place) };
  }
  const isSyntax = error.name === 'SyntaxError';
  const place = placeOf(error) ?? (isSyntax ? syntaxPlace(path) : undefined) ?? { file: path };
  const [message = ''] = error.message.split('\n');
  return {
    isSyntax,
    message,
    ...place,
    ...(isSyntax ? { frame: fileFrame(place.file, place) } : { stack: userStack(error) }),
  };
}

interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/**
 * The first place in a stack that is a file of the user's: a frame `at f (/a/b.ts:1:2)`, or the first line
 * `file:///a/b.ts:1` of a syntax error.
 */
function placeOf(error: Error): Place | undefined {
  for (const text of (error.stack ?? '').split('\n')) {
    const match = /((?:file:\/\/)?\/[^():]*\.[mc]?[jt]sx?):(\d+)(?::(\d+))?/.exec(text);
    if (!match?.[1] || isForeign(text)) continue;
    const file = match[1].startsWith('file:') ? fileURLToPath(match[1]) : match[1];
    return { file, line: Number(match[2]), ...(match[3] ? { column: Number(match[3]) } : {}) };
  }
  return undefined;
}

/** So many modules are looked through for a syntax error. */
const MOST_MODULES = 50;

/**
 * V8 keeps the place of a module's syntax error from us; `node --check` prints it. The error may be in a module that this
 * one imports, in any depth: those named by a relative path are looked through.
 */
function syntaxPlace(path: string): Place | undefined {
  // Only here: with it comes all of Node's networking, which takes a worker 3 ms.
  const { spawnSync } = require('node:child_process') as typeof ChildProcess;
  const paths = new Set([path]);
  for (const file of paths) {
    const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 5000 });
    // /a/b.mjs:3, the line as it is, and a mark below the place.
    const match = /^(?:file:\/\/)?(\/.*):(\d+)\n[^\n]*\n( *)\^/.exec(stderr ?? '');
    if (match?.[1] !== undefined) {
      return { file: match[1], line: Number(match[2]), column: (match[3] ?? '').length + 1 };
    }
    for (const imported of relativeImports(file)) if (paths.size < MOST_MODULES) paths.add(imported);
  }
  return undefined;
}

function relativeImports(file: string): string[] {
  const names = importsOf(file).filter((name) => /^\.{1,2}\//.test(name));
  return names.map((name) => resolve(dirname(file), name)).filter((path) => existsSync(path));
}

/** What a module imports, as its text has it. */
function importsOf(file: string): string[] {
  try {
    const names = readFileSync(file, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*(['"])([^'"\n]+)\1/g);
    return [...names].map(([, , name = '']) => name);
  } catch {
    return [];
  }
}

function userStack(error: Error): string {
  const lines = (error.stack ?? String(error)).split('\n');
  return lines.filter((line) => !/^\s+at /.test(line) || !isForeign(line)).join('\n');
}

/** Whether a stack's line is in Node, in a dependency or in gwanmun. */
function isForeign(line: string): boolean {
  return line.includes('/node_modules/') || isOwnFrame(line);
}
