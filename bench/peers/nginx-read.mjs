import { filesConfig } from '../nginx.mjs';
import { nginxVersion, site, startNginx } from '../servers.mjs';

/**
 * For a file this small, reading it costs nginx less than sendfile does: shown, so that nobody is misled.
 * @type {import('../servers.mjs').Peer}
 */
export const peer = {
  title: 'nginx, sendfile off',
  version: nginxVersion,
  start: ({ core }) => startNginx(core, (place) => filesConfig(place, site, false)),
};
