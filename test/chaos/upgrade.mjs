// At full load, half of it on new connections, another process takes the place of the server again and again: not one request fails.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from './load.mjs';
import { startServer } from './server.mjs';

/** An upgrade is a start of everything: for several of them it takes more requests than for reloads. */
const MORE = 3;

/** @param {number} generation */
const app = (generation) => `
export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return 'generation ${generation} ' + environ.PATH_INFO.slice(1);
}
`;

/** @param {{ requests: number, everyMs: number }} options */
export async function upgrade({ requests, everyMs }) {
  const server = await startServer({ app: app(1), config: { workers: 2, timeouts: { keepAlive: 2000 } } });
  // Each generation keeps its address.
  const config = { listen: { host: '127.0.0.1', port: server.port }, accessLog: false, workers: 2 };
  const whole = { ...config, timeouts: { keepAlive: 2000 }, mounts: [{ path: '/', app: './app.mjs' }] };
  writeFileSync(join(server.folder, 'gwanmun.config.mjs'), `export default ${JSON.stringify(whole)};\n`);
  const generations = new Set();
  let upgrades = 0;
  let { pid } = server;
  const over = new AbortController();
  const upgrading = (async () => {
    while (!over.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      if (over.signal.aborted) break;
      writeFileSync(join(server.folder, 'app.mjs'), app(upgrades + 2));
      const from = server.log.length;
      process.kill(pid, 'SIGUSR2');
      const [, next] = await server.says(/process (\d+) has taken over|the upgrade failed|GWM_/, from);
      if (next === undefined) break;
      pid = Number(next);
      upgrades += 1;
    }
  })();
  const count = await load({
    port: server.port,
    clients: 32,
    total: requests * MORE,
    check: (body, id) => {
      const [, generation, own] = /^generation (\d+) (.*)$/.exec(body) ?? [];
      generations.add(generation);
      return own === id ? undefined : 'another answer';
    },
  });
  over.abort();
  await upgrading;
  const first = upgrades > 0 ? await server.exited : 0;
  process.kill(pid, 'SIGTERM');
  await isGone(pid);
  await server.stop();
  const faults = [];
  if (count.failed.length > 0) faults.push(`${count.failed.length} requests failed`);
  if (count.sent !== count.answered + count.failed.length) faults.push('not every request was accounted for');
  if (upgrades === 0) faults.push('no other process has taken the place of the first');
  if (generations.size < Math.min(upgrades, 2)) faults.push('no answer came from a new process');
  if (first !== 0) faults.push(`the first process ended with ${first}`);
  const facts = { ...count, failed: count.failed.length, failures: Object.fromEntries(count.failures), upgrades };
  return { facts, faults, log: server.log };
}

/** @param {number} pid */
async function isGone(pid) {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
