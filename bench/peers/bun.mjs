import { join } from 'node:path';
import { bench, packageVersion, startProgram } from '../servers.mjs';

// The package holds the program itself; `bun` would have an install script link it.
const NAME = `@oven/bun-linux-${process.arch === 'arm64' ? 'aarch64' : 'x64'}`;

/** @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'Bun',
  version: () => packageVersion(NAME),
  start: (order) => startProgram('bun', order, join(bench, `node_modules/${NAME}/bin/bun`)),
};
