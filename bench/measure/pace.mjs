// Requests at a constant rate, whether the earlier ones are answered or not (open loop), while the application is kept spinning in
// JavaScript. A latency counts from the moment the request was due, so that a stalled server is not excused from the requests
// that could not be sent meanwhile.

import { join } from 'node:path';
import { probe } from '../probe.mjs';
import { runClient } from '../process.mjs';

/** The handler at /spin holds its thread for so long. */
const SPIN_SECONDS = 0.1;

/** @type {import('../scenarios.mjs').Measure} */
export const pace = {
  columns: ['delay99', 'delay50', 'delayMax', 'unanswered', 'spinning'],
  seconds: ({ warmUp, seconds }) => warmUp + seconds + 1.5,

  async round(start, scenario, { clientCore, warmUp, seconds }) {
    const server = await start();
    try {
      const { responseSize } = await probe(server.port, scenario);
      const { connections, rate = 1000, request } = scenario;
      const order = { port: server.port, request, responseSize, rate, connections, spinners: 2, warmUp, seconds };
      const client = join(import.meta.dirname, '../clients/pace.mjs');
      const output = await runClient(clientCore, process.execPath, [client, JSON.stringify(order)]);
      const { p50, p99, max, unanswered, spins, lasted } = JSON.parse(output);
      const spinning = ((spins * SPIN_SECONDS) / lasted) * 100;
      if (spinning < 50) throw new Error(`the application was busy for ${spinning.toFixed(0)} % of the time only`);
      return { delay99: p99, delay50: p50, delayMax: max, unanswered: unanswered * 100, spinning };
    } finally {
      await server.stop();
    }
  },
};
