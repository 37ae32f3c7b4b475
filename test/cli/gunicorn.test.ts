// What gunicorn's users type.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.js';
import { GUNICORN_NAMES, GUNICORN_OPTIONS, GUNICORN_REFUSED } from '../../src/cli/gunicorn.js';
import { resolveConfig, type Settings } from '../../src/config/resolve.js';
import type { ResolvedConfig } from '../../src/config/resolved.js';
import { GwanmunError } from '../../src/errors.js';
import { ask, python } from '../python/python.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

function settings(line: string): Settings | undefined {
  const command = parseCommand(line.split(' '));
  if (command.name !== 'serve') throw new Error(command.name);
  return command.overrides.settings;
}

function resolved(line: string, config: object = {}): ResolvedConfig {
  return resolveConfig(
    { config: { mounts: [{ path: '/', files: '.' }], ...config }, directory: process.cwd(), source: { name: 'test' } },
    { settings: settings(line) },
    {},
  );
}

function fault(line: string): string {
  try {
    parseCommand(line.split(' '));
  } catch (error) {
    if (error instanceof GwanmunError) return `${error.message} | ${error.remedy}`;
  }
  throw new Error(`${line} is accepted`);
}

describe("gunicorn's options", () => {
  test.each<[string, Settings]>([
    ['-b 0.0.0.0:8000 --bind unix:/run/a.sock', { listen: [{ host: '0.0.0.0', port: 8000 }, { unix: '/run/a.sock' }] }],
    ['-t 60', { timeout: 60_000 }],
    ['--timeout 0', { timeout: 0 }],
    ['--graceful-timeout 5', { drainTimeout: 5000, shutdownTimeout: 5000 }],
    ['--keep-alive 2', { timeouts: { keepAlive: 2000 } }],
    ['--max-requests 1000 --max-requests-jitter 50', { recycle: { requests: 1050, jitter: 50 } }],
    ['--max-requests 0', {}],
    ['--limit-request-line 4094 --limit-request-fields 0', { limits: { requestLine: 4094, headerCount: 1000 } }],
    ['--access-logfile -', { accessLog: {} }],
    ['--access-logfile a.log', { accessLog: { file: 'a.log' } }],
    ['--error-logfile e.log --log-level WARNING', { errorLog: { file: 'e.log', level: 'warn' } }],
    ['--log-file=-', {}],
    ['--forwarded-allow-ips 10.0.0.0/8,127.0.0.1', { trustedProxies: ['10.0.0.0/8', '127.0.0.1'] }],
    ['--forwarded-allow-ips=*', { trustedProxies: ['*'] }],
    ['--pid /run/a.pid', { pidFile: '/run/a.pid' }],
  ])('%s', (line, expected) => {
    expect(settings(line)).toEqual(expected);
  });

  test('win over the configuration key by key', () => {
    const config = { limits: { body: 5 }, accessLog: 'json', timeouts: { write: 6 } };
    const { limits, accessLog, timeouts, timeout } = resolved(
      '--limit-request-fields 7 --access-logfile - --keep-alive 3 --timeout 4',
      config,
    );
    expect(limits).toMatchObject({ body: 5, headerCount: 7 });
    expect(accessLog.format).toBe('json');
    expect(timeouts).toMatchObject({ writeMs: 6, keepAliveMs: 3000 });
    expect(timeout).toBe(4000);
  });

  test.each([
    ['-k gevent', 'gwanmun takes no -k | not needed: the core holds the connections'],
    ['--daemon', 'gwanmun takes no --daemon | leave that to systemd'],
    ['--reload', 'gwanmun takes no --reload | gwanmun dev'],
    ['--timeout soon', '--timeout: expected a whole number from 0 to 2000000, got "soon"'],
    ['--timeout', '--timeout needs a value'],
    ['--bind', '--bind needs a value | --bind 0.0.0.0:8000'],
    ['--bind ::1:80', '--bind: expected'],
    ['--bind :80 --port 81', 'use either --bind, or --host and --port'],
    [
      '--forwarded-allow-ips 10.0.0.1/8',
      '--forwarded-allow-ips: expected a network, got "10.0.0.1/8", which is an address in one',
    ],
    ['--log-level loud', '--log-level: expected debug'],
    ['check --timeout 3', 'gwanmun check takes no --timeout; gwanmun serve does'],
  ])('%s is refused', (line, message) => {
    expect(fault(line)).toContain(message);
  });

  test('are all in the table of the documentation', () => {
    const page = readFileSync(new URL('../../docs/guides/coming-from.md', import.meta.url), 'utf8');
    const named = { ...GUNICORN_OPTIONS, ...GUNICORN_REFUSED, ...GUNICORN_NAMES };
    const later = new Set(['backlog', 'worker-tmp-dir', 'access-logformat']);
    for (const name of Object.keys(named).filter((option) => !later.has(option))) {
      expect(page).toContain(`\`--${name}\``);
    }
  });
});

const APP = 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"as ever"]\n';

test('a gunicorn command line serves, and its pid file is there while it runs', async () => {
  const args = ['shop:app', '--bind', '127.0.0.1:0', '-w', '2', '--timeout', '5', '--pid', 'shop.pid'];
  const path = process.env['PATH'] ?? '';
  await using server = new Gwanmun({
    args,
    files: { 'shop.py': APP },
    env: { PATH: `${python.replace(/\/[^/]*$/, '')}:${path}` },
  });
  const port = await server.port();
  expect((await ask(port, 'GET /')).body.toString()).toBe('as ever');
  const file = join(server.folder, 'shop.pid');
  await expect.poll(() => readFileSync(file, 'utf8')).toBe(`${server.child.pid}\n`);

  const second = new Gwanmun({ args, folder: server.folder, files: {} });
  expect(await second.exit()).toBe(1);
  expect(second.stderr).toContain(`GWM_PID_FILE  shop.pid names process ${server.child.pid}, which is running`);

  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  expect(() => readFileSync(file)).toThrow('ENOENT');
});

test('a pid file of a process that is gone is no hindrance', async () => {
  await using server = new Gwanmun({ config: { pidFile: 'a.pid' }, files: { 'a.pid': '999999999\n' } });
  await server.port();
  await expect.poll(() => readFileSync(join(server.folder, 'a.pid'), 'utf8')).toBe(`${server.child.pid}\n`);
  // Somebody else's by now.
  writeFileSync(join(server.folder, 'a.pid'), '1\n');
  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  expect(readFileSync(join(server.folder, 'a.pid'), 'utf8')).toBe('1\n');
});
