import { expect, test } from 'vitest';

const { readOptions, usage } = await import(new URL('../../bench/options.mjs', import.meta.url).href);

const known = { scenarios: ['hello', 'file', 'start'], peers: ['gwanmun', 'nginx'], cores: [2, 5] };

test('without options everything is measured, five rounds of two seconds, on the first two cores', () => {
  expect(readOptions([], known)).toMatchObject({
    scenarios: known.scenarios,
    peers: known.peers,
    rounds: 5,
    seconds: 2,
    warmUp: 1,
    serverCore: 2,
    clientCore: 5,
    out: expect.stringMatching(/bench\/results\/latest$/),
  });
});

test('a part of it, or quickly, goes to another file and keeps the order of the list', () => {
  const options = readOptions(['--only', 'start,hello', '--peers', 'nginx', '--quick'], known);
  expect(options).toMatchObject({ scenarios: ['hello', 'start'], peers: ['nginx'], rounds: 2, seconds: 1 });
  expect(options.out).toMatch(/bench\/results\/partial$/);
});

test.each([
  [['--only', 'helo'], 'there is no scenario “helo”; there are hello, file, start'],
  [['--peers', 'apache'], 'there is no peer “apache”'],
  [['--rounds', '0'], '--rounds takes a whole number of at least 1'],
  [['--seconds', ''], '--seconds takes a whole number'],
  [['--client', 'ab'], '--client is wrk or autocannon'],
  [['--server-core', '5'], 'two cores'],
  [['--fast'], "'--fast'"],
])('%j is refused with a reason', (args, reason) => {
  expect(() => readOptions(args, known)).toThrow(reason);
});

test('one core is not enough', () => {
  expect(() => readOptions([], { ...known, cores: [0] })).toThrow('--client-core');
});

test('--help tells every option', () => {
  expect(readOptions(['-h'], known)).toBe('help');
  for (const name of [
    'only',
    'peers',
    'quick',
    'rounds',
    'seconds',
    'warm-up',
    'client',
    'server-core',
    'client-core',
    'out',
  ])
    expect(usage(known.scenarios, known.peers)).toContain(`--${name} `);
});
