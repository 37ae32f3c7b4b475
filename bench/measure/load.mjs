// As many requests as the server answers: CPU a request, requests a second, latency. Closed loop: each connection asks again
// when it has its answer.

import { prime, probe } from '../probe.mjs';
import { cpuTime } from '../process.mjs';

/** @type {import('../scenarios.mjs').Measure} */
export const load = {
  columns: ['cpu', 'user', 'system', 'rate', 'busy', 'p50', 'p99'],
  seconds: ({ warmUp, seconds }) => warmUp + seconds + 0.7,

  async round(start, scenario, { client, clientCore, warmUp, seconds }) {
    const server = await start();
    try {
      if (scenario.coding !== undefined) await prime(server.port, scenario);
      const target = { port: server.port, scenario, ...(await probe(server.port, scenario)) };
      succeeded(await client.run(target, clientCore, warmUp, true));
      const before = cpuTime(server.processes);
      const workersBefore = server.workers && total(cpuTime(server.workers()));
      const { requests, seconds: lasted, p50, p99 } = succeeded(await client.run(target, clientCore, seconds, false));
      const after = cpuTime(server.processes);
      const workersAfter = server.workers && total(cpuTime(server.workers()));
      const user = after.user - before.user;
      const system = after.system - before.system;
      return {
        cpu: ((user + system) / requests) * 1e6,
        user: (user / requests) * 1e6,
        system: (system / requests) * 1e6,
        rate: requests / lasted,
        ...(workersBefore === undefined || workersAfter === undefined
          ? {}
          : { worker: ((workersAfter - workersBefore) / requests) * 1e6 }),
        busy: ((user + system) / lasted) * 100,
        p50,
        p99,
      };
    } finally {
      await server.stop();
    }
  },
};

/** The same, with what the processes that run the application take of it. */
/** @type {import('../scenarios.mjs').Measure} */
export const loadOfWorkers = { ...load, columns: ['cpu', 'worker', 'user', 'system', 'rate', 'busy', 'p50', 'p99'] };

/** @param {import('../process.mjs').CpuTime} time */
function total({ user, system }) {
  return user + system;
}

/** One error is enough: a server that drops work is not fast. @param {import('../clients/load-generator.mjs').Load} load */
function succeeded(load) {
  if (load.errors.length > 0) throw new Error(`errors under load: ${load.errors.join(', ')}`);
  return load;
}
