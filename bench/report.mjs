// From rounds to figures: medians, spreads, and whether the targets are reached.

import { metric } from './metrics.mjs';

/**
 * The rounds of one peer, at one point where a scenario has several.
 * @typedef {object} Row
 * @property {string} peer
 * @property {number} [at]
 * @property {import('./metrics.mjs').Round[]} rounds
 * @property {string} [failure] why the row does not count
 * @property {string} [skipped] what is missing on this machine
 */

/**
 * @typedef {object} Verdict
 * @property {import('./scenarios.mjs').Target} target
 * @property {'reached' | 'missed' | 'not measured'} result
 * @property {number} [ours] the median
 * @property {number} [theirs] the rival's
 * @property {number} [ratio] of the medians
 * @property {[number, number]} [spread] of the ratios of each round, or of the figure itself
 */

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {string} title
 * @property {string} load in words
 * @property {string} chart the metric of the plot
 * @property {string[]} columns
 * @property {string} [axis]
 * @property {Row[]} rows
 * @property {Verdict[]} verdicts
 */

/**
 * @typedef {object} Report
 * @property {string} date
 * @property {string} command
 * @property {{ rounds: number, seconds: number, warmUp: number, serverCore: number, clientCore: number }} settings
 * @property {{ cpu: string, cores: number, memory: string, kernel: string, node: string, load: number[] }} machine
 * @property {Record<string, string>} titles by peer
 * @property {Record<string, string>} versions by peer, and the load generator's
 * @property {Result[]} results
 */

/** @typedef {{ median: number, min: number, max: number }} Summary */

/**
 * @param {Row} row
 * @param {string} name
 * @returns {Summary | undefined}
 */
export function summary(row, name) {
  const values = row.rounds.map((round) => round[name]).filter((value) => value !== undefined);
  if (values.length === 0 || row.failure !== undefined) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(sorted, middle) : (at(sorted, middle - 1) + at(sorted, middle)) / 2;
  return { median, min: at(sorted, 0), max: at(sorted, sorted.length - 1) };
}

/**
 * gwanmun against what the target names.
 * @param {import('./scenarios.mjs').Target} target
 * @param {Row[]} rows
 * @returns {Verdict}
 */
export function judge(target, rows) {
  const row = (/** @type {string} */ peer, /** @type {number | undefined} */ point) =>
    rows.find((other) => other.peer === peer && other.at === point && !other.failure && !other.skipped);
  const name = target.metric;
  const ours = row('gwanmun', target.at);
  const mine = ours && summary(ours, name);
  if (!ours || !mine) return { target, result: 'not measured' };
  const holds = (/** @type {number} */ value, /** @type {number} */ limit) =>
    metric(name).better === 'more' ? value >= limit : value <= limit;
  if (target.bound !== undefined) {
    const result = holds(mine.median, target.bound) ? 'reached' : 'missed';
    return { target, result, ours: mine.median, spread: [mine.min, mine.max] };
  }
  const other = target.rival === undefined ? row('gwanmun', target.from) : row(target.rival, target.at);
  const theirs = other && summary(other, name)?.median;
  if (!other || !theirs || target.ratio === undefined) return { target, result: 'not measured', ours: mine.median };
  const ratio = mine.median / theirs;
  const ratios = ours.rounds.flatMap((round, index) => {
    const [a, b] = [round[name], other.rounds[index]?.[name]];
    return a !== undefined && b ? [a / b] : [];
  });
  return {
    target,
    result: holds(ratio, target.ratio) ? 'reached' : 'missed',
    ours: mine.median,
    theirs,
    ratio,
    spread: [Math.min(...ratios), Math.max(...ratios)],
  };
}

/** @param {number[]} values @param {number} index */
function at(values, index) {
  return /** @type {number} */ (values[index]);
}
