// `gwanmun ./site`, `gwanmun app.ts`, `gwanmun app.py` and `gwanmun app:app`: a configuration made from a name alone.

import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GwanmunError } from '../errors.js';
import { displayPath } from './display-path.js';
import { MODULE_EXTENSION, mustAnswer } from './paths.js';
import { WSGI_TARGET } from './python.js';
import type { ConfigInput } from './resolve.js';
import { didYouMean } from './suggest.js';

/** The configuration for a folder of files, which may be a site in PHP or have programs that are started, or for an application module mounted at `/`. Rejects with GWM_TARGET. */
export async function configForTarget(target: string, kind?: 'php' | 'cgi'): Promise<ConfigInput> {
  // app.py, or app.py:callable
  const [, file = target, callable = ''] = /^(.+\.py)(:[^:/]+)?$/.exec(target) ?? [];
  const path = resolve(file);
  await mustAnswer([path], 'GWM_TARGET');
  const stats = statSync(path, { throwIfNoEntry: false });
  // gunicorn's way to name an application.
  if (stats === undefined && target.includes(':') && WSGI_TARGET.test(target)) {
    const wsgi = { path: '/', wsgi: target };
    return { config: { mounts: [wsgi] }, directory: process.cwd(), source: { name: target } };
  }
  if (stats === undefined) {
    throw new GwanmunError('GWM_TARGET', `there is no file or folder ${target}${hint(path)}`);
  }
  const isFolder = stats.isDirectory();
  if (!isFolder && /^gwanmun\.config\.([mc]?[jt]s|json)$/.test(basename(path))) {
    throw new GwanmunError('GWM_TARGET', `${target} is a configuration, not an application`, {
      remedy: `gwanmun --config ${target}`,
    });
  }
  if (kind !== undefined) {
    if (!isFolder) {
      throw new GwanmunError('GWM_TARGET', `--${kind} takes a folder, and ${target} is a file`, {
        remedy: `gwanmun ${displayPath(dirname(path))} --${kind}`,
      });
    }
    const mount = kind === 'php' ? { path: '/', php: { root: { here: path } } } : { path: '/', cgi: { folder: path } };
    return {
      config: { mounts: [mount] },
      directory: process.cwd(),
      source: { name: displayPath(path), isTarget: true },
    };
  }
  if (!isFolder && path.endsWith('.cgi')) {
    const mount = { path: '/', cgi: { program: path } };
    return {
      config: { mounts: [mount] },
      directory: process.cwd(),
      source: { name: displayPath(path), isTarget: true },
    };
  }
  if (!isFolder && path.endsWith('.py')) {
    const wsgi = `${basename(path, '.py')}${callable}`;
    if (!WSGI_TARGET.test(wsgi)) {
      throw new GwanmunError(
        'GWM_TARGET',
        `${target} cannot be imported: a Python module's name has no white space and no ':'`,
      );
    }
    return { config: { mounts: [{ path: '/', wsgi }] }, directory: dirname(path), source: { name: displayPath(path) } };
  }
  if (!isFolder && !MODULE_EXTENSION.test(path)) {
    throw new GwanmunError('GWM_TARGET', `${target} is neither a folder nor a module`);
  }
  return {
    config: { mounts: [isFolder ? { path: '/', files: path } : { path: '/', app: { module: path } }] },
    directory: process.cwd(),
    source: { name: displayPath(path), isTarget: true },
  };
}

function hint(path: string): string {
  try {
    return didYouMean(basename(path), readdirSync(dirname(path)));
  } catch {
    return '';
  }
}
