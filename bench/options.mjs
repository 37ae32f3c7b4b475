// The command line of the benchmark.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const LATEST = join(import.meta.dirname, 'results/latest');
const PARTIAL = join(import.meta.dirname, 'results/partial');

/**
 * @typedef {object} Options
 * @property {string[]} scenarios names, in the order of the list
 * @property {string[]} peers
 * @property {number} rounds
 * @property {number} seconds
 * @property {number} warmUp seconds
 * @property {string | undefined} client
 * @property {number} serverCore
 * @property {number} clientCore
 * @property {string} out path without extension
 */

/** @param {string[]} scenarios @param {string[]} peers */
export function usage(scenarios, peers) {
  return `Usage: npm run bench -- [options]

  --only <names>      scenarios: ${list(scenarios)}
  --peers <names>     peers: ${list(peers)}
  --quick             2 rounds of 1 second
  --rounds <n>        measured windows for each peer (5)
  --seconds <n>       length of a window (2)
  --warm-up <n>       seconds of load before it, every answer checked (1)
  --client <name>     wrk or autocannon (wrk if it is installed)
  --server-core <n>   core for the servers (the first this process may use)
  --client-core <n>   core for the load generator (the second)
  --out <path>        results, without extension (bench/results/latest; a partial run: bench/results/partial)`;
}

/**
 * Throws with a message for people.
 * @param {string[]} args
 * @param {{ scenarios: string[], peers: string[], cores?: number[] }} known
 * @returns {Options | 'help'}
 */
export function readOptions(args, { scenarios, peers, cores = allowedCores() }) {
  const { values } = parseArgs({
    args,
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
  if (values.help) return 'help';
  const serverCore = whole('server-core', values['server-core'], cores[0], 0);
  const clientCore = whole('client-core', values['client-core'], cores[1], 0);
  if (serverCore === clientCore) {
    throw new Error('the benchmark needs two cores: one for the server, one for the client');
  }
  if (values.client !== undefined && !['wrk', 'autocannon'].includes(values.client)) {
    throw new Error(`--client is wrk or autocannon, not “${values.client}”`);
  }
  const partial = values.quick || values.only !== undefined || values.peers !== undefined;
  return {
    scenarios: chosen('scenario', values.only, scenarios),
    peers: chosen('peer', values.peers, peers),
    rounds: whole('rounds', values.rounds, values.quick ? 2 : 5, 1),
    seconds: whole('seconds', values.seconds, values.quick ? 1 : 2, 1),
    warmUp: whole('warm-up', values['warm-up'], 1, 1),
    client: values.client,
    serverCore,
    clientCore,
    out: resolve(values.out ?? (partial ? PARTIAL : LATEST)),
  };
}

/**
 * @param {string} kind
 * @param {string | undefined} text
 * @param {string[]} known
 */
function chosen(kind, text, known) {
  if (text === undefined) return known;
  const names = text.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`there is no ${kind} “${name}”; there are ${known.join(', ')}`);
  }
  return known.filter((name) => names.includes(name));
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number | undefined} fallback
 * @param {number} least
 */
function whole(name, text, fallback, least) {
  const value = text === undefined ? fallback : Number(text);
  if (text?.trim() === '' || value === undefined || !Number.isSafeInteger(value) || value < least) {
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

/** Names in lines that fit a terminal. @param {string[]} names */
function list(names) {
  const lines = [''];
  for (const name of names) {
    const last = lines.length - 1;
    if (`${lines[last]}${name}`.length > 66) lines.push('');
    lines[lines.length - 1] += `${name}, `;
  }
  return lines.join(`\n${' '.repeat(22)}`).replace(/, $/, '');
}
