// gwanmun run server.js: a program that knows nothing of gwanmun, with its http.Server on the core.

import { statSync } from 'node:fs';
import Module from 'node:module';
import { resolve } from 'node:path';
import { importModule } from '../config/module.js';
import { GwanmunError } from '../errors.js';

/** Runs the program in this process, as `node server.js` would. Its arguments are what follows its name. */
export async function runScript(script: string, args: readonly string[]): Promise<void> {
  const path = resolve(script);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new GwanmunError('GWM_TARGET', `there is no file ${script}`, {
      remedy: 'name the file that you would give to node',
    });
  }
  await import('../register.js');
  const { hasListened } = await import('../adapters/node/server.js');
  process.once('exit', (code) => {
    if (code !== 0 || hasListened()) return;
    process.stderr.write(
      `gwanmun: ${script} has ended, and no http.Server of its own has listened. If it exports an application: gwanmun ${script}\n`,
    );
  });
  process.argv = [process.execPath, path, ...args];
  // TypeScript as everywhere in gwanmun; JavaScript as the main module, which `require.main` has to be.
  if (/\.[mc]?ts$/.test(path)) await importModule(path);
  else (Module as unknown as { runMain(main: string): void }).runMain(path);
}
