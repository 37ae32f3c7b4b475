// The way back from what the core and the workers know, `listen[0]` or `applications[1]`, to the user's file, line and column: for
// what is found out only after the configuration has been read.

import type { GwanmunError, Where } from '../errors.js';
import { place, type ConfigSource } from './check.js';
import { locate, type KeyPath } from './locate.js';

/** Where the parts of a resolved configuration were written. */
export interface Origin {
  readonly source: ConfigSource;
  /** What its paths are relative to. */
  readonly directory: string;
  /** Of each address; undefined for one that nobody chose. */
  readonly listen: readonly (Where | undefined)[];
}

/** The error with the place in the user's configuration that its part stands for. */
export function placeError(
  error: GwanmunError,
  {
    origin,
    mounts,
  }: { readonly origin: Origin; readonly mounts: readonly { readonly application?: number | undefined }[] },
): GwanmunError {
  if (error.part === undefined) return error;
  const [, name = '', digits] = /^(\w+)(?:\[(\d+)\])?/.exec(error.part) ?? [];
  const index = Number(digits);
  if (name === 'listen') return withPlace(error, origin.listen[index]);
  // A target is not a configuration: what was typed names the folder or the module already.
  if (origin.source.isTarget) return error;
  if (name !== 'applications') return withPlace(error, place(pathOf(error.part), origin.source));
  const mount = mounts.findIndex(({ application }) => application === index);
  return mount < 0 ? error : withPlace(error, place(['mounts', mount, 'app'], origin.source));
}

/** Where the address at `index` was written: its port, else the whole of it. */
export function placeOfListen(index: number, source: ConfigSource): Where | undefined {
  if (source.isTarget) return undefined;
  const { text } = source;
  // A list of one may have been written without its brackets.
  const paths: KeyPath[] = [
    ['listen', index, 'port'],
    ['listen', index],
    ['listen', 'port'],
  ];
  return place(paths.find((path) => text !== undefined && locate(text, path) !== undefined) ?? ['listen'], source);
}

/** The path of an address's key. A list of one may have been written without its brackets. */
export function pathInListen(index: number, key: string, { text }: ConfigSource): KeyPath {
  const inList: KeyPath = ['listen', index, key];
  return text !== undefined && locate(text, inList) === undefined ? ['listen', key] : inList;
}

/** A place within a module goes before the place of the key that names the module. */
function withPlace(error: GwanmunError, where: Where | undefined): GwanmunError {
  return error.with({ ...(error.where === undefined ? { where } : { origin: where }), part: undefined });
}

/** `mounts[1].files` as a path. */
function pathOf(part: string): KeyPath {
  return (part.match(/[^.[\]]+/g) ?? []).map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}
