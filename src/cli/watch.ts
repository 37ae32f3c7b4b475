// Watches the source files of a project.

import { basename, extname } from 'node:path';
import { watch } from 'chokidar';
import { systemFault, type GwanmunError } from '../errors.js';

/** What an application is made of. Files that are served need no reload. */
const SOURCES = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.tsx', '.jsx', '.json', '.py']);
const IGNORED = new Set(['node_modules', '__pycache__', 'venv', 'site-packages']);
/** An editor or a checkout writes several files: they are one change. */
const QUIET_MS = 50;

/**
 * Calls `onChange` with the files that have changed. Resolves when it watches, or rejects with GWM_WATCH_LIMIT. `onFault` is told once that
 * from here on not all is watched.
 */
export async function watchSources(
  folders: readonly string[],
  onChange: (files: string[]) => void,
  onFault: (fault: GwanmunError) => void,
): Promise<void> {
  const watcher = watch([...folders], {
    ignoreInitial: true,
    ignored: (path, stats) => {
      const name = basename(path);
      if (IGNORED.has(name) || (name.startsWith('.') && name.length > 1 && !folders.includes(path))) return true;
      return stats?.isFile() === true && !SOURCES.has(extname(name));
    },
  });
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  watcher.on('all', (event, path) => {
    if (event === 'addDir' || event === 'unlinkDir') return;
    changed.add(path);
    clearTimeout(timer);
    timer = setTimeout(() => {
      const files = [...changed];
      changed.clear();
      onChange(files);
    }, QUIET_MS);
  });
  await new Promise<void>((resolve, reject) => {
    watcher.once('ready', resolve);
    watcher.once('error', (error) => {
      void watcher.close();
      reject(systemFault(error) ?? (error as Error));
    });
  });
  let isTold = false;
  watcher.on('error', (error) => {
    const fault = systemFault(error);
    // Another file that cannot be watched is no reason to say more.
    if (fault === undefined || isTold) return;
    isTold = true;
    onFault(fault);
  });
}
