// What is written of programs, what becomes of it, and what is wrong with it.

import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../src/config/check.js';
import type { CoreConfig } from '../../src/config/core.js';
import { resolveConfig } from '../../src/config/resolve.js';
import { toCoreConfig } from '../../src/config/to-core.js';
import { GwanmunError } from '../../src/errors.js';

let directory: string;

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-fastcgi-')));
  mkdirSync(join(directory, 'public'));
  writeFileSync(join(directory, 'hook.pl'), '');
  chmodSync(join(directory, 'hook.pl'), 0o755);
  writeFileSync(join(directory, 'notes.txt'), '');
});
afterAll(() => rmSync(directory, { recursive: true }));

const source = { name: 'gwanmun.config.ts' };

function core(...mounts: Record<string, unknown>[]): CoreConfig {
  const config = checkConfig(
    { user: 'nobody', mounts: mounts.map((own, index) => ({ path: `/${index}`, ...own })) },
    source,
  );
  return toCoreConfig(resolveConfig({ config, directory, source }, {}, {}));
}

function fault(mount: Record<string, unknown>): string {
  try {
    core(mount);
  } catch (error) {
    if (error instanceof GwanmunError)
      return [error.message, ...(error.problems ?? []).map((own) => own.message)].join('\n');
    throw error;
  }
  return 'none';
}

test('an address alone is a program that gets every request', () => {
  const { mounts, upstreams } = core({ fastcgi: 'unix:./app.sock' });
  expect(mounts[0]?.fastcgi).toEqual({ upstream: 0, env: {}, passAuthorization: false });
  expect(upstreams).toEqual([
    {
      address: { kind: 'unix', path: join(directory, 'app.sock') },
      maxConnections: 64,
      queue: 1024,
      queueTimeoutMs: 30_000,
      connectTimeoutMs: 5000,
      timeoutMs: 30_000,
    },
  ]);
});

test('php is the files of its folder, and its scripts', () => {
  const { mounts } = core({ php: { root: './public', to: '127.0.0.1:9000', noExec: ['/up'], scripts: ['index.php'] } });
  const root = join(directory, 'public');
  expect(mounts[0]).toMatchObject({
    files: { root, index: ['index.html'] },
    fastcgi: {
      upstream: 0,
      scripts: { root, index: 'index.php', extensions: ['.php'], only: ['/index.php'], noExec: ['/up'] },
    },
  });
});

test('mounts that say the same of one server share its connections', () => {
  const to = '127.0.0.1:9000';
  const { mounts, upstreams } = core(
    { fastcgi: to },
    { fastcgi: { to, env: { A: 'b' } } },
    { fastcgi: { to, maxConnections: 2 } },
  );
  expect(mounts.map(({ fastcgi }) => fastcgi?.upstream)).toEqual([0, 0, 1]);
  expect(upstreams?.length).toBe(2);
});

test.each([
  ['unix:@app', { kind: 'unix', path: '@app' }],
  ['[::1]:9000', { kind: 'tcp', host: '::1', port: 9000 }],
  ['php:9000', { kind: 'tcp', host: 'php', port: 9000 }],
])('the address %s', (to, address) => {
  expect(core({ fastcgi: { to } }).upstreams?.[0]?.address).toEqual(address);
});

test('cgi is a folder of programs, or one', () => {
  const { mounts, upstreams } = core(
    { cgi: './public' },
    { cgi: { program: './hook.pl', maxProcesses: 3, timeout: 5, limits: { cpu: 1500, memory: 7 } } },
  );
  expect(mounts.map(({ cgi }) => cgi)).toEqual([
    { upstream: 0, folder: join(directory, 'public'), env: {}, passAuthorization: false, limits: {} },
    {
      upstream: 1,
      folder: directory,
      program: 'hook.pl',
      env: {},
      passAuthorization: false,
      limits: { cpu: 2, memory: 7 },
    },
  ]);
  expect(upstreams?.[1]).toMatchObject({
    address: { kind: 'processes', folder: join(directory, 'hook.pl') },
    maxConnections: 3,
    timeoutMs: 5,
  });
});

test.runIf(process.getuid?.() === 0)('C54: as root a user is needed to start programs', () => {
  const config = checkConfig({ mounts: [{ path: '/', cgi: './public' }] }, source);
  expect(() => resolveConfig({ config, directory, source }, {}, {})).toThrow("expected user: 'www-data' beside mounts");
});

describe('what is wrong is said', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ fastcgi: '/run/php.sock' }, 'did you mean "unix:/run/php.sock"?'],
    [{ fastcgi: '9000' }, "expected 'unix:/run/php/php-fpm.sock', '127.0.0.1:9000' or '[::1]:9000', got \"9000\""],
    [{ fastcgi: 'a:0' }, "expected 'unix:/run/php/php-fpm.sock'"],
    [{ fastcgi: '[a]:1' }, "expected 'unix:/run/php/php-fpm.sock'"],
    [{ fastcgi: 9000 }, "expected an address such as '127.0.0.1:9000', or { to, root }"],
    [{ fastcgi: {} }, 'fastcgi.to: is missing'],
    [{ fastcgi: { to: 'a:1', index: 'a.php' } }, 'has index, which is about scripts, but no root'],
    [{ fastcgi: { to: 'a:1', root: './nowhere' } }, 'there is no folder'],
    [{ fastcgi: { to: 'a:1', root: { here: './public', there: 'www' } } }, 'expected an absolute path'],
    [{ fastcgi: { to: 'a:1', root: './public', splitPath: 'php' } }, "expected an extension such as '.foo'"],
    [{ fastcgi: { to: 'a:1', root: './public', noExec: ['/../x'] } }, "expected a path such as '/uploads'"],
    [{ fastcgi: { to: 'a:1', env: { 'A=B': 'c' } } }, "expected a name such as 'APP_ENV'"],
    [{ fastcgi: { to: 'a:1', maxConnections: 0 } }, 'expected a number from 1'],
    [{ fastcgi: { to: 'a:1', pass: 'x' } }, 'unknown key'],
    [{ fastcgi: 'a:1', app: './app.ts' }, 'expected app or fastcgi, got both'],
    [{ php: './public', files: './public' }, 'expected php without files'],
    [{ fastcgi: 'a:1', stream: true }, 'expected no stream: a program gets whole bodies'],
    [{ php: './nowhere' }, 'there is no folder'],
    [{ php: '' }, 'expected the path of a folder, or { root }'],
    [{ cgi: './nowhere' }, 'there is no folder'],
    [{ cgi: { program: './nowhere.pl' } }, 'there is no file'],
    [{ cgi: { program: './public' } }, 'is not a file'],
    [{ cgi: {} }, 'expected either folder or program'],
    [{ cgi: { folder: './public', limits: { cpu: 0 } } }, 'expected milliseconds from 1'],
    [{ cgi: './public', stream: true }, 'expected no stream: a program gets whole bodies'],
    [{ ScriptAlias: './public' }, "gwanmun calls it cgi, as in cgi: './cgi-bin'"],
    [{ fastcgi_pass: 'a:1' }, "gwanmun calls it fastcgi, as in fastcgi: '127.0.0.1:9000'"],
  ])('%j', (mount, text) => {
    expect(fault(mount)).toContain(text);
  });
});
