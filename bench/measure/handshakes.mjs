// New TLS connections, with one request on each: what one costs, and how many a second the server takes.

import { join } from 'node:path';
import { probe } from '../probe.mjs';
import { cpuTime, runClient } from '../process.mjs';
import { bench, requireFile } from '../servers.mjs';

const client = join(bench, 'handshakes/target/release/gwanmun-bench-handshakes');

/** Full handshakes. @type {import('../scenarios.mjs').Measure} */
export const handshakes = measure('full');

/** Those that resume a session by its ticket. @type {import('../scenarios.mjs').Measure} */
export const resumptions = measure('resumed');

/** @param {'full' | 'resumed'} kind @returns {import('../scenarios.mjs').Measure} */
function measure(kind) {
  return {
    columns: ['handshake', 'user', 'system', 'handshakes', 'busy'],
    seconds: ({ warmUp, seconds }) => warmUp + seconds + 0.7,

    async round(start, scenario, { clientCore, warmUp, seconds }) {
      requireFile(client, 'cargo is needed to build bench/handshakes');
      const server = await start();
      try {
        await probe(server.port, scenario);
        const shake = async (/** @type {number} */ duration) =>
          JSON.parse(
            await runClient(clientCore, client, [server.port, kind, duration, scenario.connections].map(String)),
          );
        await shake(warmUp);
        const before = cpuTime(server.processes);
        const { handshakes: count, seconds: lasted } = await shake(seconds);
        const after = cpuTime(server.processes);
        const user = after.user - before.user;
        const system = after.system - before.system;
        return {
          handshake: ((user + system) / count) * 1e6,
          user: (user / count) * 1e6,
          system: (system / count) * 1e6,
          handshakes: count / lasted,
          busy: ((user + system) / lasted) * 100,
        };
      } finally {
        await server.stop();
      }
    },
  };
}
