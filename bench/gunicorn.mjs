// gunicorn with one worker process. Its default worker closes every connection, so that it needs a proxy in front; the threaded
// one keeps them and is the faster of the two here.

import { join } from 'node:path';
import { children } from './process.mjs';
import { bench, quietly, startAnnounced } from './servers.mjs';

export function gunicornVersion() {
  const version = /\(version (.*)\)/.exec(quietly('gunicorn', ['--version']) ?? '')?.[1];
  if (!version) throw new Error('gunicorn is not installed (apt-get install gunicorn)');
  return version;
}

/**
 * @param {import('./servers.mjs').Order} order
 * @param {'gthread' | 'sync'} [workerClass]
 * @returns {Promise<import('./servers.mjs').Server>}
 */
export async function startGunicorn({ application, core }, workerClass = 'gthread') {
  const threads = workerClass === 'gthread' ? '--threads 4 --keep-alive 75' : '';
  const args = `--workers 1 --worker-class ${workerClass} ${threads} --bind 127.0.0.1:0`.split(/ +/);
  const module = application === 'python' ? 'hello' : application;
  const server = await startAnnounced(core, 'gunicorn', [...args, `${module}:application`], join(bench, 'apps'));
  return { ...server, workers: () => server.processes.flatMap(children) };
}
