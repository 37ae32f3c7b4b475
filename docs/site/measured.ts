// What the benchmark has measured, in the few figures that the landing page shows.

import { existsSync, readFileSync } from 'node:fs';

/** One server's median of a figure. */
export interface Bar {
  name: string;
  value: number;
}

/** A scenario; the shorter the bar, the better. */
export interface Figure {
  title: string;
  /** What the values are. */
  what: string;
  unit: string;
  digits: number;
  bars: Bar[];
}

export interface Measured {
  date: string;
  command: string;
  machine: string;
  figures: Figure[];
}

/** The parts of bench/results/latest.json that are used here. Any of them may be absent. */
interface Results {
  date?: string;
  command?: string;
  machine?: { cpu?: string; cores?: number; kernel?: string; node?: string };
  titles?: Record<string, string>;
  results?: { name?: string; rows?: { peer?: string; rounds?: Record<string, number | null | undefined>[] }[] }[];
}

/** What is shown: a scenario's name in the results, the figure of its rounds, and what to call them. */
const shown = [
  ['hello', 'cpu', { title: 'Application', what: 'CPU a request', unit: 'µs', digits: 1 }],
  ['file', 'cpu', { title: 'File of 1 KiB', what: 'CPU a request', unit: 'µs', digits: 1 }],
  ['two-tier', 'cpu', { title: 'Without a proxy', what: 'CPU a request', unit: 'µs', digits: 1 }],
  ['starved', 'delay99', { title: 'File, workers busy', what: 'p99 latency', unit: 'ms', digits: 1 }],
  ['idle-memory', 'connection', { title: 'Idle connection', what: 'memory', unit: 'B', digits: 0 }],
  ['start', 'answer', { title: 'First answer', what: 'from the start', unit: 'ms', digits: 0 }],
] as const;

/** Servers that are shown, and their names where the results have none. */
const servers: Record<string, string> = {
  gwanmun: 'gwanmun',
  uws: 'uWebSockets.js',
  bun: 'Bun',
  'node-http': 'node:http',
  fastify: 'Fastify',
  express: 'Express',
  nginx: 'nginx',
  'nginx-uws': 'nginx → uWebSockets.js',
  'nginx-node': 'nginx → node:http',
};

/** Reads the results; null if there are none that are shown. */
export function measured(file: string): Measured | null {
  if (!existsSync(file)) return null;
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as Results;
  const { date = '', command = '', machine = {}, titles = {}, results = [] } = parsed;
  const figures = shown.flatMap(([scenario, figure, described]) => {
    const rows = results.find(({ name }) => name === scenario)?.rows ?? [];
    const bars = rows.flatMap(({ peer = '', rounds = [] }) => {
      const value = median(rounds.flatMap((round) => (typeof round[figure] === 'number' ? [round[figure]] : [])));
      const name = servers[peer] === undefined ? undefined : (titles[peer] ?? servers[peer]);
      return name === undefined || value === undefined ? [] : [{ name, value }];
    });
    const isComparison = bars.length > 1 && bars.some(({ name }) => name === 'gwanmun');
    return isComparison ? [{ ...described, bars }] : [];
  });
  const { cpu, cores, kernel, node } = machine;
  const machineText = [cpu, cores && `${cores} cores`, kernel, node && `Node ${node}`].filter(Boolean).join(', ');
  return figures.length === 0 ? null : { date, command, machine: machineText, figures };
}

function median(values: number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
