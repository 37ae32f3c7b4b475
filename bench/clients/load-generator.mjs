// Load generators: wrk when it is installed, else autocannon.

import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { openSsl } from '../certificate.mjs';
import { runClient, scratch } from '../process.mjs';

/**
 * @typedef {object} Load
 * @property {number} requests answered, and parts of those that are being answered
 * @property {number} seconds
 * @property {number | undefined} p50 microseconds, where the generator measures it well enough
 * @property {number | undefined} p99 microseconds
 * @property {string[]} errors what went wrong, with its number; empty when nothing did
 */

/**
 * @typedef {object} Target
 * @property {number} port on 127.0.0.1
 * @property {import('../scenarios.mjs').Scenario} scenario
 * @property {number} responseSize bytes
 * @property {boolean} isFixed every response has this very size
 */

/**
 * @typedef {object} Client
 * @property {string} name
 * @property {string} version
 * @property {(target: Target, core: number, seconds: number, check: boolean) => Promise<Load>} run
 *   `check`: compare every answer in full, at the price of speed
 */

/**
 * The load generator of this machine.
 * @param {string} [wanted] `wrk` or `autocannon`
 * @returns {Client}
 */
export function client(wanted) {
  const version = wrkVersion();
  if (version !== undefined && wanted !== 'autocannon') return { name: 'wrk', version, run: runWrk };
  if (wanted === 'wrk') throw new Error('wrk is not installed');
  const require = createRequire(import.meta.url);
  return { name: 'autocannon', version: require('autocannon/package.json').version, run: runAutocannon };
}

/** @type {Client['run']} */
async function runWrk({ port, scenario, responseSize, isFixed }, core, seconds, check) {
  const { connections, pipelined } = scenario;
  const request = join(scratch, 'request');
  const body = join(scratch, 'body');
  await writeFile(request, scenario.request.repeat(pipelined), 'latin1');
  await writeFile(body, scenario.body);
  // A large answer may take longer than wrk's own 2 seconds.
  const timeout = Math.max(2, scenario.seconds ?? 0);
  const size = `-t1 -c${connections} -d${seconds}s --timeout ${timeout}s --latency`.split(' ');
  const script = join(import.meta.dirname, 'wrk.lua');
  // What cannot be compared byte by byte was compared by the probe.
  const isComparable = scenario.coding === undefined && scenario.body.length <= 2 ** 21;
  const files = [request, String(scenario.status ?? 200), String(scenario.variety ?? 0)];
  if (check && isComparable) files.push(body);
  const url = `${scenario.tls ? 'https' : 'http'}://127.0.0.1:${port}/`;
  const [command = '', ...args] = [
    ...(scenario.tls ? openSsl() : []),
    'wrk',
    ...size,
    '-s',
    script,
    url,
    '--',
    ...files,
  ];
  const output = await runClient(core, command, args);
  const line = /^\{.*\}$/m.exec(output);
  if (!line) throw new Error(`wrk did not report: ${output.trim()}`);
  const report = JSON.parse(line[0]);
  const errors = Object.entries(report.errors).flatMap(([kind, count]) => (count > 0 ? [`${count} × ${kind}`] : []));
  if (report.requests === 0) errors.push('no request was answered');
  // Unchecked, wrk takes any answer below 400 for a good one; sizes betray what the warm-up did not.
  // Each connection may end with one answer cut short.
  const surplus = report.bytes / responseSize - report.requests;
  if (isFixed && Math.abs(surplus) > 2 * connections) {
    errors.push(`${report.bytes} bytes are not ${report.requests} answers of ${responseSize}`);
  }
  // What is under way at the end has cost something too: of large answers it is much, so they count by their bytes.
  const requests = isFixed ? report.bytes / responseSize : report.requests;
  // wrk corrects its latencies by the mean time between answers, but records one for each batch: with pipelining they mean nothing.
  const { p50, p99 } = pipelined > 1 ? {} : report;
  return { requests, seconds: report.microseconds / 1e6, p50, p99, errors };
}

/** @type {Client['run']} */
async function runAutocannon({ port, scenario }, core, seconds, check) {
  if (scenario.tls) throw new Error('over TLS the load is made by wrk, which is not installed');
  const [first = '', ...lines] = scenario.request.trimEnd().split('\r\n');
  const target = first.split(' ')[1];
  const command = createRequire(import.meta.url).resolve('autocannon/autocannon.js');
  const size = `-c ${scenario.connections} -p ${scenario.pipelined} -d ${seconds}`.split(' ');
  // It sends `Connection: keep-alive` of its own.
  const headers = lines
    .filter((line) => !/^connection:/i.test(line))
    .flatMap((line) => ['-H', line.replace(': ', '=')]);
  const url = `http://127.0.0.1:${port}${target}`;
  const expect = check ? ['-E', scenario.body.toString()] : [];
  const output = await runClient(core, process.execPath, [
    command,
    '--json',
    '--no-progress',
    ...size,
    ...expect,
    ...headers,
    url,
  ]);
  const report = JSON.parse(output);
  const errors = ['errors', 'timeouts', 'mismatches', 'non2xx', 'resets'].flatMap((kind) =>
    report[kind] > 0 ? [`${report[kind]} × ${kind}`] : [],
  );
  if (report.requests.total === 0) errors.push('no request was answered');
  // Its latencies are whole milliseconds: too coarse to report.
  return { requests: report.requests.total, seconds: report.duration, p50: undefined, p99: undefined, errors };
}

/** @returns {string | undefined} */
function wrkVersion() {
  try {
    // `wrk -v` prints its version, then its usage, and exits with 1.
    const output = execFileSync('sh', ['-c', 'wrk -v 2>&1 || true'], { encoding: 'utf8' });
    return /^wrk (\S+(?: \S+)?) \[/.exec(output)?.[1];
  } catch {
    return undefined;
  }
}
