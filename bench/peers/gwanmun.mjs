import { join } from 'node:path';
import { children, pinChildren } from '../process.mjs';
import { bench, json, quietly, root, startAnnounced } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'gwanmun',
  version() {
    const commit = quietly('git', ['-C', root, 'rev-parse', '--short', 'HEAD']);
    return `${json(join(root, 'package.json')).version}${commit ? ` (${commit.trim()})` : ''}`;
  },
  async start({ application, core, clientCore, size, certificate }) {
    const main = join(root, 'dist/cli/main.js');
    // `hello.ts` is a module as a user has it; else there is a configuration.
    const what = application.endsWith('.ts')
      ? [join(bench, 'apps', application)]
      : ['serve', '-c', join(bench, `apps/${application}.config.mjs`)];
    const env = size > 0 ? ['env', `SIZE=${size}`, process.execPath] : [process.execPath];
    const secure = certificate ? ['--cert', certificate.cert, '--key', certificate.key] : [];
    const [command = '', ...args] = [...env, main, ...what, '--port', '0', ...secure];
    const server = await startAnnounced(core, command, args, root);
    // The web server answers for files on its own core, whatever the workers do on the other.
    if (application === 'starved') for (const process of server.processes) pinChildren(process, clientCore);
    return application === 'python' ? { ...server, workers: () => server.processes.flatMap(children) } : server;
  },
};
