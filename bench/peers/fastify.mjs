import { packageVersion, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'Fastify',
  version: () => packageVersion('fastify'),
  start: (order) => startProgram('fastify', order),
};
