import { packageVersion, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'srvx on node:http',
  version: () => packageVersion('srvx'),
  start: (order) => startProgram('srvx', order),
};
