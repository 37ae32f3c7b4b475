import { gunicornVersion, startGunicorn } from '../gunicorn.mjs';
import { proxyConfig } from '../nginx.mjs';
import { inFrontOf, nginxVersion, startNginx } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx → gunicorn, sync',
  version: () => `${nginxVersion()} → ${gunicornVersion()}`,
  start: (order) =>
    inFrontOf(startGunicorn(order, 'sync'), (port) => startNginx(order.core, (place) => proxyConfig(place, port))),
};
