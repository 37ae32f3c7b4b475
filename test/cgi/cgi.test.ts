// Programs that are started for each request, over real sockets and with real processes.

import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected, exchange, get, rest, statusOf } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const folder = new Folder();
let server: Gwanmun;
const isRoot = process.getuid?.() === 0;
/** Programs never run as root. */
const user = isRoot ? { user: 'nobody' } : {};

/** Writes a program that the server's user may run. */
function program(path: string, text: string, mode = 0o755): void {
  chmodSync(folder.write(path, text), mode);
}

const sh = (script: string): string => `#!/bin/sh\n${script}\n`;
const TEXT = "printf 'Content-Type: text/plain\\n\\n'";

beforeAll(async () => {
  chmodSync(folder.path, 0o755);
  program('cgi-bin/env', sh(`${TEXT}; env; echo "cwd=$(pwd)"; echo "zero=$0"; echo "count=$#"`));
  program('cgi-bin/fds', sh(`${TEXT}; exec ls /proc/self/fd`));
  program('cgi-bin/echo', sh(`${TEXT}; cat`));
  program('cgi-bin/late-reader', sh(`${TEXT}; head -c 3000000 /dev/zero | tr '\\0' x; wc -c`));
  program('cgi-bin/early', sh(`${TEXT}; echo early`));
  program('cgi-bin/dir/inner', sh(`${TEXT}; echo "inner $SCRIPT_NAME $PATH_INFO"`));
  program('cgi-bin/status', sh("printf 'Status: 404 Not Here\\nContent-Type: text/plain\\n\\nnone'"));
  program('cgi-bin/nph-own', sh("printf 'HTTP/1.1 403 Own Words\\r\\nContent-Type: text/plain\\r\\n\\r\\nown'"));
  program('cgi-bin/local', sh("printf 'Location: /files/page.html\\n\\n'"));
  program('cgi-bin/remote', sh("printf 'Location: https://a.example/\\n\\n'"));
  program('cgi-bin/nothing', sh('exit 3'));
  program('cgi-bin/killed', sh('kill -9 $$'));
  program('cgi-bin/no-header', sh('echo "no header at all"'));
  program('cgi-bin/after', sh(`${TEXT}; echo whole; exit 7`));
  program(
    'cgi-bin/complains',
    sh(`${TEXT}; head -c 30000 /dev/zero | tr '\\0' e >&2; echo >&2; echo a line >&2; echo well`),
  );
  program('cgi-bin/stream', sh(`${TEXT}; echo first; read -r line < ${folder.at('gate')}; echo second`));
  program(
    'cgi-bin/sleeps',
    sh(`trap '' TERM; echo $$ > ${folder.at('tmp')}/pid; sleep 60 & ${TEXT}; echo begun; wait; sleep 60`),
  );
  program('cgi-bin/silent', sh('sleep 60'));
  program(
    'cgi-bin/background',
    sh(`${TEXT}; (sleep 60; echo late) & echo $! > ${folder.at('tmp')}/background; echo done`),
  );
  program('cgi-bin/not-executable', sh('echo no'), 0o644);
  program('cgi-bin/crlf', '#!/bin/sh\r\necho\r\n');
  program('cgi-bin/no-interpreter', '#!/no/such/perl -w\n');
  program('cgi-bin/no-shebang', 'echo no\n');
  program('cgi-bin/env.bak', sh('echo no'), 0o644);
  program(
    'cgi-bin/one',
    sh(
      `${TEXT}; mkdir ${folder.at('tmp')}/lock || echo two at once; sleep 0.1; rmdir ${folder.at('tmp')}/lock; echo one`,
    ),
  );
  program('cgi-bin/greedy', sh(`${TEXT}; head -c 100000 /dev/zero > ${folder.at('tmp')}/greedy || echo refused`));
  program('cgi-bin/signals', sh(`${TEXT}; grep -E '^Sig(Blk|Ign)|NoNewPrivs' /proc/self/status; id -u`));
  program('hook.pl', sh(`${TEXT}; echo "hook $SCRIPT_NAME $PATH_INFO"`));
  folder.write('files/page.html', '<p>page</p>');
  folder.write('tmp/empty', '');
  chmodSync(folder.at('tmp'), 0o777);
  execFileSync('mkfifo', ['-m', '666', folder.at('gate')]);
  server = await Gwanmun.start(
    folder,
    {
      threads: 1,
      ...user,
      mounts: [
        { path: '/cgi-bin', cgi: { folder: './cgi-bin', env: { APP_ENV: 'test', LANG: 'C.UTF-8' } } },
        { path: '/hook', cgi: { program: './hook.pl' } },
        { path: '/late', cgi: { folder: './cgi-bin', timeout: 300 } },
        { path: '/one', cgi: { folder: './cgi-bin', maxProcesses: 1 } },
        { path: '/limited', cgi: { folder: './cgi-bin', limits: { fileSize: 1000, cpu: 10_000 } } },
        { path: '/files', files: './files' },
        { path: '/above', files: '.' },
        { path: '/same', files: './cgi-bin' },
      ],
      limits: { body: 50_000_000 },
    },
    { env: { SECRET_OF_THE_SERVER: 'x', LD_LIBRARY_PATH: '/nowhere', HTTP_PROXY: 'http://evil' } },
  );
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = async (path: string, options = {}) => {
  const { status, body, headers } = await get(server.port, path, options);
  return { status, text: body.toString(), headers };
};

/** Whether a process is there, and no zombie. */
function isAlive(pid: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid.trim()}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
  } catch {
    return false;
  }
}

