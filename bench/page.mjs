// The report as Markdown: the page with all rows, and the short form for the project's README.

import { basename } from 'node:path';
import { figure, metric, written } from './metrics.mjs';
import { summary } from './report.mjs';

/** @typedef {import('./report.mjs').Report} Report */
/** @typedef {import('./report.mjs').Result} Result */
/** @typedef {import('./report.mjs').Row} Row */
/** @typedef {import('./report.mjs').Verdict} Verdict */

/**
 * The page with everything.
 * @param {Report} report
 * @param {string} plots folder of the plots, beside the page
 */
export function page(report, plots) {
  const { machine, settings, titles } = report;
  const loaded = (machine.load[0] ?? 0) > 0.5 ? ' — **not idle: take the figures with care**' : '';
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
    ...Object.entries(report.versions).map(([name, version]) => `| ${titles[name] ?? name} | ${version} |`),
    `| rounds | ${settings.rounds} of ${settings.seconds} s after ${settings.warmUp} s of warm-up, interleaved over the peers; every round starts its server anew |`,
    `| cores | servers on core ${settings.serverCore}, client on core ${settings.clientCore} |`,
    `| load average before | ${machine.load.map((value) => value.toFixed(2)).join(' ')}${loaded} |`,
    '',
    '## Targets',
    '',
    '| scenario | measured | gwanmun | against | ratio (rounds) | target | |',
    '|---|---|---|---|---|---|---|',
    ...report.results.flatMap((result) => result.verdicts.map((verdict) => targetRow(result, verdict, titles))),
    '',
    'Medians of the rounds, in parentheses the lowest and the highest.',
    ...report.results.flatMap((result) => [
      '',
      `## ${result.name}`,
      '',
      `${capital(result.title)}. ${result.load}.`,
      '',
      `![${result.name}: ${metric(result.chart).title}](${basename(plots)}/${result.name}.svg)`,
      '',
      ...(result.axis === undefined ? table(result, titles) : growthTable(result, titles)),
    ]),
    '',
  ].join('\n');
}

/**
 * The report in short: the picture, and where its figures come from.
 * @param {Report} report
 * @param {string} folder of the plots and, with `.md`, the page, as the README's links name it
 */
export function digest(report, folder) {
  const { machine, settings } = report;
  return [
    `![CPU, memory and start-up time of gwanmun and one other server in six scenarios](${folder}/overview.svg)`,
    '',
    `Medians of up to ${settings.rounds} rounds of ${settings.seconds} s with one worker, the server on one core and the client on another: ` +
      `${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}, ${report.date}. ` +
      `[Every scenario, target and spread](${folder}.md), with the targets that were missed.`,
  ].join('\n');
}

/** A target as people say it. @param {import('./scenarios.mjs').Target} target */
export function limit({ metric: name, bound, ratio = 0 }) {
  const sign = metric(name).better === 'more' ? '≥' : '≤';
  return bound === undefined ? `${sign} ${ratio.toFixed(2)} ×` : `${sign} ${written(bound, name)}`;
}

/** What gwanmun is compared with. @param {import('./scenarios.mjs').Target} target @param {Record<string, string>} titles */
export function opponent({ rival, from }, titles) {
  if (rival !== undefined) return titles[rival] ?? rival;
  return from === undefined ? undefined : `itself at ${figure(from, 0)}`;
}

/** @param {Result} result @param {Verdict} verdict @param {Record<string, string>} titles */
function targetRow({ name }, { target, result, ours, theirs, ratio, spread }, titles) {
  const { digits } = metric(target.metric);
  const against = opponent(target, titles);
  const range = (/** @type {number} */ places) => spread?.map((value) => figure(value, places)).join('–');
  return cells(
    name,
    `${metric(target.metric).title}${target.at === undefined ? '' : ` at ${figure(target.at, 0)}`}`,
    ours === undefined
      ? '–'
      : `${written(ours, target.metric)}${target.bound !== undefined && spread ? ` (${range(digits)})` : ''}`,
    against === undefined ? '' : `${against}${theirs === undefined ? '' : `: ${written(theirs, target.metric)}`}`,
    ratio === undefined ? '' : `${ratio.toFixed(2)} × (${range(2)})`,
    limit(target),
    result === 'reached' ? 'reached' : `**${result}**`,
  );
}

/** @param {Result} result @param {Record<string, string>} titles */
function table({ columns, rows }, titles) {
  return [
    cells('', ...columns.map((name) => `${metric(name).title}, ${metric(name).unit.replace('/s', '1/s')}`)),
    `|---|${'---|'.repeat(columns.length)}`,
    ...rows.map((row) =>
      cells(titles[row.peer] ?? row.peer, ...spoilt(row, columns.length, (index) => value(row, columns[index] ?? ''))),
    ),
  ];
}

/** One line for each peer, one column for each point. @param {Result} result @param {Record<string, string>} titles */
function growthTable({ chart, axis, rows }, titles) {
  const points = [...new Set(rows.map(({ at }) => at ?? 0))];
  const peers = [...new Set(rows.map(({ peer }) => peer))];
  return [
    cells(`${metric(chart).title}, ${metric(chart).unit}`, ...points.map((at) => `${figure(at, 0)} ${axis}`)),
    `|---|${'---|'.repeat(points.length)}`,
    ...peers.map((peer) =>
      cells(
        titles[peer] ?? peer,
        ...points.map((at) => {
          const row = rows.find((other) => other.peer === peer && other.at === at);
          return row ? (spoilt(row, 1, () => value(row, chart))[0] ?? '') : '–';
        }),
      ),
    ),
  ];
}

/**
 * The cells of a row, or why there are none.
 * @param {Row} row
 * @param {number} count
 * @param {(index: number) => string} cell
 */
function spoilt({ skipped, failure }, count, cell) {
  const reason = skipped === undefined ? failure && `**FAILED**: ${failure}` : `skipped: ${skipped}`;
  return Array.from({ length: count }, (_, index) => {
    if (reason === undefined) return cell(index);
    return index === 0 ? reason : '';
  });
}

/** @param {Row} row @param {string} name */
function value(row, name) {
  const found = summary(row, name);
  if (!found) return '–';
  const { digits, detail } = metric(name);
  const [median, min, max] = [found.median, found.min, found.max].map((number) => figure(number, digits));
  return detail ? `${median}` : `${median} (${min}–${max})`;
}

/** @param {string} text */
function capital(text) {
  return `${text[0]?.toUpperCase()}${text.slice(1)}`;
}

/** @param {string[]} values */
function cells(...values) {
  return `| ${values.map((text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}
