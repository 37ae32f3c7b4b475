// The benchmark: `node bench/run.mjs [options]`. `npm run bench` builds everything first.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join, relative } from 'node:path';
import colors from 'picocolors';
import { certificate } from './certificate.mjs';
import { client as loadGenerator } from './clients/load-generator.mjs';
import { metric, written } from './metrics.mjs';
import { LATEST, readOptions, usage } from './options.mjs';
import { digest, limit, opponent, page } from './page.mjs';
import { peerOf, peers, titleOf } from './peers.mjs';
import { overview, plot } from './plot.mjs';
import { Progress } from './progress.mjs';
import { judge, summary } from './report.mjs';
import { scenarios } from './scenarios.mjs';

/** What the overview, and so the README, shows: a scenario, what it is called there, and whom it is compared with. */
const OVERVIEW = /** @type {const} */ ([
  ['hello', 'A small answer', 'uws'],
  ['two-tier', 'The same, without a proxy', 'nginx-uws'],
  ['express', 'An Express application', 'express'],
  ['file', 'A file of 1 KiB', 'nginx'],
  ['idle-memory', 'An idle connection', 'nginx'],
  ['start', 'Command to first answer', 'node-http'],
]);

const options = parseOptions();
const client = loadGenerator(options.client);
const chosen = scenarios.filter(({ name }) => options.scenarios.includes(name));

// `process.exit` runs the clean-up of process.mjs.
for (const [name, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(name, () => process.exit(code));
}

const { serverCore, clientCore, rounds, seconds, warmUp } = options;
const { found, missing } = availableVersions();
/** @type {import('./scenarios.mjs').Settings} */
const settings = { client, clientCore, warmUp, seconds };
/** @type {import('./report.mjs').Report} */
const report = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
  command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
  settings: { rounds, seconds, warmUp, serverCore, clientCore },
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    kernel: `Linux ${release()}`,
    node: process.version,
    load: loadavg(),
  },
  titles: Object.fromEntries(Object.keys(found).map((name) => [name, titleOf(name)])),
  versions: found,
  results: [],
};

const plans = chosen.map((scenario) => plan(scenario));
const progress = new Progress(plans.flatMap(({ steps }) => steps.map((step) => step.seconds)));

say(`${report.machine.cpu}, ${report.machine.kernel}, Node ${report.machine.node}, ${client.name} ${client.version}`);
say(`servers on core ${serverCore}, client on core ${clientCore}; ${progress.outlook()}`);
for (const [name, reason] of Object.entries(missing)) say(colors.yellow(`${titleOf(name)}: skipped, ${reason}`));
if ((report.machine.load[0] ?? 0) > 0.5) {
  const load = report.machine.load[0]?.toFixed(2);
  say(colors.yellow(`the machine is not idle (load average ${load}): figures will be noisy`));
}

for (const { scenario, rows, steps } of plans) {
  report.results.push(await measure(scenario, rows, steps));
  save();
}
updateReadme();
conclude();

/**
 * One round of one row.
 * @typedef {{ row: import('./report.mjs').Row, round: number, of: number, seconds: number }} Step
 */

/**
 * The rows of a scenario and its rounds, interleaved over the rows: A B C A B C …, so that a slow minute of the machine meets all.
 * @param {import('./scenarios.mjs').Scenario} scenario
 */
function plan(scenario) {
  const { beside = [], points, measure } = scenario;
  /** @type {import('./report.mjs').Row[]} */
  const rows = [];
  for (const peer of [...scenario.peers, ...beside].filter((name) => options.peers.includes(name))) {
    const skipped = missing[peer];
    for (const at of points?.at ?? [undefined]) {
      rows.push({ peer, rounds: [], ...(at === undefined ? {} : { at }), ...(skipped ? { skipped } : {}) });
    }
  }
  const of = Math.min(rounds, scenario.rounds ?? rounds);
  /** @type {Step[]} */
  const steps = [];
  for (let round = 1; round <= of; round += 1) {
    for (const row of rows) {
      if (row.skipped !== undefined || (beside.includes(row.peer) && round % 2 === 0)) continue;
      steps.push({ row, round, of, seconds: measure.seconds(settingsOf(scenario)) });
    }
  }
  return { scenario, rows, steps };
}

/** @param {import('./scenarios.mjs').Scenario} scenario @returns {import('./scenarios.mjs').Settings} */
function settingsOf(scenario) {
  return { ...settings, seconds: Math.max(seconds, scenario.seconds ?? 0) };
}

/**
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @param {import('./report.mjs').Row[]} rows
 * @param {Step[]} steps
 * @returns {Promise<import('./report.mjs').Result>}
 */