/** Children of the server that have ended and that nobody has taken note of. */
function zombies(): number {
  const { stdout } = spawnSync('ps', ['--ppid', String(server.child.pid), '-o', 'stat='], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line.startsWith('Z')).length;
}

test('C13–C21 C41 C48 C52 C61: a program gets what CGI says, and nothing of the server’s', async () => {
  const { text } = await ask('/cgi-bin/env/a%20b?c=%20d', { headers: { 'X-One': '1', Proxy: 'http://evil' } });
  const env = Object.fromEntries(text.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2))) as Record<
    string,
    string
  >;
  expect(env).toMatchObject({
    GATEWAY_INTERFACE: 'CGI/1.1',
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '/cgi-bin/env',
    SCRIPT_FILENAME: folder.at('cgi-bin/env'),
    PATH_INFO: '/a b',
    PATH_TRANSLATED: `${folder.at('cgi-bin')}/a b`,
    QUERY_STRING: 'c=%20d',
    REQUEST_URI: '/cgi-bin/env/a%20b?c=%20d',
    SERVER_PORT: String(server.port),
    SERVER_NAME: '127.0.0.1',
    REMOTE_ADDR: '127.0.0.1',
    REDIRECT_STATUS: '200',
    HTTP_X_ONE: '1',
    APP_ENV: 'test',
    LANG: 'C.UTF-8',
    PATH: '/usr/local/bin:/usr/bin:/bin',
    cwd: folder.at('cgi-bin'),
    zero: folder.at('cgi-bin/env'),
    count: '0',
  });
  for (const name of ['HTTP_PROXY', 'SECRET_OF_THE_SERVER', 'LD_LIBRARY_PATH', 'HOME', 'CONTENT_LENGTH', 'HTTPS']) {
    expect(env).not.toHaveProperty(name);
  }
  expect(Object.keys(env).filter((name) => name.startsWith('NODE_'))).toEqual([]);
});

test('C54 C60 C61: it has three descriptors, no privileges to gain, and signals as a new program', async () => {
  // The last is the folder that it reads.
  expect((await ask('/cgi-bin/fds')).text).toBe('0\n1\n2\n3\n');
  const { text } = await ask('/cgi-bin/signals');
  expect(text).toContain('NoNewPrivs:\t1');
  for (const line of text.split('\n').filter((own) => own.startsWith('Sig'))) expect(line).toMatch(/\t0{16}$/);
  expect(text.trim().endsWith('\n0')).toBe(false);
});

test('C02 C14 C19: programs in folders, with what is behind them', async () => {
  expect((await ask('/cgi-bin/dir/inner/x/y')).text).toBe('inner /cgi-bin/dir/inner /x/y\n');
  expect((await ask('/hook')).text).toBe('hook /hook \n');
  expect((await ask('/hook/x')).text).toBe('hook /hook /x\n');
  for (const path of ['/cgi-bin/', '/cgi-bin/dir', '/cgi-bin/nowhere', '/cgi-bin/../hook.pl']) {
    expect((await ask(path)).status, path).toBe(404);
  }
});

test.each([0, 10, 65_537, 5_000_000])('C11 C25 C26: a body of %i bytes, also in chunks', async (size) => {
  const body = Buffer.alloc(size, 'abcdefg').toString();
  expect((await ask('/cgi-bin/echo', { method: 'POST', body })).text).toBe(body);
  const head = 'POST /cgi-bin/env HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n';
  const chunk = size === 0 ? '' : `${size.toString(16)}\r\n${body}\r\n`;
  const answer = (await exchange(server.port, head, chunk, '0\r\n\r\n')).toString();
  if (size > 0) expect(answer).toContain(`CONTENT_LENGTH=${size}\n`);
});

