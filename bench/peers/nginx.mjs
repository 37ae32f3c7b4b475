import { filesConfig, helloConfig, manyFilesConfig } from '../nginx.mjs';
import { nginxVersion, site, startNginx } from '../servers.mjs';
import { files } from '../site.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'nginx',
  version: nginxVersion,
  start: ({ application, core, certificate }) =>
    startNginx(core, (free) => {
      const place = certificate ? { ...free, certificate } : free;
      if (application === 'files') return manyFilesConfig(place, files);
      return application === 'file' ? filesConfig(place, site, true) : helloConfig(place);
    }),
};
