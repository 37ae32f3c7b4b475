// Every code of the registry, provoked as somebody new would: the output has the code, the place, a remedy, and the lines that the
// registry's example shows. A code without a case does not compile.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorEntries, type ErrorCode } from '../../src/error-entries.js';
import { fromCore } from '../../src/errors.js';
import { formatError } from '../../src/format-error.js';
import { made } from '../tls/made.js';
import { MAIN, NewUser, ROOT, type Outcome } from './new-user.js';

const HELLO = `export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return 'hello';
}
`;

/** A configuration whose second line has the mount. */
const config = (mount: string, rest = ''): string =>
  `export default {\n  mounts: [{ path: '/', ${mount} }],\n${rest}};\n`;

/** One that gets its certificate by itself. */
const acme = (settings: string): string =>
  config(
    "files: './public'",
    `  listen: [{ port: 0, tls: true }, { port: 0, redirect: 'https' }],\n  tls: { acme: { domains: 'www.example.org', ${settings} } },\n`,
  );

/** Starts the server, and ends it when it has said what to do. */
const UNTIL_A_REMEDY = `import { spawn } from 'node:child_process';
const server = spawn(process.execPath, ['${MAIN}'], { stdio: ['ignore', 'ignore', 'pipe'] });
server.stderr.on('data', (text) => {
  process.stderr.write(text);
  if (/try: /.test(text)) server.kill();
});
server.once('exit', () => process.exit());
`;

/** Few processes for a user: root has no limit, so somebody else; else so many more than there are. */
const FEW_PROCESSES = `if [ $(id -u) = 0 ]
then exec setpriv --reuid=61733 --regid=61733 --clear-groups prlimit --nproc=24 '${process.execPath}' '${MAIN}'
else exec prlimit --nproc=$(($(ps -L -u $(id -u) --no-headers | wc -l) + 24)) '${process.execPath}' '${MAIN}'
fi`;

/** As if there were no /dev/null: what is started with it as its input is not found. */
const WITHOUT_NULL_DEVICE = `const fs = require('node:fs');
const { statSync } = fs;
fs.statSync = (path, ...rest) => (path === '/dev/null' ? undefined : statSync(path, ...rest));
const children = require('node:child_process');
const { spawn } = children;
children.spawn = (_file, ...rest) => spawn('/nowhere', ...rest);
require('node:module').syncBuiltinESMExports();
`;

/** As if inotify had no watches left. */
const WITHOUT_WATCHES = `const fs = require('node:fs');
fs.watch = () => {
  const text = "ENOSPC: System limit for number of file watchers reached, watch '" + process.cwd() + "'";
  throw Object.assign(new Error(text), { code: 'ENOSPC', syscall: 'watch' });
};
require('node:module').syncBuiltinESMExports();
`;

/** A Python that says that it is old. */
const OLD_PYTHON =
  '#!/bin/sh\n# A Python that says it is old.\nexec python3 -c \'import sys; sys.version_info = (3, 6, 9); sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))\' "$@"\n';

/** Runs as a user who is not root, for what root may do. */
function unprivileged(user: NewUser, ...args: string[]): Promise<Outcome> {
  const drop = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];
  if (process.getuid?.() !== 0) return user.gwanmun(...args);
  return user.runs('setpriv', [...drop, process.execPath, MAIN, ...args]);
}

/** Runs with something changed before gwanmun looks. */
function pretending(user: NewUser, change: string, ...args: string[]): Promise<Outcome> {
  user.has({ 'change.cjs': change });
  return user.runs(process.execPath, ['--require', './change.cjs', MAIN, ...args]);
}

/** Streams a request's body to an application in the same process, which prints the error that its read ends with. */
function streaming(user: NewUser, read: string, sent: string, rest = ''): Promise<Outcome> {
  const program = `import { connect } from 'node:net';
import { serve } from '${ROOT}dist/index.js';
const server = await serve({ port: 0, mounts: [{ path: '/', stream: true, application }] });
const client = connect(server.port, '127.0.0.1').on('error', () => {});
client.write(${JSON.stringify(`POST / HTTP/1.1\r\nHost: a\r\n${sent}`)});
async function application(environ) {
  const input = environ['wsgi.input'];
  try {
    setImmediate(() => ${rest === '' ? 'client.destroy()' : `client.write(${JSON.stringify(rest)})`});
    ${read};
  } catch (error) {
    console.error(error);
    process.exit();
  }
}
`;
  return user.has({ 'program.mjs': program }).runs(process.execPath, ['program.mjs']);
}

