import { filesConfig, helloConfig } from '../nginx.mjs';
import { nginxVersion, site, startNginx } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx',
  version: nginxVersion,
  start: ({ application, core }) =>
    startNginx(core, (place) => (application === 'file' ? filesConfig(place, site, true) : helloConfig(place))),
};