test('C46 C50: who writes before it reads, or does not read, does not stand still', async () => {
  const body = 'b'.repeat(3_000_000);
  const { text } = await ask('/cgi-bin/late-reader', { method: 'POST', body });
  expect(text.slice(3_000_000).trim()).toBe('3000000');
  expect((await ask('/cgi-bin/early', { method: 'POST', body })).text).toBe('early\n');
});

test('C29 C31–C34 C37: what a program answers', async () => {
  expect(await ask('/cgi-bin/status')).toMatchObject({ status: 404, text: 'none' });
  expect(await ask('/cgi-bin/nph-own')).toMatchObject({ status: 403, text: 'own' });
  expect(await ask('/cgi-bin/local', { method: 'POST', body: 'x' })).toMatchObject({
    status: 200,
    text: '<p>page</p>',
  });
  expect(await ask('/cgi-bin/remote')).toMatchObject({ status: 302, headers: { location: 'https://a.example/' } });
  expect(await ask('/cgi-bin/early', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
});

test.each([
  ['C47 C59 nothing', 'nothing', 502, /ended with status 3 before the end of its header/],
  ['C59 killed', 'killed', 502, /was killed by SIGKILL \(out of memory\?\) before the end of its header/],
  [
    'C47 no header',
    'no-header',
    502,
    /"no header at all" stands where a header line should be|before the end of its header: "no header/,
  ],
  ['C55 not executable', 'not-executable', 403, /not-executable is not executable, so the client got a 403: chmod \+x/],
  ['C55 CR LF', 'crlf', 500, /could not be started: No such file[^]*its first line, #!\/bin\/sh, ends in CR LF/],
  ['C55 no interpreter', 'no-interpreter', 500, /there is no program \/no\/such\/perl -w, which its first line names/],
  ['C55 no shebang', 'no-shebang', 500, /Exec format error[^]*such as #!\/usr\/bin\/perl/],
])('%s: %s is a %i that says why', async (_, name, status, text) => {
  expect((await ask(`/cgi-bin/${name}`)).status).toBe(status);
  await server.says(text);
});

test('C59: a response that is whole is kept, whatever the program says then', async () => {
  expect(await ask('/cgi-bin/after')).toMatchObject({ status: 200, text: 'whole\n' });
  await server.says(/warn CGI \S+ \(GET \/cgi-bin\/after\): ended with status 7/);
});

test('C44: standard error is in the log, and never in the way', async () => {
  expect((await ask('/cgi-bin/complains')).text).toBe('well\n');
  await server.says(/warn CGI \S+ \(GET \/cgi-bin\/complains\): a line/);
});

test('C58: what is written leaves at once', async () => {
  const socket = await connected(server.port);
  socket.write('GET /cgi-bin/stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let text = '';
  socket.on('data', (chunk) => (text += chunk));
  while (!text.includes('first')) await once(socket, 'data');
  execFileSync('sh', ['-c', `echo go > ${folder.at('gate')}`]);
  await once(socket, 'close');
  expect(text).toMatch(/first[^]*second[^]*\r\n0\r\n\r\n$/);
});

test('C45: with its client a program goes, and its children, even if it does not want to', async () => {
  const socket = await connected(server.port);
  socket.write('GET /cgi-bin/sleeps HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await once(socket, 'data');
  const pid = readFileSync(folder.at('tmp/pid'), 'utf8');
  const group = (): string[] =>
    spawnSync('pgrep', ['-g', pid.trim()], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  expect(isAlive(pid)).toBe(true);
  expect(group().length).toBeGreaterThan(1);
  socket.destroy();
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  await expect.poll(() => group().filter((own) => isAlive(own)), { timeout: 10_000 }).toEqual([]);
  await expect.poll(zombies).toBe(0);
});

test('C30 C67: a program that says nothing is ended, and its client gets a 504', async () => {
  expect((await ask('/late/silent')).status).toBe(504);
  await server.says(/\(GET \/late\/silent\): has sent nothing for 0\.3 s; the client got a 504/);
  const socket = await connected(server.port);
  socket.write('GET /late/sleeps HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  const text = (await rest(socket)).toString();
  expect(text).toContain('begun');
  expect(text.endsWith('0\r\n\r\n')).toBe(false);
});

test('C56: a child that goes on in the background holds up nobody, and is ended', async () => {
  const { text } = await ask('/cgi-bin/background');
  expect(text).toBe('done\n');
  const pid = readFileSync(folder.at('tmp/background'), 'utf8');
  await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false);
});

test('C53: no more run at once than may', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => ask('/one/one')));
  expect(all.map(({ text }) => text)).toEqual(Array.from({ length: 5 }, () => 'one\n'));
});

test('C54: a limit holds', async () => {
  expect((await ask('/limited/greedy')).status).toBe(200);
  expect(readFileSync(folder.at('tmp/greedy')).length).toBeLessThanOrEqual(1024);
});

test('C63: no program is sent as it is, by whatever mount', async () => {
  for (const path of [
    '/above/cgi-bin/env',
    '/above/cgi-bin/env.bak',
    '/above/hook.pl',
    '/same/env',
    '/same/dir/inner',
  ]) {
    const { status, text } = await ask(path);
    expect(status, path).toBe(404);
    expect(text).not.toContain('#!');
  }
  expect((await ask('/above/files/page.html')).status).toBe(200);
  expect((await ask('/cgi-bin/env.bak')).status).toBe(403);
});

test('C62: a control character is no program’s', async () => {
  const head = 'GET /cgi-bin/env%0a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  expect(statusOf(await exchange(server.port, head))).toBe(400);
});

test('C45 C61: many, one after the other and at once, leave neither descriptors nor processes behind', async () => {
  const count = (): number => readdirSync(`/proc/${server.child.pid}/fd`).length;
  await ask('/cgi-bin/early');
  const before = count();
  for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 10 }, () => ask('/cgi-bin/early')));
  await expect.poll(count).toBeLessThanOrEqual(before + 12);
  await expect.poll(zombies).toBe(0);
});

test('C45: with the server its programs go, however that goes', async () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    using own = new Folder();
    chmodSync(own.path, 0o755);
    chmodSync(own.write('pid', ''), 0o666);
    const script = sh(`trap '' TERM; echo $$ > ${own.at('pid')}; ${TEXT}; echo begun; sleep 60; sleep 60`);
    chmodSync(own.write('a.cgi', script), 0o755);
    await using other = await Gwanmun.start(own, {
      ...user,
      shutdownTimeout: 100,
      mounts: [{ path: '/', cgi: { program: './a.cgi' } }],
    });
    const socket = await connected(other.port);
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'data');
    const pid = readFileSync(own.at('pid'), 'utf8');
    expect(isAlive(pid)).toBe(true);
    const closed = once(other.child, 'close');
    other.child.kill(signal);
    await closed;
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
    socket.destroy();
  }
});

