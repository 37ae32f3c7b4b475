import { packageVersion, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'uWebSockets.js',
  version: () => packageVersion('uWebSockets.js'),
  start: (order) => startProgram('uws', order),
};
