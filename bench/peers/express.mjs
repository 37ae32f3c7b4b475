import { packageVersion, startProgram } from '../servers.mjs';

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'Express',
  version: () => packageVersion('express'),
  start: (order) => startProgram('express', order),
};
