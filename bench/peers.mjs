// What is compared: how each server is started, and what is needed for it.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { filesConfig, proxyConfig } from './peers/nginx.mjs';
import { listening, scratch, start, stop } from './process.mjs';

/** What a server is asked to be. @typedef {'hello' | 'environ' | 'file'} Application */

/**
 * A running server.
 * @typedef {object} Server
 * @property {number} port on 127.0.0.1
 * @property {import('./process.mjs').Pinned[]} processes the roots of its process trees
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Peer
 * @property {string} title
 * @property {() => string} version throws when the peer is not there, with a message that says what is missing
 * @property {(application: Application, core: number) => Promise<Server>} start
 */

const bench = import.meta.dirname;
const root = join(bench, '..');
const site = join(bench, 'apps/site');
const floor = join(bench, 'floor/target/release/gwanmun-bench-floor');

/** @type {Record<string, Peer>} */
export const peers = {
  gwanmun: {
    title: 'gwanmun',
    version() {
      const commit = quietly('git', ['-C', root, 'rev-parse', '--short', 'HEAD']);
      return `${json(join(root, 'package.json')).version}${commit ? ` (${commit.trim()})` : ''}`;
    },
    start: (application, core) =>
      startAnnounced(
        core,
        process.execPath,
        [join(root, 'dist/cli/main.js'), 'serve', '-c', join(bench, `apps/${application}.config.mjs`), '--port', '0'],
        root,
      ),
  },

  uws: {
    title: 'uWebSockets.js',
    version() {
      const file = join(bench, 'node_modules/uWebSockets.js/package.json');
      requireFile(file, 'run `npm ci` in bench/');
      return json(file).version;
    },
    start: (application, core) => startAnnounced(core, process.execPath, [join(bench, 'peers/uws.mjs'), application]),
  },

  'node-http': {
    title: 'node:http',
    version: () => process.versions.node,
    start: (application, core) =>
      startAnnounced(core, process.execPath, [join(bench, 'peers/node-http.mjs'), application]),
  },

  floor: {
    title: 'epoll loop (floor)',
    version() {
      requireFile(floor, 'cargo is needed to build bench/floor');
      return /^version = "(.*)"$/m.exec(readFileSync(join(bench, 'floor/Cargo.toml'), 'utf8'))?.[1] ?? 'unknown';
    },
    start: (_application, core) => startAnnounced(core, floor, []),
  },

  nginx: {
    title: 'nginx',
    version: nginxVersion,
    start: (_application, core) => startNginx(core, (place) => filesConfig(place, site, true)),
  },

  // For a file this small, reading it costs nginx less than sendfile does: reported, so that nobody is misled.
  'nginx-read': {
    title: 'nginx, sendfile off',
    version: nginxVersion,
    start: (_application, core) => startNginx(core, (place) => filesConfig(place, site, false)),
  },

  'nginx-uws': {
    title: 'nginx → uWebSockets.js',
    version: () => `${nginxVersion()} → ${peers['uws']?.version()}`,
    async start(application, core) {
      const upstream = await startAnnounced(core, process.execPath, [join(bench, 'peers/uws.mjs'), application]);
      try {
        const front = await startNginx(core, (place) => proxyConfig(place, upstream.port));
        return {
          port: front.port,
          processes: [...front.processes, ...upstream.processes],
          stop: async () => void (await Promise.all([front.stop(), upstream.stop()])),
        };
      } catch (error) {
        await upstream.stop();
        throw error;
      }
    },
  },
};

/**
 * Starts a server that binds a free port itself and says on standard error where it listens.
 * @param {number} core
 * @param {string} command
 * @param {string[]} args
 * @param {string} [directory]
 * @returns {Promise<Server>}
 */
async function startAnnounced(core, command, args, directory) {
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
 * @param {(place: import('./peers/nginx.mjs').Place) => string} config
 * @returns {Promise<Server>}
 */
async function startNginx(core, config) {
  const directory = await mkdtemp(join(scratch, 'nginx-'));
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  await writeFile(file, config({ directory, port }));
  const server = start(core, 'nginx', ['-p', directory, '-c', file, '-e', 'stderr']);
  server.child.stdout?.resume();
  // nginx does not say when it is ready; its socket does.
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (server.child.exitCode !== null) break;
    if (await accepts(port)) return { port, processes: [server], stop: () => stop(server) };
    await sleep(25);
  }
  await stop(server);
  throw new Error(`nginx did not start: ${server.stderr().trim() || 'no message'}`);
}

/** A port that was free a moment ago, for a server that cannot bind 0 and tell. @returns {Promise<number>} */
function freePort() {
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
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

function nginxVersion() {
  const text = quietly('nginx', ['-v']);
  if (text === undefined) throw new Error('nginx is not on the PATH');
  return /nginx\/(\S+)/.exec(text)?.[1] ?? 'unknown';
}

/** A command's output, both streams, or nothing when it is not installed. @param {string} command @param {string[]} args */
function quietly(command, args) {
  try {
    return execFileSync('sh', ['-c', '"$0" "$@" 2>&1', command, ...args], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
}

/** @param {string} file @param {string} remedy */
function requireFile(file, remedy) {
  if (!existsSync(file)) throw new Error(`no ${file.slice(root.length + 1)}: ${remedy}`);
}

/** @param {string} file */
function json(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
