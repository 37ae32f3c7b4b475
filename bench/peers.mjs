// What is compared: every file of peers/ is one peer, named by its file.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {import('./servers.mjs').Peer} Peer */

const folder = join(import.meta.dirname, 'peers');
const names = readdirSync(folder).map((file) => file.replace(/\.mjs$/, ''));
// The one that it is all about comes first.
names.sort((a, b) => Number(b === 'gwanmun') - Number(a === 'gwanmun') || a.localeCompare(b));

/** @type {Record<string, Peer>} */
export const peers = {};
for (const name of names) peers[name] = (await import(join(folder, `${name}.mjs`))).peer;

/** @param {string} name */
export function peerOf(name) {
  const peer = peers[name];
  if (!peer) throw new Error(`peers/${name}.mjs is missing`);
  return peer;
}

/** @param {string} name */
export function titleOf(name) {
  return peers[name]?.title ?? name;
}
