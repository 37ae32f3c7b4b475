import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { banner, formatAddress, readyLine } from '../../src/cli/banner.js';
import type { ResolvedConfig } from '../../src/config/resolve.js';

test('the line that programs wait for', () => {
  const addresses = [{ kind: 'tcp', host: '127.0.0.1', port: 3000 }] as const;
  expect(readyLine(addresses, 1)).toMatch(
    /^gwanmun \d+\.\d+\.\d+ listening on http:\/\/127\.0\.0\.1:3000 \(1 worker\)$/,
  );
  expect(readyLine(addresses, 2)).toMatch(/ \(2 workers\)$/);
  expect(readyLine(addresses, 0)).toMatch(/:3000$/);
});

test('addresses are URLs', () => {
  expect(formatAddress({ kind: 'tcp', host: '::1', port: 80 })).toBe('http://[::1]:80');
  expect(formatAddress({ kind: 'unix', path: '/run/x.sock' })).toBe('unix:/run/x.sock');
});

test('the banner has at most six lines', () => {
  const mounts = Array.from({ length: 9 }, (_, index) => ({ path: `/${index}`, files: { root: '/srv', index: [] } }));
  const config = { mounts, applications: [], wsgi: [], workers: 0 } as unknown as ResolvedConfig;
  const lines = stripVTControlCharacters(
    banner(config, [{ kind: 'tcp', host: '::', port: 80 }], 'gwanmun.config.ts'),
  ).split('\n');
  expect(lines.length).toBeLessThanOrEqual(6);
  expect(lines[0]).toContain('http://[::]:80');
  expect(lines.join('\n')).toContain('and 7 more mounts');
});
