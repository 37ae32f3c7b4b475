// The report made of fixed figures: verdicts, the page, the plots.

import { expect, test } from 'vitest';

const load = async (name: string) => await import(new URL(`../../bench/${name}.mjs`, import.meta.url).href);
const { judge, summary } = await load('report');
const { digest, page } = await load('page');
const { overview, plot } = await load('plot');
const { metric } = await load('metrics');
const { peers } = await load('peers');
const { scenarios } = await load('scenarios');

const rounds = (...values: number[]) => values.map((cpu) => ({ cpu, rate: 1e6 / cpu, p99: undefined }));
const rows = [
  { peer: 'gwanmun', rounds: rounds(7, 8, 6) },
  { peer: 'uws', rounds: rounds(8, 10, 8) },
  { peer: 'express', rounds: rounds(90, 100) },
  { peer: 'nginx', rounds: [], skipped: 'nginx is not installed (apt-get install nginx)' },
  { peer: 'bun', rounds: rounds(9), failure: '3 × read' },
];

test('a row is told by its median and its extremes', () => {
  expect(summary(rows[0], 'cpu')).toEqual({ median: 7, min: 6, max: 8 });
  expect(summary(rows[2], 'cpu')).toEqual({ median: 95, min: 90, max: 100 });
  expect(summary(rows[0], 'p99')).toBeUndefined();
  expect(summary(rows[4], 'cpu')).toBeUndefined();
});

test('against a rival, the ratio of the medians decides', () => {
  const verdict = judge({ metric: 'cpu', rival: 'uws', ratio: 0.9 }, rows);
  expect(verdict).toMatchObject({ result: 'reached', ours: 7, theirs: 8, ratio: 0.875, spread: [0.75, 0.875] });
  expect(judge({ metric: 'cpu', rival: 'uws', ratio: 0.8 }, rows).result).toBe('missed');
});

test('where more is better, at least the target is asked', () => {
  expect(judge({ metric: 'rate', rival: 'uws', ratio: 1.1 }, rows).result).toBe('reached');
  expect(judge({ metric: 'rate', rival: 'uws', ratio: 1.2 }, rows).result).toBe('missed');
});

test('against a figure, the median decides', () => {
  expect(judge({ metric: 'cpu', bound: 7 }, rows)).toMatchObject({ result: 'reached', ours: 7, spread: [6, 8] });
  expect(judge({ metric: 'cpu', bound: 6.9 }, rows).result).toBe('missed');
});

test('where a cost grows, gwanmun is its own rival', () => {
  const growing = [
    { peer: 'gwanmun', at: 10, rounds: rounds(8, 8) },
    { peer: 'gwanmun', at: 1000, rounds: rounds(10, 10) },
  ];
  expect(judge({ metric: 'cpu', ratio: 1.3, from: 10, at: 1000 }, growing)).toMatchObject({
    result: 'reached',
    ratio: 1.25,
  });
  expect(judge({ metric: 'cpu', ratio: 1.2, from: 10, at: 1000 }, growing).result).toBe('missed');
});

test('a rival that failed or is not installed decides nothing', () => {
  expect(judge({ metric: 'cpu', rival: 'bun', ratio: 1 }, rows).result).toBe('not measured');
  expect(judge({ metric: 'cpu', rival: 'nginx', ratio: 1 }, rows).result).toBe('not measured');
});

const result = {
  name: 'hello',
  title: 'a few <bytes>',
  load: '64 connections',
  chart: 'cpu',
  columns: ['cpu', 'rate', 'p99'],
  rows,
  verdicts: [judge({ metric: 'cpu', rival: 'uws', ratio: 0.9 }, rows)],
};
const growth = {
  ...result,
  name: 'growth',
  axis: 'mounts',
  rows: ['gwanmun', 'uws'].flatMap((peer) => [10, 100].map((at) => ({ peer, at, rounds: rounds(at / 10, at / 5) }))),
  verdicts: [judge({ metric: 'cpu', bound: 1 }, [])],
};
const report = {
  date: '2030-01-02 03:04 UTC',
  command: 'npm run bench',
  settings: { rounds: 3, seconds: 1, warmUp: 1, serverCore: 0, clientCore: 1 },
  machine: { cpu: 'Z80', cores: 2, memory: '1 GiB', kernel: 'Linux 7', node: 'v30', load: [0, 0, 0] },
  titles: { gwanmun: 'gwanmun', uws: 'uWebSockets.js', express: 'A & B', nginx: 'nginx', bun: 'Bun' },
  versions: { gwanmun: '9.9', wrk: '4' },
  results: [result, growth],
};

