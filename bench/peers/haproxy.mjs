import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { files } from '../site.mjs';
import { quietly, startInDirectory } from '../servers.mjs';

/** In front of nothing: it answers with what is in its configuration, or with a small file that it has read at its start. */
/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'HAProxy',
  version() {
    const version = /HAProxy version (\S+)/.exec(quietly('haproxy', ['-v']) ?? '')?.[1];
    if (version === undefined) throw new Error('haproxy is not installed');
    return version;
  },
  start: ({ application, core, certificate }) =>
    startInDirectory(core, ({ directory, port }) => {
      const config = join(directory, 'haproxy.cfg');
      const answers = {
        hello: 'http-request return status 200 content-type text/plain string "Hello, world!"',
        files: `http-request return status 200 content-type application/octet-stream file "${files}/1k.bin" if { path /1k.bin }`,
      };
      const secure = certificate ? ` ssl crt ${certificate.both} ssl-min-ver TLSv1.3` : '';
      writeFileSync(
        config,
        `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 75s
  timeout http-keep-alive 75s
  timeout http-request 75s
frontend measured
  bind 127.0.0.1:${port} backlog 4096${secure}
  ${answers[/** @type {keyof typeof answers} */ (application)]}
`,
      );
      return ['haproxy', '-db', '-f', config];
    }),
};
