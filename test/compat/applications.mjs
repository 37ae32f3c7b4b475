// The applications that compare.mjs asks: how each is installed from its registry, and how it is started on its own server and on the core.

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from './suite.mjs';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const SOURCES = fileURLToPath(new URL('applications', import.meta.url));
/** Where they are installed and built. */
const TARGET = fileURLToPath(new URL('../../target/compat', import.meta.url));

/** `paths` are asked for by GET and HEAD, `echo` gets bodies, `file` is asked for in parts. */
const KNOWN = {
  flask: python('flask', 'flask==3.1.3'),
  django: python('django', 'django==5.2.19'),
  next: javascript('next', '.next/standalone/server.js', ['/', '/dynamic', '/file.txt', '/no-such.txt']),
  sveltekit: javascript('sveltekit', 'build/index.js', ['/', '/file.txt', '/no-such.txt']),
};

export const KINDS = [...Object.keys(KNOWN), 'node'];

/** The application of a kind, ready to be started; for `node` it is the program `place`, which is asked for `paths`. */
export function prepare(kind, place, paths) {
  if (!existsSync(MAIN)) fail('gwanmun is not built; run npm run build');
  if (kind !== 'node') return KNOWN[kind]();
  const asked = ['/', ...paths];
  return { paths: asked, echo: '/', file: asked.at(-1), commands: program(resolve(place)) };
}

function python(kind, requirement) {
  return () => {
    const folder = join(TARGET, kind);
    mkdirSync(folder, { recursive: true });
    run(folder, 'python3', '-m', 'venv', 'venv');
    run(folder, 'venv/bin/pip', 'install', '--quiet', requirement, 'gunicorn==27.0.1');
    copyFileSync(join(SOURCES, `${kind}_app.py`), join(folder, `${kind}_app.py`));
    const module = `${kind}_app:app`;
    const mounts = [{ path: '/', wsgi: module, compression: false }];
    writeFileSync(join(folder, 'gwanmun.config.json'), JSON.stringify({ accessLog: false, workers: 1, mounts }));
    const gunicorn = ['venv/bin/python', '-m', 'gunicorn', '-k', 'gthread'];
    return {
      paths: ['/', '/stream', '/file', '/cookies', '/redirect', '/empty', '/error'],
      echo: '/echo',
      file: '/file',
      commands: [
        (port) => ({ args: [...gunicorn, '-b', `127.0.0.1:${port}`, module], env: {}, cwd: folder }),
        (port) => ({ args: [process.execPath, MAIN, '--port', String(port)], env: {}, cwd: folder }),
      ],
    };
  };
}

function javascript(kind, server, paths) {
  return () => {
    const folder = join(TARGET, kind);
    cpSync(join(SOURCES, kind), folder, { recursive: true });
    run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--loglevel=error');
    run(folder, 'npm', 'run', 'build');
    return {
      paths: [...paths, '/stream', '/cookies', '/redirect', '/empty', '/error'],
      echo: '/echo',
      file: '/file.txt',
      commands: program(join(folder, server)),
    };
  };
}

/** A Node program that takes PORT and HOST, or HOSTNAME. */
function program(file) {
  const env = (port) => ({ PORT: String(port), HOST: '127.0.0.1', HOSTNAME: '127.0.0.1', NODE_ENV: 'production' });
  const cwd = dirname(file);
  return [
    (port) => ({ args: [process.execPath, file], env: env(port), cwd }),
    (port) => ({ args: [process.execPath, MAIN, 'run', file], env: env(port), cwd }),
  ];
}

function run(cwd, command, ...args) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (status !== 0) fail(`${[command, ...args].join(' ')} in ${cwd}: ${error ?? `${stdout}${stderr}`}`);
}
