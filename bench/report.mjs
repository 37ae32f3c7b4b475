// From rounds to rows: medians, spreads, ratios, and the page that shows them.

/**
 * One measured window of one peer.
 * @typedef {object} Round
 * @property {number} rate requests a second
 * @property {number} user CPU microseconds a request
 * @property {number} system CPU microseconds a request
 * @property {number} cpu their sum
 * @property {number} busy share of the core, 0 to 1
 * @property {number | undefined} p50 microseconds
 * @property {number | undefined} p99 microseconds
 * @property {number} requests
 */

/**
 * @typedef {object} Row
 * @property {string} peer
 * @property {Round[]} rounds
 * @property {string} [failure] why the row does not count
 * @property {string} [skipped] what is missing on this machine
 */

/**
 * @typedef {object} Verdict
 * @property {string} rival
 * @property {import('./scenarios.mjs').Metric} metric
 * @property {number} target
 * @property {'reached' | 'missed' | 'not measured'} result
 * @property {number} [ratio] of the medians
 * @property {[number, number]} [spread] of the ratios of each round
 */

/** @typedef {{ name: string, title: string, connections: number, pipelined: number, rows: Row[], verdict: Verdict }} Result */

/**
 * @typedef {object} Report
 * @property {string} date
 * @property {string} command
 * @property {{ rounds: number, seconds: number, warmUp: number, serverCore: number, clientCore: number }} settings
 * @property {{ cpu: string, cores: number, memory: string, kernel: string, node: string, load: number[] }} machine
 * @property {Record<string, string>} versions by peer, and the load generator's
 * @property {Result[]} results
 */

/** @typedef {{ median: number, min: number, max: number }} Summary */

/**
 * @param {Row} row
 * @param {keyof Round} metric
 * @returns {Summary | undefined}
 */
export function summary(row, metric) {
  const values = row.rounds.map((round) => round[metric]).filter((value) => value !== undefined);
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(sorted, middle) : (at(sorted, middle - 1) + at(sorted, middle)) / 2;
  return { median, min: at(sorted, 0), max: at(sorted, sorted.length - 1) };
}

/**
 * gwanmun against the rival that the scenario names.
 * @param {import('./scenarios.mjs').Target} target
 * @param {Row[]} rows
 * @returns {Verdict}
 */
export function judge({ rival, metric, ratio: bound }, rows) {
  const measured = (/** @type {string} */ peer) =>
    rows.find((row) => row.peer === peer && !row.failure && !row.skipped);
  const ours = measured('gwanmun');
  const theirs = measured(rival);
  const a = ours && summary(ours, metric)?.median;
  const b = theirs && summary(theirs, metric)?.median;
  if (!a || !b) return { rival, metric, target: bound, result: 'not measured' };
  const ratio = a / b;
  const ratios = ours.rounds.flatMap((round, index) => {
    const [x, y] = [round[metric], theirs.rounds[index]?.[metric]];
    return x && y ? [x / y] : [];
  });
  return {
    rival,
    metric,
    target: bound,
    result: (metric === 'rate' ? ratio >= bound : ratio <= bound) ? 'reached' : 'missed',
    ratio,
    spread: [Math.min(...ratios), Math.max(...ratios)],
  };
}

/**
 * The report as a Markdown page.
 * @param {Report} report
 * @param {Record<string, { title: string }>} peers
 */
export function page(report, peers) {
  const { machine, settings } = report;
  const title = (/** @type {string} */ peer) => peers[peer]?.title ?? peer;
  return [
    '# Benchmark',
    '',
    `\`${report.command}\`, ${report.date}. Made by \`npm run bench\`; how to read it: [README](../README.md).`,
    '',
    '| | |',
    '|---|---|',
    `| CPU | ${machine.cpu}, ${machine.cores} cores, ${machine.memory} |`,
    `| kernel | ${machine.kernel} |`,
    `| Node | ${machine.node} |`,
    ...Object.entries(report.versions).map(([name, version]) => `| ${title(name)} | ${version} |`),
    `| rounds | ${settings.rounds} of ${settings.seconds} s after ${settings.warmUp} s of warm-up, interleaved over the peers; every round starts its server anew |`,
    `| cores | servers on core ${settings.serverCore}, client on core ${settings.clientCore} |`,
    `| load average before | ${machine.load.map((value) => value.toFixed(2)).join(' ')}${machine.load[0] > 0.5 ? ' — **not idle: take the figures with care**' : ''} |`,
    '',
    '## Targets',
    '',
    '| scenario | compared | rival | ratio | rounds’ ratios | target | |',
    '|---|---|---|---|---|---|---|',
    ...report.results.map(({ name, verdict }) =>
      cells(
        name,
        METRICS[verdict.metric],
        title(verdict.rival),
        verdict.ratio === undefined ? '–' : `${verdict.ratio.toFixed(2)} ×`,
        verdict.spread === undefined ? '–' : verdict.spread.map((value) => value.toFixed(2)).join('–'),
        bound(verdict),
        verdict.result === 'reached' ? 'reached' : `**${verdict.result}**`,
      ),
    ),
    '',
    'Medians of the rounds, in parentheses the lowest and the highest.',
    ...report.results.flatMap((result) => [
      '',
      `## ${result.name}`,
      '',
      `${result.title[0]?.toUpperCase()}${result.title.slice(1)}. ${result.connections} connection${result.connections > 1 ? 's' : ''}${result.pipelined > 1 ? `, ${result.pipelined} requests on their way on each` : ''}.`,
      '',
      '| | requests/s | CPU µs/request | user | system | core busy | p50 µs | p99 µs |',
      '|---|---|---|---|---|---|---|---|',
      ...result.rows.map((row) => tableRow(row, title(row.peer))),
    ]),
    '',
  ].join('\n');
}

