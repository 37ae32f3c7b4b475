// gwanmun run server.js: a program that knows nothing of gwanmun, with its http.Server on the core.

import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import type { Server } from 'node:http';
import Module from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { AccessLogFormat } from '../config/define.js';
import { importModule } from '../config/module.js';
import { VERSION } from '../config/version.js';
import { GwanmunError } from '../errors.js';
import type { InProcessServer } from '../in-process.js';
import { PACKAGE } from '../package-folder.js';
import { listenForControl, type ControlRequest } from '../supervisor/control.js';
import type { ServerStatus } from '../supervisor/status.js';
import { formatAddress } from './banner.js';

/** How long requests get to finish when the program is to stop and has no way of its own. */
const GRACE_MS = 10_000;

/** Runs the program in this process, as `node server.js` would. Its arguments are what follows its name. */
export async function runScript(
  script: string,
  args: readonly string[],
  accessLog: AccessLogFormat | undefined,
): Promise<void> {
  const path = findProgram(script);
  if (path === undefined) {
    const isName = !script.includes('/');
    const where = isName ? `, and no program of that name in node_modules/.bin` : '';
    throw new GwanmunError('GWM_TARGET', `there is no file ${script}${where}`, {
      remedy: `name the file that you would give to node${isName ? ', or a command of an installed package' : ''}`,
    });
  }
  await import('../register.js');
  const { hasListened, wish } = await import('../adapters/node/server.js');
  const program = new Program(script);
  wish({ accessLog: accessLog ?? false, onListen: (server, core) => program.onListen(server, core) });
  process.once('exit', (code) => {
    if (code !== 0 || hasListened()) return;
    process.stderr.write(
      `gwanmun: ${script} ended without an http.Server that listens. If it exports an application: gwanmun ${script}\n`,
    );
  });
  // What it forks is started with the same options.
  process.execArgv.push('--import', new URL('dist/cli/forked.js', PACKAGE).href);
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

/** The program that runs, for its operator. */
class Program {
  private readonly script: string;
  private readonly servers = new Map<Server, InProcessServer>();
  private isTold = false;

  constructor(script: string) {
    this.script = script;
  }

  onListen(server: Server, core: InProcessServer): void {
    this.servers.set(server, core);
    server.once('close', () => this.servers.delete(server));
    if (this.isTold) return;
    this.isTold = true;
    process.stderr.write(
      `gwanmun ${VERSION} runs ${this.script} on its core: ${core.addresses.map(formatAddress).join(', ')}\n`,
    );
    // Without a control socket the program runs all the same.
    listenForControl((request) => this.answer(request)).then(
      (close) => process.once('exit', close),
      (error: unknown) => process.stderr.write(`gwanmun: no control socket: ${(error as Error).message}\n`),
    );
  }

  private async answer({ command }: ControlRequest): Promise<unknown> {
    if (command === 'status') return this.status();
    if (command === 'stop') return this.stop();
    throw new GwanmunError('GWM_CONTROL', `gwanmun ${command} is not for a program that gwanmun run has started`, {
      remedy: `stop it and start it again: gwanmun stop && gwanmun run ${this.script}\nor serve its application: gwanmun APP`,
    });
  }

  private status(): ServerStatus {
    const cores = [...this.servers.values()];
    return {
      pid: process.pid,
      version: VERSION,
      config: this.script,
      directory: process.cwd(),
      configDirectory: dirname(resolve(this.script)),
      uptime: Math.round(process.uptime() * 1000),
      generation: 1,
      state: 'serving',
      listen: cores.flatMap(({ addresses }) => addresses),
      connections: cores.reduce((sum, { connections }) => sum + connections, 0),
      queue: 0,
      queueAge: 0,
      memory: process.memoryUsage.rss(),
      held: undefined,
      handshakes: undefined,
      workers: [],
      certificates: [],
      domains: [],
      clientCertificates: undefined,
    };
  }

  /** As a signal would, if the program listens for it; else its servers finish what they have, and the process ends. */
  private async stop(): Promise<null> {
    const ended = new Promise((end) => process.once('exit', end));
    if (process.listenerCount('SIGTERM') > 0) {
      process.kill(process.pid, 'SIGTERM');
      // The one who asks is told by the socket's end.
      await ended;
      return null;
    }
    await Promise.all([...this.servers.values()].map((core) => core.close({ graceMs: GRACE_MS })));
    process.exit(0);
  }
}
