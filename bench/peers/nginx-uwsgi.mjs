import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { uwsgiConfig } from '../nginx.mjs';
import { start, stop } from '../process.mjs';
import { accepts, bench, freePort, inFrontOf, nginxVersion, quietly, startNginx } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx → uWSGI',
  version() {
    const version = quietly('uwsgi', ['--version'])?.trim();
    if (!version) throw new Error('uWSGI is not installed (apt-get install uwsgi uwsgi-plugin-python3)');
    return `${nginxVersion()} → ${version}`;
  },
  start: (order) =>
    inFrontOf(startUwsgi(order.core), (port) => startNginx(order.core, (place) => uwsgiConfig(place, port))),
};

/**
 * One process, its own protocol, no log of requests.
 * @param {number} core
 * @returns {Promise<import('../servers.mjs').Server>}
 */
async function startUwsgi(core) {
  const port = await freePort();
  const options = '--plugin python3 --need-app --disable-logging --listen 100'.split(' ');
  const args = [...options, '--socket', `127.0.0.1:${port}`, '--module', 'hello:application'];
  const server = start(core, 'uwsgi', args, join(bench, 'apps'));
  server.child.stdout?.resume();
  // It listens before the module is loaded, and answers when it is.
  for (let attempt = 0; attempt < 2000 && server.child.exitCode === null; attempt += 1) {
    if (await accepts(port)) return { port, processes: [server], workers: () => [server], stop: () => stop(server) };
    await sleep(3);
  }
  await stop(server);
  throw new Error(`uWSGI did not start: ${server.stderr().trim().split('\n').at(-1) ?? 'no message'}`);
}
