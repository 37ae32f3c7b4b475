// At full load, half of it on new connections, a random worker dies whenever all are ready: by SIGKILL, by a segmentation fault, by a
// process.exit() in a handler, or out of memory. Only requests that the application had begun may fail. What it has begun it writes to a
// journal of its own.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { get, load } from './load.mjs';
import { startServer } from './server.mjs';

const WORKERS = 3;
const WAYS = ['SIGKILL', 'exit', 'SIGSEGV', 'out-of-memory'];

const app = `
import { openSync, writeSync } from 'node:fs';
const journal = openSync(process.env.FOLDER + '/journal-' + process.pid, 'a');
export async function application(environ, startResponse) {
  const id = environ.PATH_INFO.slice(1);
  if (id === 'ready') {
    startResponse('200 OK', [['Content-Type', 'text/plain']]);
    return String(process.pid);
  }
  if (id === 'exit') process.exit(7);
  if (id === 'out-of-memory') for (const all = []; ; ) all.push(new Array(100_000).fill(0.5));
  writeSync(journal, 'begun ' + id + '\\n');
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return id;
}
`;

/** @param {{ requests: number, everyMs: number }} options */
export async function crash({ requests, everyMs }) {
  const server = await startServer({
    app,
    config: { workers: WORKERS, queue: { length: 10_000, timeout: 60_000 } },
    // So that running out of it does not take the machine along.
    env: { NODE_OPTIONS: '--max-old-space-size=48' },
  });
  /** @type {Record<string, number>} */
  const deaths = {};
  let turn = 0;
  const over = new AbortController();
  const killing = (async () => {
    while (!over.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      const ready = workersOf(server.pid);
      if (over.signal.aborted || ready.length < WORKERS) continue;
      const victim = /** @type {number} */ (ready[Math.floor(Math.random() * ready.length)]);
      const way = /** @type {string} */ (WAYS[turn++ % WAYS.length]);
      deaths[way] = (deaths[way] ?? 0) + 1;
      if (way.startsWith('SIG')) process.kill(victim, way);
      // Whoever asks for it has what it asked for.
      else await get(server.port, `/${way}`).catch(() => {});
    }
  })();
  const count = await load({
    port: server.port,
    clients: 32,
    total: requests,
    check: (body, id) => (body === id ? undefined : 'another answer'),
  });
  over.abort();
  await killing;
  /** @type {Map<string, number>} */
  const begun = new Map();
  for (const name of readdirSync(server.folder).filter((file) => file.startsWith('journal-'))) {
    for (const line of readFileSync(join(server.folder, name), 'utf8').split('\n')) {
      const [, id] = line.split(' ');
      if (id !== undefined) begun.set(id, (begun.get(id) ?? 0) + 1);
    }
  }
  const end = await server.stop();
  const faults = [];
  const notBegun = count.failed.filter((id) => !begun.has(id));
  const twice = [...begun].filter(([, times]) => times > 1);
  if (notBegun.length > 0) faults.push(`${notBegun.length} requests failed that no worker had begun`);
  if (twice.length > 0) faults.push(`${twice.length} requests were begun twice`);
  if (count.sent !== count.answered + count.failed.length) faults.push('not every request was accounted for');
  if ([...count.failures.keys()].some((why) => why === 'status 503')) faults.push('a request got a 503');
  if (Object.keys(deaths).length === 0) faults.push('no worker died');
  if (end !== 0) faults.push(`the server ended with ${end}`);
  return {
    facts: { ...count, failed: count.failed.length, failures: Object.fromEntries(count.failures), deaths },
    faults,
    log: server.log,
  };
}

/** The processes of its workers. @param {number} pid */
function workersOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.split(' ').filter(Boolean).map(Number);
}
