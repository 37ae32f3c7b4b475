// What connections that send a byte a second do to others: the latency of an ordinary client at a constant rate without them and
// with them, and the memory that they take.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { probe } from '../probe.mjs';
import { residentMemory, runClient, stop } from '../process.mjs';
import { hold, requireDescriptors } from './memory.mjs';

/** Of the ordinary client. */
const CONNECTIONS = 16;
/** Until every connection has dripped, and the first ones have been given up. */
const SETTLE_MS = 3000;

/** @type {import('../scenarios.mjs').Measure} */
export const drip = {
  columns: ['slowdown', 'calm99', 'delay99', 'connection'],
  seconds: ({ warmUp, seconds }) => 2 * (warmUp + seconds) + 8,

  async round(start, scenario, { clientCore, warmUp, seconds }) {
    const { connections, rate = 1000, request } = scenario;
    requireDescriptors(connections + 100);
    const server = await start();
    try {
      const { responseSize } = await probe(server.port, scenario);
      const { port } = server;
      const order = { port, request, responseSize, rate, connections: CONNECTIONS, spinners: 0, warmUp, seconds };
      const p99 = async () => {
        const client = join(import.meta.dirname, '../clients/pace.mjs');
        return JSON.parse(await runClient(clientCore, process.execPath, [client, JSON.stringify(order)])).p99;
      };
      const calm = await p99();
      const before = residentMemory(server.processes);
      const held = await hold(clientCore, 'drip.mjs', { port, connections });
      try {
        await sleep(SETTLE_MS);
        const slowed = await p99();
        const after = residentMemory(server.processes);
        if (held.child.exitCode !== null) throw new Error(`the dripping client ended: ${held.stderr().trim()}`);
        return { slowdown: slowed / calm, calm99: calm, delay99: slowed, connection: (after - before) / connections };
      } finally {
        await stop(held);
      }
    } finally {
      await server.stop();
    }
  },
};
