// npm run machine [-- --seconds N --seed S --episodes N]: random clients against random workers, with a model that accounts for
// every byte, stream and descriptor. Exits with 1 at the first fault, which it shows with the seed that leads to it.

import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    episodes: { type: 'string', default: 'Infinity' },
  },
});
const numbers = [values.seed, values.seconds, values.episodes].map(Number);
if (!numbers.every((number) => number > 0)) {
  process.stderr.write('usage: npm run machine -- [--seconds N] [--seed N] [--episodes N]\n');
  process.exit(2);
}

/** Longer than an episode takes whose every wait is in vain. */
const LONGEST_MS = 400_000;
const totals = { episodes: 0, clients: 0, workers: 0, requests: 0, answers: 0 };
let seed = numbers[0];
let isFaulty = false;
const child = fork(new URL('episodes.mjs', import.meta.url), numbers.map(String));
let watch = setTimeout(hang, LONGEST_MS);

function hang() {
  fail(['the process hangs'], []);
  child.kill('SIGKILL');
}

/**
 * @param {string[]} faults
 * @param {string[]} trace
 */
function fail(faults, trace) {
  isFaulty = true;
  process.stdout.write(`${trace.join('\n')}\n\nFAILED: npm run machine -- --episodes 1 --seed ${seed}\n`);
  for (const fault of faults) process.stdout.write(`  ${fault}\n`);
}

child.on(
  'message',
  (/** @type {{ begun?: number, outcome?: import('./episode.js').Outcome }} */ { begun, outcome }) => {
    clearTimeout(watch);
    watch = setTimeout(hang, LONGEST_MS);
    if (begun !== undefined) seed = begun;
    if (outcome === undefined) return;
    totals.episodes += 1;
    for (const key of /** @type {const} */ (['clients', 'workers', 'requests', 'answers'])) totals[key] += outcome[key];
    if (outcome.faults.length > 0) fail(outcome.faults, outcome.trace);
  },
);
child.on('exit', (code, signal) => {
  clearTimeout(watch);
  if (!isFaulty && (code !== 0 || totals.episodes === 0)) fail([`the process ended with ${signal ?? code}`], []);
  process.stdout.write(`${isFaulty ? 'FAILED' : 'ok'}: ${JSON.stringify({ from: numbers[0], ...totals })}\n`);
  process.exitCode = isFaulty ? 1 : 0;
});
