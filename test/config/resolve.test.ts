import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../src/config/check.js';
import type { Config } from '../../src/config/define.js';
import { resolveConfig, type Overrides } from '../../src/config/resolve.js';
import { processCount, type ResolvedConfig } from '../../src/config/resolved.js';
import { toCoreConfig } from '../../src/config/to-core.js';
import { parallelism } from '../../src/config/parallelism.js';
import { GwanmunError } from '../../src/errors.js';

let directory: string;

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-resolve-')));
  mkdirSync(join(directory, 'public'));
  writeFileSync(join(directory, 'app.ts'), '');
  writeFileSync(join(directory, 'admin.ts'), '');
  writeFileSync(join(directory, 'notes.txt'), '');
});
afterAll(() => rmSync(directory, { recursive: true }));

function resolved(
  config: Omit<Config, 'mounts'> & { mounts?: Config['mounts'] },
  overrides: Overrides = {},
  env = {},
): ResolvedConfig {
  const source = { name: 'gwanmun.config.ts' };
  const checked = checkConfig({ mounts: [{ path: '/', files: './public' }], ...config }, source);
  return resolveConfig({ config: checked, directory, source }, overrides, env);
}

describe('the address', () => {
  const env = { PORT: '4000', HOST: '0.0.0.0' };
  test.each<[string, Config['listen'], Overrides, NodeJS.ProcessEnv, unknown]>([
    ['is 127.0.0.1:3000 by default', undefined, {}, {}, [{ kind: 'tcp', host: '127.0.0.1', port: 3000 }]],
    ['comes from the environment', undefined, {}, env, [{ kind: 'tcp', host: '0.0.0.0', port: 4000 }]],
    [
      'ignores empty variables',
      undefined,
      {},
      { PORT: '', HOST: '' },
      [{ kind: 'tcp', host: '127.0.0.1', port: 3000 }],
    ],
    ['of the configuration wins over the environment', '::1:5', {}, env, undefined],
    ['of the configuration wins over PORT and HOST', '[::1]:5', {}, env, [{ kind: 'tcp', host: '::1', port: 5 }]],
    [
      'takes what the configuration leaves open from HOST',
      5000,
      {},
      env,
      [{ kind: 'tcp', host: '0.0.0.0', port: 5000 }],
    ],
    [
      'takes what the configuration leaves open from PORT',
      { host: 'x' },
      {},
      env,
      [{ kind: 'tcp', host: 'x', port: 4000 }],
    ],
    ['of a flag wins over all', '[::1]:5', { port: 0, host: 'a' }, env, [{ kind: 'tcp', host: 'a', port: 0 }]],
    ['keeps the configured host beside --port', '[::1]:5', { port: 6 }, env, [{ kind: 'tcp', host: '::1', port: 6 }]],
    ['keeps the configured port beside --host', '[::1]:5', { host: 'b' }, {}, [{ kind: 'tcp', host: 'b', port: 5 }]],
    ['of a flag replaces several', [1, 2], { port: 6 }, {}, [{ kind: 'tcp', host: '127.0.0.1', port: 6 }]],
    ['of a flag replaces a Unix socket', 'unix:/x', { port: 6 }, {}, [{ kind: 'tcp', host: '127.0.0.1', port: 6 }]],
  ])('%s', (_, listen, overrides, environment, expected) => {
    if (expected === undefined) expect(() => resolved({ listen }, overrides, environment)).toThrow(GwanmunError);
    else expect(resolved({ listen }, overrides, environment).listen).toEqual(expected);
  });

  test('may be a Unix socket beside the configuration file', () => {
    expect(resolved({ listen: { unix: './x.sock', mode: 0o600 } }).listen).toEqual([
      { kind: 'unix', path: join(directory, 'x.sock'), mode: 0o600 },
    ]);
  });

  test('with a PORT that is no port is refused, and says which variable', () => {
    expect(() => resolved({}, {}, { PORT: '80x' })).toThrow('PORT: expected a port from 0 to 65535, got "80x"');
    // It is not looked at where it does not matter.
    expect(resolved({ listen: 1 }, {}, { PORT: '80x' }).listen).toHaveLength(1);
  });
});

describe('applications and workers', () => {
  test('each distinct module gets one index', () => {
    const config = resolved({
      mounts: [
        { path: '/', app: './app.ts', files: 'public' },
        { path: '/admin', app: 'admin.ts' },
        { path: '/again', app: join(directory, 'app.ts') },
      ],
    });
    expect(config.applications).toEqual([
      { module: join(directory, 'app.ts') },
      { module: join(directory, 'admin.ts') },
    ]);
    expect(config.mounts.map(({ application }) => application)).toEqual([0, 1, 0]);
    expect(config.mounts[0]?.files).toMatchObject({ root: join(directory, 'public'), index: ['index.html'] });
  });

  test('there is one worker by default, and none without an application', () => {
    expect(resolved({}).workers).toBe(0);
    const mounts = [{ path: '/', app: './app.ts' }];
    expect(resolved({ mounts }).workers).toBe(1);
    expect(resolved({ mounts, workers: 3 }).workers).toBe(3);
    expect(resolved({ mounts, workers: 3 }, { workers: 2 }).workers).toBe(2);
    expect(resolved({ mounts, workers: 'auto' }).workers).toBe(availableParallelism());
  });

  test('missing folders and modules are all named, with what was probably meant', () => {
    const mounts = [
      { path: '/a', files: './pubic', app: './ap.ts' },
      { path: '/b', app: './notes.txt' },
      { path: '/c', files: './app.ts' },
    ];
    try {
      resolved({ mounts, compressionCache: './app.ts' });
      expect.unreachable();
    } catch (error) {
      const problems = (error as GwanmunError).problems?.map(({ where, message }) => `${where?.key}: ${message}`);
      expect(problems).toEqual([
        expect.stringMatching(/^mounts\[0\]\.files: there is no folder .*pubic; did you mean "public"\?$/),
        expect.stringMatching(/^mounts\[0\]\.app: there is no file .*ap\.ts; did you mean "app\.ts"\?$/),
        expect.stringMatching(/^mounts\[1\]\.app: .*notes\.txt is not a module/),
        expect.stringMatching(/^mounts\[2\]\.files: .*app\.ts is not a folder$/),
        expect.stringMatching(/^compressionCache: .*app\.ts is not a folder$/),
      ]);
    }
  });
});