const CASES: Record<ErrorCode, (user: NewUser) => Promise<Outcome>> = {
  GWM_ACME_FAILED: (user) =>
    user
      .has({
        'public/': '',
        'gwanmun.config.mjs': acme("directory: 'https://127.0.0.1:1/directory', storage: './kept'"),
        'program.mjs': UNTIL_A_REMEDY,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_ACME_STORAGE: (user) =>
    user.has({ 'public/': '', 'gwanmun.config.mjs': acme("storage: '/dev/null/acme'") }).gwanmun(),
  GWM_ADDRESS_UNAVAILABLE: (user) =>
    user.has({ 'public/': '' }).runs(process.execPath, [MAIN, './public', '--host', '203.0.113.1'], { PORT: '3000' }),
  GWM_APP_AMBIGUOUS: (user) =>
    user.has({ 'app.ts': `${HELLO}export default function (request: unknown) {}\n` }).gwanmun('app.ts'),
  GWM_APP_FAILED: (user) =>
    user
      .has({
        'gwanmun.config.ts': config("app: './app.ts'"),
        'app.ts': "\nthrow new Error('no database' as string);\n",
      })
      .gwanmun(),
  GWM_APP_MODULE: (user) => user.has({ 'gwanmun.config.ts': config("wsgi: 'mysite.wsgi'"), 'mysite/': '' }).gwanmun(),
  GWM_APP_SYNTAX: (user) => user.has({ 'app.ts': HELLO.replace("'200 OK'", "= '200 OK'") }).gwanmun('app.ts'),
  GWM_BODY_REFUSED: (user) =>
    streaming(user, 'await input.readAsync()', 'Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n', 'no chunk\r\n'),
  GWM_BUILD: (user) => {
    user.installs('scripts');
    user.has({ 'package-lock.json': '', 'bin/npm': '#!/bin/sh\nexit 1\n' });
    chmodSync(join(user.folder, 'bin/npm'), 0o755);
    return user.runs(process.execPath, ['scripts/build.mjs'], { PATH: `${user.folder}/bin:${process.env['PATH']}` });
  },
  GWM_CARGO: (user) => {
    user.installs('scripts', 'Cargo.toml', 'package-lock.json');
    return user.runs(process.execPath, ['scripts/build.mjs'], { PATH: join(user.folder, 'bin') });
  },
  GWM_CERT_INVALID: (user) => user.has({ 'public/': '' }).gwanmun('./public', '--cert', 'missing.pem'),
  GWM_CERT_KEY: (user) =>
    user
      .has({ 'public/': '', 'cert.pem': made(['a.example']).cert, 'other.pem': made(['a.example']).key })
      .gwanmun('./public', '--cert', 'cert.pem', '--key', 'other.pem'),
  GWM_CERT_LOCAL: (user) =>
    user.has({ 'public/': '' }).runs(process.execPath, [MAIN, './public', '--tls'], { XDG_DATA_HOME: '/dev/null' }),
  GWM_CLIENT_DISCONNECTED: (user) => streaming(user, 'await input.readAsync()', 'Content-Length: 10\r\n\r\nhello'),
  GWM_CONFIG_EXPORT: (user) => user.has({ 'gwanmun.config.ts': 'export const config = {};\n' }).gwanmun(),
  GWM_CONFIG_INVALID: (user) =>
    user
      .has({ 'gwanmun.config.ts': config("flies: './public', app: './app.ts'", "  timeouts: { body: '30s' },\n") })
      .gwanmun('check'),
  GWM_CONFIG_LOAD: (user) =>
    user.has({ 'gwanmun.config.json': '{\n  "mounts": [{ "path": "/", "files": "./public" }],\n}\n' }).gwanmun('check'),
  GWM_CONFIG_NOT_FOUND: (user) => user.gwanmun('--config', 'gwanmun.config.ts'),
  GWM_CLIENT_TOO_SLOW: (user) =>
    user
      .has({
        'program.mjs': `import { connect } from 'node:net';
import { serve } from '${ROOT}dist/index.js';
const server = await serve({
  port: 0,
  application(environ, startResponse) {
    try {
      const write = startResponse('200 OK', []);
      for (;;) write(Buffer.alloc(16 * 1024 * 1024));
    } catch (error) {
      console.error(error);
      process.exit();
    }
  },
});
connect(server.port, '127.0.0.1').pause().write('GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');
`,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_CONTRACT: (user) =>
    user
      .has({
        'app.ts': `import { validator } from '${ROOT}dist/index.js';
export const application = validator((environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'text/plain'], ['Content-Length', '10']]);
  return 'four';
});
`,
      })
      .gwanmun('fetch', '/', 'app.ts'),
  GWM_CONTROL: (user) =>
    user.has({ 'run/': '' }).runs(process.execPath, [MAIN, 'status'], { XDG_RUNTIME_DIR: join(user.folder, 'run') }),
  GWM_CORE: async () => {
    // What has no code is a fault of gwanmun: there is none to provoke.
    const error = fromCore(new Error("Can't create an event descriptor: Cannot allocate memory (os error 12)."));
    return { code: error.exitCode, stdout: '', stderr: formatError(error) };
  },
  GWM_FD_LIMIT: (user) => {
    user.has({ 'gwanmun.config.mjs': config("files: './public'", '  threads: 64,\n'), 'public/': '' });
    return user.runs('bash', ['-c', `ulimit -n 60; exec '${process.execPath}' '${MAIN}' --port 0`]);
  },
  GWM_FETCH: (user) =>
    user
      .has({
        'app.ts': HELLO.replace(
          'return',
          "(function* () {})();\n  return (function* () { yield 'half'; throw new Error('no more'); })();\n",
        ),
      })
      .gwanmun('fetch', '/', 'app.ts'),
  GWM_INIT_EXISTS: (user) => user.has({ 'gwanmun.config.ts': '' }).gwanmun('init'),
  GWM_INPUT_CLOSED: (user) =>
    user
      .has({
        'program.mjs': `import { serve } from '${ROOT}dist/index.js';
let input;
const server = await serve({
  port: 0,
  application(environ, startResponse) {
    input = environ['wsgi.input'];
    startResponse('200 OK', []);
    return 'hello';
  },
});
// Large, so that it is in a file: what is in memory stays readable.
await (await fetch(server.url, { method: 'POST', body: 'x'.repeat(300_000) })).text();
try {
  input.read();
} catch (error) {
  console.error(error);
}
await server.close();
`,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_LOG_FILE: (user) =>
    user
      .has({
        'gwanmun.config.ts': config("files: './public'", "  errorLog: { file: './logs' },\n"),
        'public/': '',
        'logs/': '',
      })
      .gwanmun(),
  GWM_MAX_HEADER_SIZE: (user) =>
    user
      .has({
        'program.mjs': `import { createServer } from '${ROOT}dist/index.js';
const server = createServer({ maxHeaderSize: 1_048_576 }, () => {});
server.listen(0, '127.0.0.1', () => server.close());
`,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_NATIVE_MISSING: (user) => {
    return user.installs('dist').has({ 'public/': '' }).runs(process.execPath, ['dist/cli/main.js', './public']);
  },
  GWM_NODE_VERSION: (user) =>
    pretending(user, "Object.defineProperty(process.versions, 'node', { value: '18.20.4' });", './public'),
  GWM_NO_APPLICATION: (user) =>
    user
      .has({ 'gwanmun.config.ts': config("app: './app.ts'"), 'app.ts': HELLO.replace('application', 'aplication') })
      .gwanmun(),
  GWM_NO_ENTRY: (user) => user.gwanmun(),
  GWM_NULL_DEVICE: (user) => pretending(user.has({ 'app.ts': HELLO }), WITHOUT_NULL_DEVICE, 'app.ts'),
  GWM_PID_FILE: (user) =>
    user.has({ 'public/': '', 'site.pid': `${process.pid}\n` }).gwanmun('./public', '--pid', 'site.pid'),
  GWM_PLATFORM: (user) =>
    pretending(user, "Object.defineProperty(process, 'platform', { value: 'win32' });", '.\\public'),
  GWM_PORT_FORBIDDEN: (user) => unprivileged(user.has({ 'public/': '' }), './public', '--port', '80'),
  GWM_PORT_IN_USE: async (user) => {
    user.has({
      'public/': '',
      'server.js':
        "const s = require('http').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port));",
    });
    const other = spawn(process.execPath, ['server.js'], { cwd: user.folder, argv0: 'node' });
    try {
      const [port] = (await once(other.stdout, 'data')) as [Buffer];
      return await user.gwanmun('./public', '--port', port.toString().trim());
    } finally {
      other.kill();
    }
  },
  GWM_PRIVILEGES: (user) => user.has({ 'public/': '' }).gwanmun('./public', '--user', 'nobody-here'),
  GWM_PROCESS_LIMIT: (user) => {
    const threads = "  threads: 64,\n  listen: { host: '127.0.0.1', port: 0 },\n";
    user.has({ 'gwanmun.config.mjs': config("files: './public'", threads), 'public/': '' });
    chmodSync(user.folder, 0o755);
    return user.runs('bash', ['-c', FEW_PROCESSES]);
  },
  GWM_PYTHON_MISSING: (user) => {
    user.has({ 'gwanmun.config.ts': config("wsgi: 'app', python: './no-python'"), 'no-python': '#!/nowhere/python\n' });
    chmodSync(join(user.folder, 'no-python'), 0o755);
    return user.gwanmun();
  },
  GWM_PYTHON_VERSION: (user) => {
    user.has({
      'gwanmun.config.ts': config("wsgi: 'app', python: './old-python'"),
      'old-python': OLD_PYTHON,
      'app.py': '',
    });
    chmodSync(join(user.folder, 'old-python'), 0o755);
    return user.gwanmun();
  },
  GWM_READ_TOO_SLOW: (user) =>
    user
      .has({
        'gwanmun.config.mjs': `export default { listen: { port: 0 }, timeout: 300, mounts: [{ path: '/', app: './app.mjs', stream: true }] };\n`,
        'app.mjs': `export function application(environ) {
  try {
    environ['wsgi.input'].read();
  } catch (error) {
    console.error(error);
    throw error;
  }
}
`,
        'program.mjs': `import { spawn } from 'node:child_process';
import { connect } from 'node:net';
const server = spawn(process.execPath, ['${MAIN}'], { stdio: ['ignore', 'ignore', 'pipe'] });
let said = '';
let client;
server.stderr.on('data', (text) => {
  process.stderr.write(text);
  said += text;
  const [, port] = /listening on http:..[^:]+:(\\d+)/.exec(said) ?? [];
  if (port !== undefined && client === undefined) {
    client = connect(port, '127.0.0.1').on('error', () => {});
    client.write('POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 100000\\r\\n\\r\\n');
    setInterval(() => client.write('x'), 20);
    client.once('data', () => server.kill());
  }
});
server.once('exit', () => process.exit());
`,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_READ_WOULD_BLOCK: (user) => streaming(user, 'input.read()', 'Content-Length: 10\r\n\r\nhello'),
  GWM_SOCKET_PATH: (user) =>
    user
      .has({ 'gwanmun.config.ts': config("files: './public'", "  listen: 'unix:./run/site.sock',\n"), 'public/': '' })
      .gwanmun(),
  GWM_TLS_OPTION: (user) =>
    user
      .has({
        'program.cjs': `const { cert, key } = ${JSON.stringify(made(['a.example']))};
require('node:https').createServer({ cert, key, SNICallback() {} }).listen(0);
`,
      })
      .runs(process.execPath, ['--import', `${ROOT}dist/register.js`, 'program.cjs']),
  GWM_TRUST: (user) => {
    const fails = '#!/bin/sh\necho "certutil: function failed" >&2\nexit 255\n';
    const programs = ['install', 'update-ca-certificates', 'update-ca-trust'];
    const nothing = Object.fromEntries(programs.map((name) => [`bin/${name}`, '#!/bin/sh\n']));
    user.has({ '.pki/nssdb/cert9.db': '', 'bin/certutil': fails, ...nothing });
    for (const name of ['certutil', ...programs]) chmodSync(join(user.folder, 'bin', name), 0o755);
    const env = { PATH: `${user.folder}/bin:${process.env['PATH']}`, HOME: user.folder, XDG_DATA_HOME: undefined };
    return user.runs(process.execPath, [MAIN, 'trust', '--yes'], env);
  },
  GWM_TARGET: (user) => user.has({ 'app.ts': HELLO }).gwanmun('ap.ts'),
  GWM_UPGRADE: (user) =>
    user
      .has({
        'program.mjs': `import { createServer } from '${ROOT}dist/index.js';
const server = createServer(() => {}).on('upgrade', () => {});
server.listen(0, '127.0.0.1', () => server.close());
`,
      })
      .runs(process.execPath, ['program.mjs']),
  GWM_SUCCESSOR: async (user) => {
    user.has({ 'gwanmun.config.ts': config("files: './public'"), 'public/': '' });
    const server = spawn(process.execPath, [MAIN, '--port', '0'], { cwd: user.folder });
    try {
      await once(server.stderr, 'data');
      user.has({ 'gwanmun.config.ts': 'export default {}' });
      return await user.gwanmun('upgrade', '--pid', String(server.pid));
    } finally {
      server.kill('SIGKILL');
    }
  },
  GWM_USAGE: (user) => user.gwanmun('--prot', '80'),
  GWM_WATCH_LIMIT: (user) => pretending(user.has({ 'app.ts': HELLO }), WITHOUT_WATCHES, 'dev', 'app.ts'),
  GWM_WORKER_EXITED: (user) => user.has({ 'app.ts': 'process.exit(9);\n' }).gwanmun('app.ts'),
  GWM_WORKER_TIMEOUT: (user) =>
    user
      .has({
        'gwanmun.config.ts': config("app: './app.ts'", '  startTimeout: 300,\n'),
        'app.ts': 'await new Promise(() => setInterval(() => {}, 1000));\n',
      })
      .gwanmun(),
};

/** What differs from run to run: the folder, ports and process ids, the path of Node. */
function normalise(text: string, user?: NewUser): string {
  const placed = user === undefined ? text : text.replaceAll(user.folder, '/srv/site');
  return (
    placed
      .replaceAll(process.execPath, '/usr/bin/node')
      .replaceAll(/^\S+Z (?=error )/gm, '')
      .replaceAll(/\d{4,}/g, 'N')
      // A process may have a short number.
      .replaceAll(/\b(process|kill|--pid) \d+/g, '$1 N')
      .replaceAll(/\d+\.\d s$/gm, 'N s')
  );
}

describe.each(Object.entries(CASES) as [ErrorCode, (user: NewUser) => Promise<Outcome>][])('%s', (code, provoke) => {
  test('is what a user sees, as its example says, with a remedy', async () => {
    using user = new NewUser();
    const { exit, example } = errorEntries[code];
    const outcome = await provoke(user);
    const seen = example.split('\n').filter((line) => !/^[$>] /.test(line));
    expect(normalise(outcome.stderr, user)).toContain(normalise(seen.join('\n')));
    if (!RUNTIME.has(code)) {
      expect(outcome.code).toBe(exit);
      expect(outcome.stderr).toContain(`✗ ${code}  `);
      expect(outcome.stderr).toMatch(/^ {2}try: \S/m);
    }
  });
});

test('every code has a case', () => {
  expect(Object.keys(CASES).toSorted()).toEqual(Object.keys(errorEntries).toSorted());
});

/** Errors that the application gets, or that a server goes on after: a log shows them. */
const RUNTIME: ReadonlySet<ErrorCode> = new Set([
  'GWM_ACME_FAILED',
  'GWM_BODY_REFUSED',
  'GWM_CLIENT_DISCONNECTED',
  'GWM_CLIENT_TOO_SLOW',
  'GWM_CONTRACT',
  'GWM_INPUT_CLOSED',
  'GWM_MAX_HEADER_SIZE',
  'GWM_READ_TOO_SLOW',
  'GWM_READ_WOULD_BLOCK',
  'GWM_TLS_OPTION',
  'GWM_UPGRADE',
]);
