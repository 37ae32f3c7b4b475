// Where the logs go and what they look like, with every default filled in.

import { resolve } from 'node:path';
import { wantsColor } from '../colors.js';
import type { CoreConfig } from './core.js';
import type { CheckedConfig } from './schema.js';

/** Without a format: for people at a terminal, else for programs. */
export function resolveAccessLog(accessLog: CheckedConfig['accessLog'], directory: string): CoreConfig['accessLog'] {
  const { format, file } =
    typeof accessLog === 'object'
      ? accessLog
      : { format: accessLog === false ? ('off' as const) : accessLog, file: undefined };
  const toTerminal = file === undefined && process.stdout.isTTY === true;
  return {
    format: format ?? (toTerminal ? 'short' : 'combined'),
    color: toTerminal && wantsColor(process.stdout),
    ...(file === undefined ? {} : { file: resolve(directory, file) }),
  };
}

/** One log in JSON makes the other JSON too, for most often one program reads both. */
export function resolveErrorLog(
  { format, level = 'info', file }: NonNullable<CheckedConfig['errorLog']> = {},
  accessLog: CoreConfig['accessLog'],
  directory: string,
): CoreConfig['errorLog'] {
  return {
    format: format ?? (accessLog.format === 'json' ? 'json' : 'text'),
    level,
    ...(file === undefined ? {} : { file: resolve(directory, file) }),
    timed: file !== undefined || !process.stderr.isTTY,
  };
}

/** Ids cost a little with each request, and show in JSON lines alone: so they come with those. */
export function resolveRequestIds(requestId: CheckedConfig['requestId'], isJson: boolean): CoreConfig['requestIds'] {
  const wanted = requestId ?? isJson;
  if (wanted === 'generate') return 'generate';
  return wanted ? 'accept' : 'off';
}
