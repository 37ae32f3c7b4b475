import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { files } from '../site.mjs';
import { quietly, startInDirectory } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'H2O',
  version() {
    const version = /h2o version (\S+)/.exec(quietly('h2o', ['--version']) ?? '')?.[1];
    if (version === undefined) throw new Error('h2o is not installed');
    return version;
  },
  start: ({ application, core, certificate }) =>
    startInDirectory(core, ({ directory, port }) => {
      const config = join(directory, 'h2o.yaml');
      const secure = certificate
        ? `, ssl: { certificate-file: ${certificate.cert}, key-file: ${certificate.key}, minimum-version: TLSv1.3 }`
        : '';
      const folder = application === 'hello' ? hello(directory) : files;
      writeFileSync(
        config,
        `num-threads: 1
max-connections: 8192
http1-request-timeout: 75
user: ${process.getuid?.() === 0 ? 'root' : 'nobody'}
pid-file: ${directory}/h2o.pid
error-log: ${directory}/h2o.log
file.send-compressed: ON
hosts:
  "127.0.0.1:${port}":
    listen: { host: 127.0.0.1, port: ${port}${secure} }
    paths:
      /:
        file.dir: ${folder}
`,
      );
      return ['h2o', '-m', 'worker', '-c', config];
    }),
};

/** It has no answer of its own: hello is a file. @param {string} directory */
function hello(directory) {
  const folder = join(directory, 'hello');
  mkdirSync(folder);
  writeFileSync(join(folder, 'index.html'), 'Hello, world!');
  return folder;
}
