// What an idle kept-alive connection costs the server's processes, once each has had one request answered. The kernel's own
// memory for a socket, the same for every server, is not in it.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clientOptions } from '../certificate.mjs';
import { probe } from '../probe.mjs';
import { residentMemory, start as startProcess, stop } from '../process.mjs';

/** For allocators and collectors to do what they do when nothing happens. */
const SETTLE_MS = 1000;

/** @type {import('../scenarios.mjs').Measure} */
export const memory = {
  columns: ['connection', 'before', 'held'],
  seconds: ({ warmUp }) => warmUp + 7,

  async round(start, scenario, { client, clientCore, warmUp }) {
    const { connections, request } = scenario;
    requireDescriptors(connections + 100);
    const server = await start();
    try {
      const target = { port: server.port, scenario, ...(await probe(server.port, scenario)) };
      // A heap that has grown to its working size: else its growth would be counted as the connections'.
      const load = await client.run(
        { ...target, scenario: { ...scenario, connections: 64 } },
        clientCore,
        warmUp,
        false,
      );
      if (load.errors.length > 0) throw new Error(`errors in the warm-up: ${load.errors.join(', ')}`);
      await sleep(SETTLE_MS);
      const before = residentMemory(server.processes);
      const held = await hold(clientCore, 'hold.mjs', {
        port: server.port,
        connections,
        request,
        responseSize: target.responseSize,
        ...(scenario.tls ? { tls: clientOptions() } : {}),
      });
      try {
        await sleep(SETTLE_MS);
        const after = residentMemory(server.processes);
        if (held.child.exitCode !== null) throw new Error(`connections were lost: ${held.stderr().trim()}`);
        return { connection: (after - before) / connections, before: before / 2 ** 20, held: after / 2 ** 20 };
      } finally {
        await stop(held);
      }
    } finally {
      await server.stop();
    }
  },
};

/** Starts a client that holds connections, and waits until it has them. @param {number} core @param {string} name @param {object} order */
export async function hold(core, name, order) {
  const client = join(import.meta.dirname, '../clients', name);
  const held = startProcess(core, process.execPath, [client, JSON.stringify(order)]);
  const output = /** @type {import('node:stream').Readable} */ (held.child.stdout);
  const ended = once(held.child, 'close').then(() => {
    throw new Error(`connections could not be held: ${held.stderr().trim()}`);
  });
  try {
    await Promise.race([once(output, 'data'), ended]);
  } catch (error) {
    await stop(held);
    throw error;
  }
  ended.catch(() => {});
  return held;
}

/** Node raises its soft limit to the hard one, for itself and what it starts. @param {number} wanted */
export function requireDescriptors(wanted) {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  if (limit !== undefined && Number(limit) < wanted) {
    throw new Error(`${wanted} open files are needed and ${limit} allowed: raise \`ulimit -Hn\``);
  }
}
