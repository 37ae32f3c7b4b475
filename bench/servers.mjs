// How a server is started so that it can be measured, and where it says that it listens.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listening, scratch, start, stop } from './process.mjs';

/**
 * What a peer is asked to be.
 * @typedef {object} Order
 * @property {string} application `hello`, `environ`, …
 * @property {number} core its own
 * @property {number} clientCore
 * @property {number} size a number that the application takes, such as its mounts; 0 if it takes none
 * @property {import('./certificate.mjs').Certificate} [certificate] speak TLS with it
 */

/**
 * A running server.
 * @typedef {object} Server
 * @property {number} port on 127.0.0.1
 * @property {import('./process.mjs').Pinned[]} processes the roots of its process trees
 * @property {() => { pid: number }[]} [workers] those of its processes that run the application, where that is measured apart
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Peer
 * @property {string} title
 * @property {() => string} version throws when the peer is not there, with a message that says what is missing
 * @property {(order: Order) => Promise<Server>} start
 */

export const bench = import.meta.dirname;
export const root = join(bench, '..');
/** The folder with the file that is served. */
export const site = join(bench, 'apps/site');

/**
 * A peer that is a program in `programs/`: `node programs/NAME.mjs APPLICATION [SIZE]`, with TLS_CERT and TLS_KEY in its environment.
 * @param {string} name
 * @param {Order} order
 * @param {string} [runtime]
 */
export function startProgram(name, { application, core, size, certificate }, runtime = process.execPath) {
  const args = [join(bench, `programs/${name}.mjs`), application, ...(size > 0 ? [String(size)] : [])];
  if (!certificate) return startAnnounced(core, runtime, args);
  const { cert, key } = certificate;
  return startAnnounced(core, 'env', [`TLS_CERT=${cert}`, `TLS_KEY=${key}`, runtime, ...args]);
}

/**
 * Starts a server that binds a free port itself and says on standard error where it listens.
 * @param {number} core
 * @param {string} command
 * @param {string[]} args
 * @param {string} [directory]
 * @returns {Promise<Server>}
 */
export async function startAnnounced(core, command, args, directory) {
  const server = start(core, command, args, directory);
  try {
    return { port: await listening(server), processes: [server], stop: () => stop(server) };
  } catch (error) {
    await stop(server);
    throw error;
  }
}

/**
 * @param {number} core
 * @param {(place: import('./nginx.mjs').Place) => string} config
 * @returns {Promise<Server>}
 */
export async function startNginx(core, config) {
  const directory = await mkdtemp(join(scratch, 'nginx-'));
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  await writeFile(file, config({ directory, port }));
  const server = start(core, 'nginx', ['-p', directory, '-c', file, '-e', 'stderr']);
  server.child.stdout?.resume();
  // nginx does not say when it is ready; its socket does.
  for (let attempt = 0; attempt < 2000; attempt += 1) {
    if (server.child.exitCode !== null) break;
    if (await accepts(port)) return { port, processes: [server], stop: () => stop(server) };
    await sleep(3);
  }
  await stop(server);
  throw new Error(`nginx did not start: ${server.stderr().trim() || 'no message'}`);
}

/**
 * Starts a server that takes its configuration from a file, and waits for its socket. It may need the files of site.mjs.
 * @param {number} core
 * @param {(place: { directory: string, port: number }) => string[]} command writes the configuration, and gives the command
 * @returns {Promise<Server>}
 */
export async function startInDirectory(core, command) {
  const directory = await mkdtemp(join(scratch, 'server-'));
  const port = await freePort();
  const [name = '', ...args] = command({ directory, port });
  const server = start(core, name, args, directory);
  server.child.stdout?.resume();
  for (let attempt = 0; attempt < 2000; attempt += 1) {
    if (server.child.exitCode !== null) break;
    if (await accepts(port)) return { port, processes: [server], stop: () => stop(server) };
    await sleep(3);
  }
  await stop(server);
  throw new Error(`${name} did not start: ${server.stderr().trim() || 'no message'}`);
}

/**
 * Two tiers: nginx in front of an application server. What starts first is stopped if the second fails.
 * @param {Promise<Server>} upstream
 * @param {(port: number) => Promise<Server>} front
 * @returns {Promise<Server>}
 */
export async function inFrontOf(upstream, front) {
  const behind = await upstream;
  try {
    const server = await front(behind.port);
    return {
      port: server.port,
      processes: [...server.processes, ...behind.processes],
      ...(behind.workers ? { workers: behind.workers } : {}),
      stop: async () => void (await Promise.all([server.stop(), behind.stop()])),
    };
  } catch (error) {
    await behind.stop();
    throw error;
  }
}

/** A port that was free a moment ago, for a server that cannot bind 0 and tell. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/** @param {number} port @returns {Promise<boolean>} */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** The version of a package of `bench/package.json`. @param {string} name */
export function packageVersion(name) {
  const file = join(bench, `node_modules/${name}/package.json`);
  requireFile(file, 'run `npm ci` in bench/');
  return json(file).version;
}

export function nginxVersion() {
  const text = quietly('nginx', ['-v']);
  if (text === undefined) throw new Error('nginx is not installed (apt-get install nginx)');
  return /nginx\/(\S+)/.exec(text)?.[1] ?? 'unknown';
}

/** A command's output, both streams, or nothing when it is not installed. @param {string} command @param {string[]} args */
export function quietly(command, args) {
  try {
    return execFileSync('sh', ['-c', '"$0" "$@" 2>&1', command, ...args], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
}

/** @param {string} file @param {string} remedy */
export function requireFile(file, remedy) {
  if (!existsSync(file)) throw new Error(`no ${file.slice(root.length + 1)}: ${remedy}`);
}

/** @param {string} file */
export function json(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
