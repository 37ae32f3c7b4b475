// What a reload leaves as it was.

import type { ResolvedConfig } from '../config/resolved.js';

/** By the names that the configuration has for it. */
const KEPT = {
  threads: 'threads',
  accessLog: 'accessLog',
  errorLog: 'errorLog',
  pidFile: 'pidFile',
  privileges: 'user, group or umask',
} as const;

/** A configuration that takes over from another, with what it keeps of that, and the names of those settings that have changed in vain. */
export function keepSettings(
  current: ResolvedConfig,
  loaded: ResolvedConfig,
): { readonly config: ResolvedConfig; readonly ignored: readonly string[] } {
  // Functions can't be told apart, so that nothing says whether the hooks have changed.
  const { threads, accessLog, errorLog, pidFile, hooks, privileges } = current;
  const config: ResolvedConfig = { ...loaded, threads, accessLog, errorLog, pidFile, hooks, privileges };
  const changed = (Object.keys(KEPT) as (keyof typeof KEPT)[]).filter(
    (key) => JSON.stringify(loaded[key]) !== JSON.stringify(current[key]),
  );
  return { config, ignored: changed.map((key) => KEPT[key]) };
}