describe("the core's configuration", () => {
  test('holds every default', () => {
    const { tempDir, ...core } = toCoreConfig(resolved({ mounts: [{ path: '/x', app: 'app.ts', files: 'public' }] }));
    expect(tempDir).toBe(tmpdir());
    expect(core).toEqual({
      threads: 0,
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 3000 }],
      mounts: [
        {
          path: '/x',
          files: {
            root: join(directory, 'public'),
            index: ['index.html'],
            tryFiles: [],
            types: [],
            headers: [['*', 'X-Content-Type-Options', 'nosniff']],
            listing: false,
            compress: true,
          },
          application: 0,
          pool: 0,
          compress: true,
        },
      ],
      pools: [{ queue: 1024, queueTimeoutMs: 30_000, requestTimeoutMs: 30_000 }],
      limits: {
        requestLine: 8192,
        headerBytes: 16_384,
        headerCount: 100,
        body: 10_485_760,
        bodyInMemory: 65_536,
        spool: 1_073_741_824,
        minRate: 240,
      },
      timeouts: { headerMs: 15_000, bodyMs: 30_000, keepAliveMs: 75_000, writeMs: 30_000 },
      serverHeader: expect.stringMatching(/^gwanmun\/\d+\.\d+\.\d+$/) as string,
      accessLog: { format: process.stdout.isTTY ? 'short' : 'combined', color: expect.any(Boolean) as boolean },
      environ: {},
      errorLog: { format: 'text', level: 'info', timed: !process.stderr.isTTY },
      requestIds: 'off',
      trustedProxies: [],
      reservedDescriptors: 24 + 1 * (2 * parallelism() + 8),
      multiprocess: false,
    });
  });

  test('keeps descriptors for all workers of a reload, of every pool', () => {
    const config = { ...resolved({ mounts: [{ path: '/', app: 'app.ts' }], threads: 4, workers: { min: 1, max: 5 } }) };
    expect(toCoreConfig(config).reservedDescriptors).toBe(24 + 5 * (2 * 4 + 8));
    expect(toCoreConfig({ ...config, wsgi: [{} as never] }).reservedDescriptors).toBe(24 + 10 * (2 * 4 + 8));
  });

  test('takes what is configured', () => {
    const core = toCoreConfig(
      resolved({
        mounts: [{ path: '/', app: 'app.ts' }],
        workers: 2,
        server: false,
        accessLog: { file: 'access.log' },
        errorLog: { file: './error.log' },
        queue: { length: 5, timeout: 6 },
        timeout: 7,
        limits: { body: 7 },
        timeouts: { keepAlive: 0 },
        compressionCache: './new/cache',
        threads: 2,
      }),
    );
    expect(core).toMatchObject({
      multiprocess: true,
      serverHeader: null,
      accessLog: { format: 'combined', color: false, file: join(directory, 'access.log') },
      errorLog: { format: 'text', level: 'info', file: join(directory, 'error.log'), timed: true },
      pools: [{ queue: 5, queueTimeoutMs: 6, requestTimeoutMs: 7 }],
      limits: { body: 7, headerCount: 100 },
      timeouts: { keepAliveMs: 0, headerMs: 15_000 },
      compressionCache: join(directory, 'new/cache'),
      threads: 2,
    });
    expect(toCoreConfig(resolved({ accessLog: false })).accessLog.format).toBe('off');
    expect(toCoreConfig(resolved({})).pools).toEqual([]);
  });
});

describe('Python applications', () => {
  const path = '/';

  test('have a pool each, beside the one of the modules', () => {
    const config = resolved({
      workers: 2,
      mounts: [
        { path, app: './app.ts' },
        { path: '/one', wsgi: 'one', python: process.execPath },
        { path: '/two', wsgi: 'two:app', python: process.execPath },
        { path: '/three', wsgi: 'one', python: process.execPath },
      ],
    });
    const core = toCoreConfig(config);
    expect(core.pools).toHaveLength(3);
    expect(core.mounts.map(({ application, pool }) => [application, pool])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [0, 1],
    ]);
    expect(processCount(config)).toBe(6);
    expect(config.wsgi[1]).toEqual({ target: 'two:app', python: process.execPath, directory });
  });

  test('run in the environment of their folder, else with python3', () => {
    const python = (): string | undefined => resolved({ mounts: [{ path, wsgi: 'one' }] }).wsgi[0]?.python;
    expect(python()).toBe('python3');
    for (const folder of ['.venv', 'venv']) {
      mkdirSync(join(directory, folder, 'bin'), { recursive: true });
      symlinkSync(process.execPath, join(directory, folder, 'bin/python'));
      expect(python()).toBe(join(directory, folder, 'bin/python'));
    }
  });

  test.each([
    ['./nowhere/python', 'mounts[0].python: there is no file'],
    ['./app.ts', 'is not a program'],
    ['./venv', 'is not a program; did you mean "./venv/bin/python"?'],
    ['python-99', 'there is no program "python-99" on PATH'],
  ])('with %s as interpreter are refused', (python, message) => {
    expect(() => resolved({ mounts: [{ path, wsgi: 'one', python }] })).toThrow(message);
  });
});
