// What the benchmark has measured, in the few figures that the landing page shows.

import { existsSync, readFileSync } from 'node:fs';

/** One server's median CPU time for a request, in microseconds. */
export interface Bar {
  name: string;
  cpu: number;
}

export interface Figure {
  title: string;
  bars: Bar[];
}

export interface Measured {
  date: string;
  command: string;
  machine: string;
  figures: Figure[];
}

interface Round {
  cpu?: number | null;
}

/** The parts of bench/results/latest.json that are used here. Any of them may be absent. */
interface Results {
  date?: string;
  command?: string;
  machine?: { cpu?: string; cores?: number; kernel?: string; node?: string };
  titles?: Record<string, string>;
  versions?: Record<string, string>;
  results?: { name?: string; title?: string; rows?: { peer?: string; rounds?: Round[] }[] }[];
}

const scenarios: Record<string, string> = {
  hello: 'An application’s answer',
  file: 'A file of 1 KiB',
  'two-tier': 'Instead of a proxy in front',
};

const names: Record<string, string> = {
  gwanmun: 'gwanmun',
  uws: 'uWebSockets.js',
  'node-http': 'node:http',
  nginx: 'nginx',
  'nginx-uws': 'nginx → uWebSockets.js',
};

/** Reads the results; undefined if there are none, or none that are shown. */
export function measured(file: string): Measured | null {
  if (!existsSync(file)) return null;
  const { date = '', command = '', machine = {}, results = [] } = JSON.parse(readFileSync(file, 'utf8')) as Results;
  const figures = Object.entries(scenarios).flatMap(([name, title]) => {
    const rows = results.find((result) => result.name === name)?.rows ?? [];
    const bars = rows.flatMap(({ peer = '', rounds = [] }) => {
      const cpu = median(rounds.flatMap((round) => (typeof round.cpu === 'number' ? [round.cpu] : [])));
      return names[peer] === undefined || cpu === undefined ? [] : [{ name: names[peer], cpu }];
    });
    return bars.length > 1 && bars.some((bar) => bar.name === 'gwanmun') ? [{ title, bars }] : [];
  });
  const described = [
    machine.cpu,
    machine.cores && `${machine.cores} cores`,
    machine.kernel,
    machine.node && `Node ${machine.node}`,
  ];
  return figures.length === 0 ? null : { date, command, machine: described.filter(Boolean).join(', '), figures };
}

function median(values: number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
