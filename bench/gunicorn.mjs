// gunicorn with one worker process. Its default worker closes every connection, so that it needs a proxy in front; the threaded
// one keeps them and is the faster of the two here.

import { join } from 'node:path';
import { bench, quietly, startAnnounced } from './servers.mjs';

export function gunicornVersion() {
  const version = /\(version (.*)\)/.exec(quietly('gunicorn', ['--version']) ?? '')?.[1];
  if (!version) throw new Error('gunicorn is not installed (apt-get install gunicorn)');
  return version;
}

/** @param {import('./servers.mjs').Order} order */
export function startGunicorn({ application, core }) {
  const args = '--workers 1 --worker-class gthread --threads 4 --keep-alive 75 --bind 127.0.0.1:0'.split(' ');
  return startAnnounced(core, 'gunicorn', [...args, `${application}:application`], join(bench, 'programs'));
}
