import { describe, expect, test } from 'vitest';
import { checkConfig } from '../../src/config/check.js';
import { GwanmunError } from '../../src/errors.js';
import { formatError } from '../../src/format-error.js';

const NAME = 'gwanmun.config.ts';
const ROOT = { path: '/', files: '.' };

function faultsOf(input: unknown, text?: string): GwanmunError {
  try {
    checkConfig(input, { name: NAME, text });
  } catch (error) {
    if (error instanceof GwanmunError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('a configuration with faults', () => {
  test('names an unknown key, what was meant, and its line', () => {
    const text = `export default defineConfig({
  mounts: [
    { path: '/', app: './app.ts' },
    // { path: '/x', fils: 'commented out' },
    { path: '/static', fils: './public', files: '.' },
  ],
});
`;
    const config = {
      mounts: [
        { path: '/', app: './app.ts' },
        { path: '/static', fils: './public', files: '.' },
      ],
    };
    expect(formatError(faultsOf(config, text))).toBe(
      [
        '✗ GWM_CONFIG_INVALID  mounts[1].fils: unknown key; did you mean "files"?',
        '  at gwanmun.config.ts:5:24  mounts[1].fils',
        '  try: correct it, then run: gwanmun check',
        '  more: gwanmun help GWM_CONFIG_INVALID',
      ].join('\n'),
    );
  });

  test('names a network that is none, its line, and what to write', () => {
    const trustedProxies = ['10.0.0.1/8', '10.0.0.0/33', 'proxy.internal', '192.0.2.1', '::1/128', 'unix', '*'];
    const text = `export default {
  mounts: [{ path: '/', files: '.' }],
  trustedProxies: [
    ${trustedProxies.map((entry) => `'${entry}'`).join(',\n    ')},
  ],
};
`;
    const error = faultsOf({ mounts: [ROOT], trustedProxies }, text);
    expect(error.problems?.map(({ where, message }) => `${where?.line} ${where?.key}: ${message}`)).toEqual([
      `4 trustedProxies[0]: expected a network, got "10.0.0.1/8", which is an address in one: write '10.0.0.0/8' for all of it, or '10.0.0.1' for that address alone`,
      `5 trustedProxies[1]: expected a prefix of 0 to 32 bits, as in '10.0.0.0/8', got "10.0.0.0/33"`,
      `6 trustedProxies[2]: expected an address or a network, got "proxy.internal"; a name does not work, because its addresses may change: getent hosts NAME shows them`,
    ]);
    for (const other of [true, '10.0.0.0/8', { from: '10.0.0.0/8' }])
      expect(faultsOf({ mounts: [ROOT], trustedProxies: other }).message).toContain(
        'trustedProxies: expected a list of networks',
      );
    expect(faultsOf({ mounts: [ROOT], trustedProxies: [1] }).message).toContain(
      "trustedProxies[0]: expected a network such as '10.0.0.0/8', got 1",
    );
  });

  test('names every fault at once', () => {
    const error = faultsOf({ mounts: [{ path: 'x', files: 1 }], wrokers: 2, timeouts: { header: -1 } });
    expect(error.problems?.map(({ where, message }) => `${where?.key}: ${message}`).sort()).toEqual([
      'mounts[0].files: expected the path of a folder, got 1',
      'mounts[0].path: expected a path that begins with \'/\', got "x"',
      'timeouts.header: expected milliseconds from 1 to 2147483647, got -1',
      'wrokers: unknown key; did you mean "workers"?',
    ]);
    expect(formatError(error)).toContain('gwanmun.config.ts has 4 faults');
    expect(error.exitCode).toBe(2);
  });

  test.each([
    [{ port: 80 }, "port: unknown key; gwanmun calls it listen, as in listen: '127.0.0.1:8080'"],
    [
      { trustProxy: true },
      "trustProxy: unknown key; gwanmun calls it trustedProxies, as in trustedProxies: ['10.0.0.0/8']",
    ],
    [{ bind: ':80' }, "bind: unknown key; gwanmun calls it listen, as in listen: '127.0.0.1:8080'"],
    [{ root: '.' }, "root: unknown key; it belongs in a mount: mounts: [{ path: '/', files: './public' }]"],
    [{ app: 'x' }, "app: unknown key; it belongs in a mount: mounts: [{ path: '/', app: … }]"],
    [
      { ssl: {} },
      "ssl: unknown key; gwanmun calls it tls, as in tls: { cert: './fullchain.pem', key: './privkey.pem' }",
    ],
    [{ http2: true }, 'http2: unknown key; gwanmun speaks HTTP/1.1 only as yet'],
    [
      { mounts: [{ ...ROOT, static: 'x' }] },
      "mounts[0].static: unknown key; gwanmun calls it files, as in files: './public'",
    ],
    [{ mounts: [{ ...ROOT, proxy_pass: 'x' }] }, 'mounts[0].proxy_pass: unknown key; gwanmun does not proxy yet'],
  ])("%j has a name of another server's", (config, message) => {
    expect(faultsOf({ mounts: [ROOT], ...config }).message).toBe(message);
  });

  test('lists the known keys where none is near', () => {
    expect(faultsOf({ mounts: [ROOT], errorLog: { zzz: 1 } }).message).toBe(
      'errorLog.zzz: unknown key; known are format, level, file',
    );
  });

  test.each<[unknown, string]>([
    [undefined, 'expected an object with mounts, got undefined'],
    [[], 'mounts: is missing'],
    [{}, 'mounts: is missing'],
    [{ mounts: [] }, 'mounts: expected at least one mount'],
    [{ mounts: {} }, 'mounts: expected a list of mounts, got Object'],
    [{ mounts: ['/'] }, 'mounts[0]: expected an object, got "/"'],
    [{ mounts: [{ path: '/' }] }, 'mounts[0]: expected files, an application'],
    [{ mounts: [{ path: '/', app: 'a.ts', wsgi: 'a' }] }, 'mounts[0]: expected app or wsgi, got both'],
    [{ mounts: [{ path: '/', files: '.', python: 'python3' }] }, 'mounts[0]: has python, but no wsgi'],
    [{ mounts: [{ path: '/', wsgi: 'a', stream: true }] }, 'a Python application always gets whole bodies'],
    [{ mounts: [{ path: '/', wsgi: 'a b:c' }] }, `mounts[0].wsgi: expected 'module:callable', got "a b:c"`],
    [{ mounts: [{ path: '/', wsgi: './site/app.py:app' }] }, `a module is named without .py: 'site.app:app'`],
    [{ mounts: [{ files: '.' }] }, 'mounts[0].path: is missing'],
    [{ mounts: [ROOT], workers: 0 }, "workers: expected a whole number from 1 to 1024, 'auto' or { min, max }, got 0"],
    [
      { mounts: [ROOT], workers: 1.5 },
      "workers: expected a whole number from 1 to 1024, 'auto' or { min, max }, got 1.5",
    ],
    [
      { mounts: [ROOT], workers: 'many' },
      `workers: expected a whole number from 1 to 1024, 'auto' or { min, max }, got "many"`,
    ],
    [{ mounts: [ROOT], listen: 70_000 }, 'listen: expected a port from 0 to 65535, got 70000'],
    [{ mounts: [ROOT], listen: true }, 'listen: expected a port, an address, { host, port } or { unix }, got true'],
    [{ mounts: [ROOT], listen: [] }, 'listen: expected at least one address'],
    [{ mounts: [ROOT], listen: [80, { prot: 1 }] }, 'listen[1].prot: unknown key; did you mean "port"?'],
    [{ mounts: [ROOT], listen: { port: '80' } }, 'listen.port: expected a port from 0 to 65535, got "80"'],
    [
      { mounts: [ROOT], listen: { unix: '/x', mode: 0o7777 } },
      'listen.mode: expected a file mode such as 0o660 from 0 to 511, got 4095',
    ],
    [
      { mounts: [ROOT], accessLog: 'long' },
      `accessLog: expected 'combined', 'short', 'json', false or { format, file }, got "long"`,
    ],
    [
      { mounts: [ROOT], accessLog: { format: 'long' } },
      `accessLog.format: expected 'combined', 'short' or 'json', got "long"`,
    ],
    [{ mounts: [ROOT], errorLog: { format: 'short' } }, `errorLog.format: expected 'text' or 'json', got "short"`],
    [
      { mounts: [ROOT], errorLog: { level: 'trace' } },
      `errorLog.level: expected 'error', 'warn', 'info' or 'debug', got "trace"`,
    ],
    [{ mounts: [ROOT], requestId: 'trust' }, `requestId: expected true, false or 'generate', got "trust"`],
    [{ mounts: [ROOT], server: 'a\r\nX: y' }, 'server: expected visible ASCII characters'],
    [{ mounts: [ROOT], concurrency: 65_536 }, 'concurrency: expected a number from 1 to 65535, got 65536'],
    [{ mounts: [ROOT], limits: { body: Number.NaN } }, 'limits.body: expected a number of bytes from 0 on, got NaN'],
    [
      { mounts: [ROOT], limits: { headerBytes: 65_536 } },
      'limits.headerBytes: expected a number of bytes from 256 to 61440, got 65536',
    ],
    [
      { mounts: [ROOT], limits: { bodyInMemory: 262_145 } },
      'limits.bodyInMemory: expected a number of bytes from 0 to 262144, got 262145',
    ],
    [{ mounts: [ROOT], queue: { size: 1 } }, 'queue.size: unknown key; known are length, timeout'],
  ])('%j is refused', (input, message) => {
    expect(faultsOf(input).message).toContain(message);
  });

  test.each([
    ['', "expected a URL path such as '/' or '/admin'"],
    ['admin', "expected a path that begins with '/'"],
    ['/a%20b', "expected the decoded path, without '%'"],
    ['/a/../b', "expected a path without '.' and '..' segments"],
    ['/..', "expected a path without '.' and '..' segments"],
    ['/a/.', "expected a path without '.' and '..' segments"],
    ['/a//b', 'expected a path without empty segments'],
    ['/a?b', "expected a path without '?', '#' and '\\'"],
    ['/a\\b', "expected a path without '?', '#' and '\\'"],
    ['/a\nb', 'expected a path without control characters'],
  ])('the mount path %j is refused', (path, message) => {
    expect(faultsOf({ mounts: [{ path, files: '.' }] }).message).toContain(message);
  });

  test.each([
    [{ 'wsgi.input': 'x' }, "expected a name such as 'APP_MODE'"],
    [{ 'A B': 'x' }, "expected a name such as 'APP_MODE'"],
    [{ A: 5 }, 'expected a string'],
    [{ A: 'a\0B' }, 'expected characters from U+0001 to U+00FF'],
    [{ A: '한글' }, 'expected characters from U+0001 to U+00FF'],
    [{ A: 'x'.repeat(40_000) }, 'expected at most 32768 characters in all'],
  ])('the environ %j is refused', (environ, message) => {
    expect(faultsOf({ mounts: [{ path: '/', files: '.' }], environ }).message).toContain(message);
  });

  test('two mounts of one path are refused, a trailing slash or not', () => {
    const error = faultsOf({
      mounts: [
        { path: '/a', files: '.' },
        { path: '/a/', app: './app.ts' },
      ],
    });
    expect(error.message).toContain('mounts[1].path: the path "/a" is taken by mounts[0]');
  });
});

describe('a valid configuration', () => {
  test('has its addresses parsed and its paths normalised', () => {
    const config = checkConfig(
      {
        listen: [8080, '[::1]:81', { unix: '/run/x.sock', mode: 0o660 }],
        mounts: [
          { path: '/', files: '.', index: 'start.html' },
          { path: '/a/b//', app: './app.ts' },
          { path: '/.well-known', files: '.' },
        ],
        accessLog: false,
        server: 'Example',
      },
      { name: NAME },
    );
    expect(config.listen).toEqual([{ port: 8080 }, { host: '::1', port: 81 }, { unix: '/run/x.sock', mode: 0o660 }]);
    expect(config.mounts.map(({ path }) => path)).toEqual(['/', '/a/b', '/.well-known']);
    expect(config.mounts[0]?.index).toEqual(['start.html']);
  });
});
