// `gwanmun ./site` and `gwanmun app.ts`: a configuration made from a path alone.

import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GwanmunError } from '../errors.js';
import { displayPath } from './display-path.js';
import { MODULE_EXTENSION, type ConfigInput } from './resolve.js';
import { didYouMean } from './suggest.js';

/** The configuration for a folder of files, or for an application module mounted at `/`. */
export function configForTarget(target: string): ConfigInput {
  const path = resolve(target);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new GwanmunError('GWM_TARGET', `there is no file or folder ${target}${hint(path)}`);
  }
  const isFolder = stats.isDirectory();
  if (!isFolder && /^gwanmun\.config\.([mc]?[jt]s|json)$/.test(basename(path))) {
    throw new GwanmunError('GWM_TARGET', `${target} is a configuration, not an application`, {
      remedy: `gwanmun --config ${target}`,
    });
  }
  if (!isFolder && !MODULE_EXTENSION.test(path)) {
    throw new GwanmunError('GWM_TARGET', `${target} is neither a folder nor a module`);
  }
  return {
    config: { mounts: [isFolder ? { path: '/', files: path } : { path: '/', app: path }] },
    directory: process.cwd(),
    source: { name: displayPath(path) },
  };
}

function hint(path: string): string {
  try {
    return didYouMean(basename(path), readdirSync(dirname(path)));
  } catch {
    return '';
  }
}
