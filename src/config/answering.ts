// Whether what a configuration names can be looked at: the file system of a server that has gone, or of a dead process, never answers,
// and who looks at it waits for ever.

import { dirname, resolve } from 'node:path';
import { loadNative } from '../native.js';
import { invalidConfig, type ConfigFault } from './check.js';
import { displayPath } from './display-path.js';
import type { KeyPath } from './locate.js';
import type { ConfigInput } from './resolve.js';

/** Rejects with GWM_CONFIG_INVALID for each path of a configuration whose file system does not answer. To be awaited before resolveConfig. */
export async function allAnswer({ config, directory, source }: ConfigInput): Promise<void> {
  const named: { readonly path: KeyPath; readonly file: string }[] = [];
  const add = (path: KeyPath, file: string | undefined): void => {
    if (file !== undefined) named.push({ path, file: resolve(directory, file) });
  };
  for (const [index, { files, app, python, sendfile, errorPages }] of config.mounts.entries()) {
    add(['mounts', index, 'files'], files);
    add(['mounts', index, 'app'], app?.module);
    add(['mounts', index, 'python'], python);
    for (const [at, folder] of (sendfile ?? []).entries()) add(['mounts', index, 'sendfile', at], folder);
    for (const [status, page] of Object.entries(errorPages ?? {})) add(['mounts', index, 'errorPages', status], page);
  }
  add(['compressionCache'], config.compressionCache);
  if (config.pidFile !== undefined) add(['pidFile'], dirname(config.pidFile));
  if (named.length === 0) return;
  const areSilent = await loadNative().silentPaths(named.map(({ file }) => file));
  const faults = named.flatMap(({ path, file }, index): ConfigFault[] =>
    areSilent[index] === true
      ? [
          {
            path,
            message: `${displayPath(file)} has not answered for 10 s: check its disk, or the server that the disk is on`,
          },
        ]
      : [],
  );
  if (faults.length > 0) throw invalidConfig(faults, source);
}
