import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { files } from '../site.mjs';
import { quietly, startInDirectory } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'lighttpd',
  version() {
    const version = /lighttpd\/(\S+)/.exec(quietly('lighttpd', ['-v']) ?? '')?.[1];
    if (version === undefined) throw new Error('lighttpd is not installed');
    return version;
  },
  start: ({ core }) =>
    startInDirectory(core, ({ directory, port }) => {
      const config = join(directory, 'lighttpd.conf');
      writeFileSync(
        config,
        `server.document-root = "${files}"
server.bind = "127.0.0.1"
server.port = ${port}
server.max-fds = 16384
server.max-connections = 8192
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 75
server.network-backend = "sendfile"
server.stat-cache-engine = "simple"
mimetype.assign = ( ".txt" => "text/plain", ".bin" => "application/octet-stream" )
static-file.etags = "enable"
`,
      );
      return ['lighttpd', '-D', '-f', config];
    }),
};
