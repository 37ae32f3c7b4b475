// The benchmark: `node bench/run.mjs [options]`. `npm run bench` builds everything first.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import colors from 'picocolors';
import { client as loadGenerator } from './load.mjs';
import { peers } from './peers.mjs';
import { probe } from './probe.mjs';
import { cpuTime } from './process.mjs';
import { METRICS, bound, digest, judge, page, summary } from './report.mjs';
import { scenarios } from './scenarios.mjs';

const LATEST = join(import.meta.dirname, 'results/latest');
const usage = `Usage: npm run bench -- [options]

  --only <names>      scenarios: ${scenarios.map(({ name }) => name).join(', ')}
  --peers <names>     peers: ${Object.keys(peers).join(', ')}
  --rounds <n>        measured windows for each peer (5)
  --seconds <n>       length of a window (4)
  --warm-up <n>       seconds of load before it, every answer checked (1)
  --quick             2 rounds of 2 seconds
  --client <name>     wrk or autocannon (wrk if it is installed)
  --server-core <n>   core for the servers (the first this process may use)
  --client-core <n>   core for the load generator (the second)
  --out <path>        results, without extension (bench/results/latest; a partial run: bench/results/partial)`;

const options = readOptions();
const client = loadGenerator(options.client);

// `process.exit` runs the clean-up of process.mjs.
for (const [name, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(name, () => process.exit(code));
}

const versions = await availableVersions();
/** @type {import('./report.mjs').Report} */
const report = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
  command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
  settings: {
    rounds: options.rounds,
    seconds: options.seconds,
    warmUp: options.warmUp,
    serverCore: options.serverCore,
    clientCore: options.clientCore,
  },
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    kernel: `Linux ${release()}`,
    node: process.version,
    load: loadavg(),
  },
  versions: versions.found,
  results: [],
};

say(`${report.machine.cpu}, ${report.machine.kernel}, Node ${report.machine.node}, ${client.name} ${client.version}`);
say(`servers on core ${options.serverCore}, client on core ${options.clientCore}`);
if ((report.machine.load[0] ?? 0) > 0.5) {
  say(
    colors.yellow(
      `the machine is not idle (load average ${report.machine.load[0]?.toFixed(2)}): figures will be noisy`,
    ),
  );
}

for (const scenario of options.scenarios) {
  report.results.push(await measureScenario(scenario));
  save();
}
updateReadme();

say('');
for (const { name, verdict } of report.results) {
  const ratio = verdict.ratio === undefined ? '' : ` ${verdict.ratio.toFixed(2)} ×`;
  const color = verdict.result === 'reached' ? colors.green : colors.red;
  const what = `${METRICS[verdict.metric]} against ${peers[verdict.rival]?.title} (${bound(verdict)})`;
  say(`${name.padEnd(18)} ${color(verdict.result.padEnd(12))}${ratio}  ${what}`);
}
say(`\n${options.out}.md, ${options.out}.json`);
const failed = report.results.some(({ rows }) => rows.some((row) => row.failure !== undefined));
process.exit(failed ? 1 : 0);

/**
 * All rounds of one scenario, interleaved over its peers: A B C A B C …, so that a slow minute of the machine meets all.
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @returns {Promise<import('./report.mjs').Result>}
 */
async function measureScenario(scenario) {
  const { name, title, connections, pipelined, target } = scenario;
  say(`\n${colors.bold(name)}: ${title}`);
  /** @type {import('./report.mjs').Row[]} */
  const rows = scenario.peers
    .filter((peer) => options.peers.includes(peer))
    .map((peer) => {
      const skipped = versions.missing[peer];
      if (skipped !== undefined) say(colors.yellow(`  ${peers[peer]?.title}: skipped, ${skipped}`));
      return { peer, rounds: [], ...(skipped === undefined ? {} : { skipped }) };
    });
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const row of rows) {
      if (row.skipped !== undefined || row.failure !== undefined) continue;
      const label = `  ${round}/${options.rounds}  ${(peers[row.peer]?.title ?? '').padEnd(24)}`;
      try {
        const measured = await measureRound(row.peer, scenario);
        row.rounds.push(measured);
        say(`${label}${show(measured)}`);
      } catch (error) {
        row.failure = error instanceof Error ? error.message : String(error);
        say(`${label}${colors.red(`FAILED: ${row.failure}`)}`);
      }
    }
  }
  for (const row of rows) {
    const cpu = summary(row, 'cpu');
    if (!row.failure && cpu) {
      say(
        `  median ${(peers[row.peer]?.title ?? '').padEnd(22)} ${cpu.median.toFixed(2)} µs CPU a request (${cpu.min.toFixed(2)}–${cpu.max.toFixed(2)})`,
      );
    }
  }
  return { name, title, connections, pipelined, rows, verdict: judge(target, rows) };
}

/**
 * One round: a new server, the correctness probe, warm-up, the measured window.
 * @param {string} name
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @returns {Promise<import('./report.mjs').Round>}
 */
