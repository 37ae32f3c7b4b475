import { startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'node:http',
  version: () => process.versions.node,
  start: (order) => startProgram('node-http', order),
};
