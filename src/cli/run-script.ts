// gwanmun run server.js: a program that knows nothing of gwanmun, with its http.Server on the core.

import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import Module from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { importModule } from '../config/module.js';
import { GwanmunError } from '../errors.js';

/** Runs the program in this process, as `node server.js` would. Its arguments are what follows its name. */
export async function runScript(script: string, args: readonly string[]): Promise<void> {
  const path = findProgram(script);
  if (path === undefined) {
    const isName = !script.includes('/');
    const where = isName ? `, and no program of that name in node_modules/.bin` : '';
    throw new GwanmunError('GWM_TARGET', `there is no file ${script}${where}`, {
      remedy: `name the file that you would give to node${isName ? ', or a command of an installed package' : ''}`,
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

/** The file that is meant: as it is, without its extension, or a command of an installed package, as `npx` finds them. */
function findProgram(script: string): string | undefined {
  const path = resolve(script);
  const file = ['', '.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'].map((extension) => path + extension).find(isFile);
  if (file !== undefined || script.includes('/')) return file;
  return findCommand(process.cwd(), script);
}

function findCommand(folder: string, name: string): string | undefined {
  const modules = join(folder, 'node_modules');
  const link = join(modules, '.bin', name);
  if (isFile(link)) {
    const path = realpathSync(link);
    if (isForNode(path)) return path;
    // Some package managers write a shell script there; the package itself says which file it is for.
    const declared = declaredCommand(join(modules, name), name);
    if (declared !== undefined) return declared;
  }
  return dirname(folder) === folder ? undefined : findCommand(dirname(folder), name);
}

function isForNode(path: string): boolean {
  return /\.[mc]?js$/.test(path) || /^#!.*\bnode\b/.test(readFileSync(path, 'utf8').slice(0, 200));
}

function declaredCommand(folder: string, name: string): string | undefined {
  const manifest = join(folder, 'package.json');
  if (!existsSync(manifest)) return undefined;
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin?: string | Record<string, string> };
  const file = typeof bin === 'string' ? bin : bin?.[name];
  return file === undefined ? undefined : realpathSync(join(folder, file));
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