async function measureRound(name, scenario) {
  const peer = /** @type {import('./peers.mjs').Peer} */ (peers[name]);
  const server = await peer.start(scenario.application, options.serverCore);
  try {
    const target = { port: server.port, scenario, responseSize: await probe(server.port, scenario) };
    succeeded(await client.run(target, options.clientCore, options.warmUp, true));
    const before = cpuTime(server.processes);
    const load = succeeded(await client.run(target, options.clientCore, options.seconds, false));
    const after = cpuTime(server.processes);
    const user = after.user - before.user;
    const system = after.system - before.system;
    return {
      rate: load.requests / load.seconds,
      user: (user / load.requests) * 1e6,
      system: (system / load.requests) * 1e6,
      cpu: ((user + system) / load.requests) * 1e6,
      busy: (user + system) / load.seconds,
      p50: load.p50,
      p99: load.p99,
      requests: load.requests,
    };
  } finally {
    await server.stop();
  }
}

/** One error is enough: a server that drops work is not fast. @param {import('./load.mjs').Load} load */
function succeeded(load) {
  if (load.errors.length > 0) throw new Error(`errors under load: ${load.errors.join(', ')}`);
  return load;
}

/** @param {import('./report.mjs').Round} round */
function show(round) {
  const latency = round.p50 === undefined ? '' : `p50 ${round.p50} µs  p99 ${round.p99} µs  `;
  return (
    `${Math.round(round.rate).toLocaleString('en').padStart(10)} req/s  ${round.cpu.toFixed(2).padStart(6)} µs/req ` +
    `(${round.user.toFixed(2)} user + ${round.system.toFixed(2)} system)  ${latency}core ${(round.busy * 100).toFixed(0)} %`
  );
}

async function availableVersions() {
  /** @type {Record<string, string>} */
  const found = {};
  /** @type {Record<string, string>} */
  const missing = {};
  for (const name of options.peers) {
    if (!options.scenarios.some((scenario) => scenario.peers.includes(name))) continue;
    try {
      found[name] = /** @type {import('./peers.mjs').Peer} */ (peers[name]).version();
    } catch (error) {
      missing[name] = error instanceof Error ? error.message : String(error);
    }
  }
  found[client.name] = client.version;
  return { found, missing };
}

/** After every scenario, so that an interrupted run keeps what it has. */
function save() {
  mkdirSync(dirname(options.out), { recursive: true });
  writeFileSync(`${options.out}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(`${options.out}.md`, page(report, peers));
}

/** A full run is what the project's README shows. */
function updateReadme() {
  if (options.out !== LATEST || report.results.length < scenarios.length) return;
  const path = join(import.meta.dirname, '../README.md');
  const text = readFileSync(path, 'utf8');
  const block = `<!-- bench:start -->\n${digest(report, peers)}\n<!-- bench:end -->`;
  writeFileSync(
    path,
    text.replace(/<!-- bench:start -->[^]*<!-- bench:end -->/, () => block),
  );
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        peers: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string' },
        quick: { type: 'boolean', default: false },
        client: { type: 'string' },
        'server-core': { type: 'string' },
        'client-core': { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      say(usage);
      process.exit(0);
    }
    const names = chosen(
      'scenario',
      values.only,
      scenarios.map(({ name }) => name),
    );
    const [first, second] = allowedCores();
    const serverCore = whole('server-core', values['server-core'], first, 0);
    const clientCore = whole('client-core', values['client-core'], second, 0);
    if (serverCore === clientCore)
      throw new Error('the benchmark needs two cores: one for the server, one for the client');
    const partial = values.quick || values.only !== undefined || values.peers !== undefined;
    return {
      scenarios: scenarios.filter(({ name }) => names.includes(name)),
      peers: chosen('peer', values.peers, Object.keys(peers)),
      rounds: whole('rounds', values.rounds, values.quick ? 2 : 5, 1),
      seconds: whole('seconds', values.seconds, values.quick ? 2 : 4, 1),
      warmUp: whole('warm-up', values['warm-up'], 1, 1),
      client: values.client,
      serverCore,
      clientCore,
      out: resolve(values.out ?? (partial ? join(import.meta.dirname, 'results/partial') : LATEST)),
    };
  } catch (error) {
    say(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

/**
 * @param {string} kind
 * @param {string | undefined} list
 * @param {string[]} known
 */
function chosen(kind, list, known) {
  if (list === undefined) return known;
  const names = list.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`there is no ${kind} “${name}”; there are ${known.join(', ')}`);
  }
  return names;
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number | undefined} fallback
 * @param {number} least
 */
function whole(name, text, fallback, least) {
  const value = text === undefined ? fallback : Number(text);
  if (value === undefined || !Number.isSafeInteger(value) || value < least) {
    throw new Error(`--${name} takes a whole number of at least ${least}`);
  }
  return value;
}

/** The cores that this process may use, in order. @returns {number[]} */
function allowedCores() {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
}
