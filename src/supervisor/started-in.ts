// The folder that this process was started in, by the name that the shell has for it. A name such as `current` may be a symbolic link that a
// deploy switches to another release: what is loaded anew then comes from there.

import { realpathSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { silentPaths } from '../config/paths.js';

const AT_START = process.cwd();

/** Its name. */
export const STARTED_IN = nameOf(AT_START, process.env['PWD']);

/** Makes what its name stands for by now the current folder. */
export async function followFolder(): Promise<void> {
  // Nobody can go there; what is loaded from there is then a fault of its own.
  if ((await silentPaths([STARTED_IN])).size > 0) return;
  try {
    process.chdir(STARTED_IN);
  } catch {
    // It is gone: whatever is missing then is named when it is loaded.
  }
}

/** A path of the start, below the folder, by the folder's name; any other as it is. */
export function byName(path: string): string {
  const rest = relative(AT_START, path);
  return rest === '..' || rest.startsWith('../') || isAbsolute(rest) ? path : join(STARTED_IN, rest);
}

/** A shell's name for a folder, if it has one. */
function nameOf(folder: string, name: string | undefined): string {
  try {
    if (name !== undefined && isAbsolute(name) && realpathSync(name) === folder) return name;
  } catch {
    // There is no such folder.
  }
  return folder;
}
