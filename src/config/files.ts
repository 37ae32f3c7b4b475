// How a mount's files are served, with every default filled in.

import type { CoreMount } from './core.js';
import type { CheckedConfig } from './schema.js';

/** Keys that mean nothing without `files`. */
export const FILE_KEYS = ['tryFiles', 'types', 'cacheControl', 'headers', 'nosniff', 'listing', 'symlinks'] as const;

type CheckedMount = CheckedConfig['mounts'][number];

/** The rules for a mount's files, in the core's form. `root`: absolute; undefined: it has none. */
export function filesOf(
  root: string | undefined,
  mount: CheckedMount,
  compress: boolean,
): { readonly files?: CoreMount['files'] } {
  if (root === undefined) return {};
  const {
    index = ['index.html'],
    tryFiles = [],
    types = {},
    cacheControl = {},
    headers = {},
    nosniff,
    listing,
    symlinks,
  } = mount;
  const rules = [
    ...(nosniff === false ? [] : [['*', 'X-Content-Type-Options', 'nosniff'] as const]),
    // Of a name the last rule counts, and of the cache's the first is to.
    ...Object.entries(cacheControl)
      .toReversed()
      .map(([pattern, value]) => [pattern, 'Cache-Control', value] as const),
    ...Object.entries(headers).flatMap(([pattern, fields]) =>
      Object.entries(fields).map(([name, value]) => [pattern, name, value] as const),
    ),
  ];
  return {
    files: {
      root,
      index: [...index],
      // `$path` alone is what is done without them.
      tryFiles: tryFiles.length === 1 && tryFiles[0] === '$path' ? [] : [...tryFiles],
      types: Object.entries(types).map(([extension, type]) => [extension.slice(1), type]),
      headers: rules.map((rule) => [...rule]),
      listing: listing ?? false,
      ...(symlinks === undefined ? {} : { symlinks }),
      compress,
    },
  };
}
