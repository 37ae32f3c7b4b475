import { readFileSync } from 'node:fs';
import { PACKAGE } from '../package-folder.js';

const { version } = JSON.parse(readFileSync(new URL('package.json', PACKAGE), 'utf8')) as {
  version: string;
};

/** The version of this package, from its package.json. */
export const VERSION: string = version;
