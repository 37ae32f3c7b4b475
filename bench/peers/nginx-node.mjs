import { filesConfig } from '../nginx.mjs';
import { inFrontOf, nginxVersion, site, startNginx, startProgram } from '../servers.mjs';

/** nginx serves the files; node:http, on the client's core, what is JavaScript's. @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx → node:http',
  version: () => `${nginxVersion()} → ${process.versions.node}`,
  start: (order) =>
    inFrontOf(startProgram('node-http', { ...order, core: order.clientCore }), (port) =>
      startNginx(order.core, (place) => filesConfig(place, site, true, port)),
    ),
};
