// At full load, half of it on new connections, the server is reloaded again and again: not one request fails, and every answer is of one
// generation.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from './load.mjs';
import { startServer } from './server.mjs';

/** An application whose answers name its generation in several places. @param {number} generation */
const app = (generation) => `
const generation = 'generation ${generation}';
export async function* application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  yield generation + '\\n';
  await null;
  yield environ.PATH_INFO.slice(1) + '\\n';
  yield generation + '\\n';
}
`;

/** @param {{ requests: number, everyMs: number }} options */
export async function reload({ requests, everyMs }) {
  const server = await startServer({ app: app(1), config: { workers: 2, drainTimeout: 10_000 } });
  const generations = new Set();
  let generation = 1;
  const over = new AbortController();
  const reloading = (async () => {
    while (!over.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      if (over.signal.aborted) break;
      generation += 1;
      writeFileSync(join(server.folder, 'app.mjs'), app(generation));
      const from = server.log.length;
      server.kill('SIGHUP');
      await server.says(/configuration \d+ is in use|reload failed/, from);
    }
  })();
  const began = performance.now();
  const count = await load({
    port: server.port,
    clients: 32,
    total: requests,
    check: (body, id) => {
      const [first, own, last, end] = body.split('\n');
      if (own !== id || end !== '') return 'another answer';
      if (first !== last) return 'two generations in one answer';
      generations.add(first);
      return undefined;
    },
  });
  const seconds = (performance.now() - began) / 1000;
  over.abort();
  await reloading;
  const reloads = generation - 1;
  const end = await server.stop();
  const faults = [];
  if (count.failed.length > 0) faults.push(`${count.failed.length} requests failed`);
  if (count.sent !== count.answered + count.failed.length) faults.push('not every request was accounted for');
  if (/reload failed/.test(server.log)) faults.push('a reload failed');
  if (generations.size < Math.min(reloads, 2)) faults.push('no answer came from a new generation');
  if (end !== 0) faults.push(`the server ended with ${end}`);
  return {
    facts: {
      ...count,
      failed: count.failed.length,
      failures: Object.fromEntries(count.failures),
      reloads,
      generations: generations.size,
      seconds,
    },
    faults,
    log: server.log,
  };
}
