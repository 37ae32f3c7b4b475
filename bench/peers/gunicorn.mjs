import { gunicornVersion, startGunicorn } from '../gunicorn.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'gunicorn',
  version: gunicornVersion,
  start: startGunicorn,
};