test('the page shows machine, command, versions, targets and every row, also the one that is missing', () => {
  const text = page(report, '/somewhere/latest');
  for (const part of [
    'Z80',
    'Linux 7',
    'v30',
    '`npm run bench`',
    '| gwanmun | 9.9 |',
    '7.00 (6.00–8.00)',
    '0.88 × (0.75–0.88)',
  ])
    expect(text).toContain(part);
  expect(text).toContain('skipped: nginx is not installed (apt-get install nginx)');
  expect(text).toContain('**FAILED**: 3 × read');
  expect(text).toContain('](latest/hello.svg)');
  expect(text).toContain('| gwanmun | 1.50 (1.00–2.00) | 15.00 (10.00–20.00) |');
  // Every line of a table has as many cells as its head.
  for (const table of text.match(/(?:^\|.*\n)+/gm) ?? []) {
    const counts = new Set(
      table
        .trim()
        .split('\n')
        .map((line: string) => line.replaceAll('\\|', '').split('|').length),
    );
    expect([...counts], table).toHaveLength(1);
  }
});

test('the README gets the picture, the machine and a link to every figure', () => {
  const text = digest(report, 'bench/results/latest');
  for (const part of ['](bench/results/latest/overview.svg)', 'Z80', '](bench/results/latest.md)']) {
    expect(text).toContain(part);
  }
  expect(text.split('\n')).toHaveLength(3);
});

test('the picture of the README has a row for each scenario, with two bars', () => {
  const rows = [result, result].map((row) => ({ result: row, title: 'A & B', rival: 'uws' }));
  const svg = overview(rows, report.titles);
  expect(svg.match(/<rect class="bar ours"/g)).toHaveLength(2);
  expect(svg.match(/<rect class="bar"/g)).toHaveLength(2);
  expect(svg).toContain('A &amp; B');
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
});

test('a plot has a bar for each measured peer, its spread, the target, and colours for light and dark', () => {
  const svg = plot(result, report.titles);
  expect(svg.match(/<rect class="bar/g)).toHaveLength(3);
  expect(svg.match(/<rect class="bar ours"/g)).toHaveLength(1);
  expect(svg).toContain('class="target"');
  expect(svg).toContain('class="spread"');
  // Express is off the scale, and says so.
  expect(svg).toContain('class="cut"');
  expect(svg).toContain('A &amp; B');
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
});

test('a plot of growth has a line for each peer', () => {
  const svg = plot(growth, report.titles);
  expect(svg.match(/<polyline /g)).toHaveLength(2);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
});

test('a plot of nothing is a plot all the same', () => {
  for (const empty of [
    { ...result, rows: [] },
    { ...growth, rows: [] },
  ])
    expect(plot(empty, report.titles)).not.toMatch(/NaN|undefined|Infinity/);
  expect(overview([], report.titles)).toContain('<svg');
});

test('every scenario names peers that exist, metrics that exist, and rivals that are measured in each round', () => {
  for (const { name, peers: compared, beside = [], targets, measure } of scenarios) {
    for (const peer of [...compared, ...beside]) expect(peers[peer]?.title, `${name}: ${peer}`).toBeTypeOf('string');
    expect(compared, name).toContain('gwanmun');
    expect(targets.length, name).toBeGreaterThan(0);
    for (const column of measure.columns) expect(metric(column), name).toBeDefined();
    for (const target of targets) {
      expect(measure.columns, name).toContain(target.metric);
      if (target.rival !== undefined) expect(compared, name).toContain(target.rival);
      expect((target.bound === undefined) !== (target.ratio === undefined), name).toBe(true);
    }
  }
});
