import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { banner, formatAddress, readyLine, type Ready } from '../../src/cli/banner.js';
import type { CoreAddress } from '../../src/config/core.js';
import type { ResolvedConfig } from '../../src/config/resolved.js';

function ready(
  mounts: number,
  addresses: readonly CoreAddress[],
  workers = 0,
  format: 'json' | 'text' = 'text',
): Ready {
  const config = {
    mounts: Array.from({ length: mounts }, (_, index) => ({
      path: `/${index}`,
      files: { root: '/srv', index: [] },
      rules: {},
    })),
    applications: workers > 0 ? [{ module: '/srv/app.ts' }] : [],
    wsgi: [],
    workers,
    errorLog: { format },
    origin: { source: { name: 'gwanmun.config.ts' }, listen: [] },
  };
  return { config: config as unknown as ResolvedConfig, addresses, ms: 183.7 };
}

const ADDRESSES = [
  { kind: 'tcp', host: '127.0.0.1', port: 3000 },
  { kind: 'unix', path: '/run/site.sock' },
] as const;

test.each([
  [0, ''],
  [1, ' · 1 worker'],
  [2, ' · 2 workers'],
])('the line that programs wait for is one of a text log: %i', (workers, what) => {
  const [, time, rest] = /^(\S+Z) (.*)$/.exec(readyLine(ready(2, ADDRESSES, workers))) ?? [];
  expect(new Date(time ?? '').toISOString()).toBe(time);
  expect(rest?.replace(/\d+\.\d+\.\d+/, 'N')).toBe(
    `info gwanmun N listening on http://127.0.0.1:3000, unix:/run/site.sock${what} · gwanmun.config.ts · ready in 184 ms`,
  );
});

test('where the log is JSON it is one object', () => {
  const line = readyLine(ready(2, ADDRESSES, 1, 'json'));
  expect(line).not.toContain('\n');
  expect(JSON.parse(line)).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
    level: 'info',
    event: 'listening',
    msg: expect.stringMatching(/ listening on http:\/\/127\.0\.0\.1:3000, unix:\/run\/site\.sock$/) as string,
    urls: ['http://127.0.0.1:3000', 'unix:/run/site.sock'],
    workers: 1,
    mounts: 2,
    config: 'gwanmun.config.ts',
    readyMs: 184,
    pid: process.pid,
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
  });
});

test('addresses are URLs', () => {
  expect(formatAddress({ kind: 'tcp', host: '::1', port: 80 })).toBe('http://[::1]:80');
  expect(formatAddress({ kind: 'unix', path: '/run/x.sock' })).toBe('unix:/run/x.sock');
});

test.each([1, 2, 3, 4, 9, 10_000])('the banner for %i mounts has at most six lines', (mounts) => {
  const lines = stripVTControlCharacters(banner(ready(mounts, [{ kind: 'tcp', host: '::', port: 80 }], 2), true)).split(
    '\n',
  );
  expect(lines.length).toBeLessThanOrEqual(6);
  expect(lines[0]).toMatch(/^gwanmun \d+\.\d+\.\d+ {2}ready in 184 ms$/);
  expect(lines[1]).toBe('  http://[::]:80');
  expect(lines[2]).toMatch(/^ {2}\/0 +\S*srv$/);
  if (mounts > 3) expect(lines.at(-2)).toBe(`  and ${mounts - 2} more mounts`);
  expect(lines.at(-1)).toBe('  2 workers · gwanmun.config.ts · Ctrl-C stops');
});

test('the banner has no colours where none are wanted', () => {
  const text = banner(ready(1, [{ kind: 'tcp', host: '127.0.0.1', port: 80 }]), false);
  expect(stripVTControlCharacters(text)).toBe(text);
});