async function measure(scenario, rows, steps) {
  const { name, title, points, targets, measure } = scenario;
  const chart = scenario.chart ?? targets[0]?.metric ?? measure.columns[0] ?? '';
  say(`\n${colors.bold(name)}: ${title}`);
  for (const { row, round, of, seconds } of steps) {
    const at = row.at === undefined ? '' : ` ${row.at} ${points?.axis}`;
    const label = `${round}/${of}  ${`${titleOf(row.peer)}${at}`.padEnd(24)}`;
    if (row.failure !== undefined) {
      progress.done(seconds);
      continue;
    }
    progress.begin(`${name}  ${label}`);
    try {
      const concrete = row.at === undefined || !points ? scenario : { ...scenario, ...points.scenario(row.at) };
      const measured = await measure.round(() => startServer(row.peer, concrete), concrete, settingsOf(scenario));
      row.rounds.push(measured);
      progress.done(seconds);
      say(`${progress.prefix()}${label} ${show(measured, measure.columns)}`);
    } catch (error) {
      row.failure = error instanceof Error ? error.message : String(error);
      progress.done(seconds);
      say(`${progress.prefix()}${label} ${colors.red(`FAILED: ${row.failure}`)}`);
    }
  }
  for (const row of rows) {
    const value = summary(row, chart);
    if (!value) continue;
    const at = row.at === undefined ? '' : ` ${row.at}`;
    const range = `${written(value.min, chart)} to ${written(value.max, chart)}`;
    say(`  median  ${`${titleOf(row.peer)}${at}`.padEnd(24)} ${written(value.median, chart)} (${range})`);
  }
  return {
    name,
    title,
    load: loadInWords(scenario),
    chart,
    columns: measure.columns,
    ...(points ? { axis: points.axis } : {}),
    rows,
    verdicts: targets.map((target) => judge(target, rows)),
  };
}

/** @param {string} name @param {import('./scenarios.mjs').Scenario} scenario */
function startServer(name, { application, applications, size = 0, tls }) {
  const secure = tls ? { certificate: certificate() } : {};
  const what = applications?.[name] ?? application;
  return peerOf(name).start({ application: what, core: serverCore, clientCore, size, ...secure });
}

/** @param {import('./scenarios.mjs').Scenario} scenario */
function loadInWords({ connections, pipelined, rate, points }) {
  if (points?.axis === 'connections') return `${points.at.join(', ')} connections`;
  const each = pipelined > 1 ? `, ${pipelined} requests on their way on each` : '';
  const often = rate === undefined ? '' : `, ${rate} requests a second whatever is answered`;
  return `${connections} connection${connections > 1 ? 's' : ''}${each}${often}`;
}

/** @param {import('./metrics.mjs').Round} round @param {string[]} columns */
function show(round, columns) {
  return columns
    .flatMap((name) => {
      const value = round[name];
      return value === undefined ? [] : [`${metric(name).title} ${written(value, name)}`];
    })
    .join(colors.dim(' · '));
}

function availableVersions() {
  /** @type {Record<string, string>} */
  const found = {};
  /** @type {Record<string, string>} */
  const missing = {};
  for (const name of options.peers) {
    if (!chosen.some(({ peers, beside = [] }) => peers.includes(name) || beside.includes(name))) continue;
    try {
      found[name] = peerOf(name).version();
    } catch (error) {
      missing[name] = error instanceof Error ? error.message : String(error);
    }
  }
  found[client.name] = client.version;
  return { found, missing };
}

/** After every scenario, so that an interrupted run keeps what it has. */
function save() {
  const { out } = options;
  const titles = { ...report.titles, ...Object.fromEntries(Object.keys(missing).map((name) => [name, titleOf(name)])) };
  mkdirSync(dirname(out), { recursive: true });
  // Plots of scenarios that are no more would stay else.
  if (report.results.length === 1) rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(`${out}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(`${out}.md`, page({ ...report, titles }, out));
  for (const result of report.results) writeFileSync(join(out, `${result.name}.svg`), plot(result, titles));
  const shown = OVERVIEW.flatMap(([name, title, rival]) => {
    const result = report.results.find((other) => other.name === name);
    return result ? [{ result, title, rival }] : [];
  });
  writeFileSync(join(out, 'overview.svg'), overview(shown, titles));
}

/** A full run is what the project's README shows. */
function updateReadme() {
  if (options.out !== LATEST || report.results.length < scenarios.length) return;
  const path = join(import.meta.dirname, '../README.md');
  const text = readFileSync(path, 'utf8');
  const block = `<!-- bench:start -->\n${digest(report, 'bench/results/latest')}\n<!-- bench:end -->`;
  writeFileSync(
    path,
    text.replace(/<!-- bench:start -->[^]*<!-- bench:end -->/, () => block),
  );
}

function conclude() {
  say('');
  for (const { name, verdicts } of report.results) {
    for (const { target, result, ours, ratio } of verdicts) {
      const color = result === 'reached' ? colors.green : colors.red;
      const against = opponent(target, report.titles);
      const value = ratio === undefined ? ours !== undefined && written(ours, target.metric) : `${ratio.toFixed(2)} ×`;
      const what = `${metric(target.metric).title}${against === undefined ? '' : ` against ${against}`} (${limit(target)})`;
      say(`${name.padEnd(20)} ${color(result.padEnd(12))} ${(value || '').padEnd(10)} ${what}`);
    }
  }
  const out = relative(process.cwd(), options.out);
  say(`\n${out}.md, ${out}.json, ${out}/*.svg`);
  const failed = report.results.some(({ rows }) => rows.some((row) => row.failure !== undefined));
  process.exit(failed ? 1 : 0);
}

function parseOptions() {
  const known = { scenarios: scenarios.map(({ name }) => name), peers: Object.keys(peers) };
  try {
    const parsed = readOptions(process.argv.slice(2), known);
    if (parsed !== 'help') return parsed;
    process.stdout.write(`${usage(known.scenarios, known.peers)}\n`);
    process.exit(0);
  } catch (error) {
    process.stderr.write(
      `${error instanceof Error ? error.message : error}\n\n${usage(known.scenarios, known.peers)}\n`,
    );
    process.exit(2);
  }
}

/** @param {string} line */
function say(line) {
  progress.clear();
  process.stdout.write(`${line}\n`);
}
