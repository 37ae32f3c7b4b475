import { proxyConfig } from '../nginx.mjs';
import { inFrontOf, nginxVersion, packageVersion, startNginx, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx → uWebSockets.js',
  version: () => `${nginxVersion()} → ${packageVersion('uWebSockets.js')}`,
  start: (order) =>
    inFrontOf(startProgram('uws', order), (port) => startNginx(order.core, (place) => proxyConfig(place, port))),
};
