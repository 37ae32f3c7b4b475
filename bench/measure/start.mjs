// From the command to the first answer.

import { probe } from '../probe.mjs';
import { cpuTime } from '../process.mjs';

/** @type {import('../scenarios.mjs').Measure} */
export const start = {
  columns: ['answer', 'startCpu'],
  seconds: () => 1,

  async round(start, scenario) {
    const begin = performance.now();
    const server = await start();
    try {
      await probe(server.port, scenario);
      const answer = performance.now() - begin;
      const { user, system } = cpuTime(server.processes);
      return { answer, startCpu: (user + system) * 1000 };
    } finally {
      await server.stop();
    }
  },
};