/**
 * The report in short, for the project's README.
 * @param {Report} report
 * @param {Record<string, { title: string }>} peers
 */
export function digest(report, peers) {
  const { machine, settings } = report;
  const title = (/** @type {string} */ peer) => peers[peer]?.title ?? peer;
  const of = (/** @type {Result} */ result, /** @type {string} */ peer) => {
    const row = result.rows.find((other) => other.peer === peer);
    const unit = { cpu: 'µs CPU', rate: 'requests/s', p50: 'µs p50' }[result.verdict.metric];
    return row
      ? `${median(summary(row, result.verdict.metric), result.verdict.metric === 'cpu' ? 2 : 0)} ${unit}`
      : '–';
  };
  const versions = Object.entries(report.versions).map(([name, version]) => `${title(name)} ${version}`);
  return [
    '| scenario | gwanmun | against | ratio (of each round) | target |',
    '|---|---|---|---|---|',
    ...report.results.map((result) => {
      const { verdict } = result;
      return cells(
        `\`${result.name}\`: ${result.title}`,
        of(result, 'gwanmun'),
        `${title(verdict.rival)}: ${of(result, verdict.rival)}`,
        verdict.ratio === undefined
          ? '–'
          : `${verdict.ratio.toFixed(2)} × (${(verdict.spread ?? []).map((value) => value.toFixed(2)).join('–')})`,
        `${bound(verdict)}, ${verdict.result}`,
      );
    }),
    '',
    `Medians of ${settings.rounds} rounds of ${settings.seconds} s, one worker, server pinned to one core and client to another. \`${report.command}\`, ` +
      `${report.date}; ${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}; ${versions.join(', ')}. ` +
      'All rows and spreads: [bench/results/latest.md](bench/results/latest.md).',
  ].join('\n');
}

/** A target as people say it. @param {Verdict} verdict */
export function bound({ metric, target }) {
  return `${metric === 'rate' ? '≥' : '≤'} ${target.toFixed(2)} ×`;
}

/** @type {Record<import('./scenarios.mjs').Metric, string>} */
export const METRICS = { cpu: 'CPU a request', rate: 'requests a second', p50: 'p50 latency' };

/** @param {Row} row @param {string} title */
function tableRow(row, title) {
  if (row.skipped) return cells(title, `skipped: ${row.skipped}`, '', '', '', '', '', '');
  if (row.failure) return cells(title, `**FAILED**: ${row.failure}`, '', '', '', '', '', '');
  return cells(
    title,
    spread(summary(row, 'rate'), 0),
    spread(summary(row, 'cpu'), 2),
    median(summary(row, 'user'), 2),
    median(summary(row, 'system'), 2),
    `${median(summary(row, 'busy'), 0, 100)} %`,
    spread(summary(row, 'p50'), 0),
    spread(summary(row, 'p99'), 0),
  );
}

/** @param {string[]} values */
function cells(...values) {
  return `| ${values.map((value) => value.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

/** @param {Summary | undefined} value @param {number} digits @param {number} [scale] */
function median(value, digits, scale = 1) {
  return value ? number(value.median * scale, digits) : '–';
}

/** @param {Summary | undefined} value @param {number} digits */
function spread(value, digits) {
  return value ? `${number(value.median, digits)} (${number(value.min, digits)}–${number(value.max, digits)})` : '–';
}

/** Thousands apart by a thin space. @param {number} value @param {number} digits */
function number(value, digits) {
  const [whole = '', fraction] = value.toFixed(digits).split('.');
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, '\u2009');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** @param {number[]} values @param {number} index */
function at(values, index) {
  return /** @type {number} */ (values[index]);
}
