import { packageVersion, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'Hono on node:http',
  version: () => packageVersion('hono'),
  start: (order) => startProgram('hono', order),
};