describe('git http-backend', () => {
  const backend = '/usr/lib/git-core/git-http-backend';
  test.skipIf(!existsSync(backend))('C69: clone and push', { timeout: 60_000 }, async () => {
    using own = new Folder();
    chmodSync(own.path, 0o755);
    const git = (cwd: string, ...args: string[]): string =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'safe.directory=*', ...args], {
        cwd,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, GIT_CONFIG_NOSYSTEM: '1', HOME: own.path },
      });
    own.write('repositories/.keep', '');
    git(own.path, 'init', '-q', '--bare', '-b', 'main', 'repositories/a.git');
    git(own.at('repositories/a.git'), 'config', 'http.receivepack', 'true');
    execFileSync('chmod', ['-R', 'a+rwX', own.at('repositories')]);
    await using other = await Gwanmun.start(own, {
      ...user,
      mounts: [
        {
          path: '/git',
          cgi: {
            program: backend,
            env: {
              GIT_PROJECT_ROOT: own.at('repositories'),
              GIT_HTTP_EXPORT_ALL: '1',
              GIT_CONFIG_COUNT: '1',
              GIT_CONFIG_KEY_0: 'safe.directory',
              GIT_CONFIG_VALUE_0: '*',
            },
          },
        },
      ],
      limits: { body: 100_000_000 },
    });
    const url = `http://127.0.0.1:${other.port}/git/a.git`;
    git(own.path, 'clone', '-q', url, 'work');
    own.write('work/large.bin', execFileSync('head', ['-c', '5000000', '/dev/urandom'], { maxBuffer: 2 ** 24 }));
    git(own.at('work'), 'add', '.');
    git(own.at('work'), 'commit', '-qm', 'one');
    git(own.at('work'), 'push', '-q', 'origin', 'HEAD:main');
    git(own.path, 'clone', '-q', '-b', 'main', url, 'again');
    expect(readFileSync(own.at('again/large.bin')).equals(readFileSync(own.at('work/large.bin')))).toBe(true);
  });
});
