// `npm run bench -- --instructions`: instructions that the core's I/O thread executes for one request, by callgrind. They do not move with
// the machine's load, so two builds are compared by them. The kernel's work and the worker's are not in them.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { certificate, connectTo } from './certificate.mjs';
import { scenarios } from './scenarios.mjs';

const MEASURED = ['hello', 'hello-pipelined', 'environ', 'file', 'tls-hello', 'tls-file'];
/** Requests of the two runs. What only their number differs in is the requests' own: starting and ending cancel out. */
const FEW = 1024;
const MANY = 5120;
/** Nothing here takes so long, even under valgrind. */
const PATIENCE = 120_000;

const USAGE = `Usage: npm run bench -- --instructions [options]

  --only <names>      of ${MEASURED.join(', ')}
  --of <folder>       another built clone to measure (this one)
  --against <file>    results to compare with (bench/results/instructions.json)
  --out <path>        results, without extension (bench/results/instructions; with --only, --of: none)`;

const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    instructions: { type: 'boolean' },
    only: { type: 'string' },
    of: { type: 'string' },
    against: { type: 'string' },
    out: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}
const folder = resolve(values.of ?? root);
const names = values.only?.split(',').map((name) => name.trim()) ?? MEASURED;
for (const name of names) if (!MEASURED.includes(name)) fail(`there is no “${name}”; there are ${MEASURED.join(', ')}`);
if (!existsSync(join(folder, 'dist/cli/main.js'))) fail(`${folder} is not built: npm run build in it`);
const valgrind = version();
const scratch = mkdtempSync(join(tmpdir(), 'gwanmun-instructions-'));
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
process.on('exit', () => {
  running?.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(name, () => process.exit(1));

const earlierFile = resolve(values.against ?? join(root, 'bench/results/instructions.json'));
/** @type {{ commit: string, instructions: Record<string, number> } | undefined} */
const earlier = existsSync(earlierFile) ? JSON.parse(readFileSync(earlierFile, 'utf8')) : undefined;

/** @type {Record<string, number>} */
const instructions = {};
for (const name of names) {
  const few = await count(name, FEW);
  const many = await count(name, MANY);
  instructions[name] = Math.round((many - few) / (MANY - FEW));
  process.stderr.write(`${name}: ${instructions[name]}\n`);
}

const git = (/** @type {string[]} */ ...args) =>
  execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim();
const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'crates', 'src', 'Cargo.toml') !== '';
const commit = `${git('rev-parse', '--short=7', 'HEAD')}${changed ? ' with changes' : ''}`;
const report = { commit, valgrind, node: process.version, few: FEW, many: MANY, instructions };
const table = page();
process.stdout.write(table);
const out = values.out ?? (values.only || values.of ? undefined : join(root, 'bench/results/instructions'));
if (out !== undefined) {
  writeFileSync(`${out}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(`${out}.md`, table);
}

/**
 * Instructions of the I/O thread of a server that answers so many requests of a scenario. Of the other threads, those that compile
 * JavaScript do more, and never the same.
 * @param {string} name @param {number} requests @returns {Promise<number>}
 */
async function count(name, requests) {
  const scenario = scenarios.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  const files = join(scratch, `${name}-${requests}`);
  const config = join(folder, `bench/apps/${scenario.application}.config.mjs`);
  const secure = scenario.tls ? ['--cert', certificate().cert, '--key', certificate().key] : [];
  // The main process alone: children, so the worker, run outside valgrind.
  const child = spawn(
    'valgrind',
    [
      '--tool=callgrind',
      '--separate-threads=yes',
      `--callgrind-out-file=${files}`,
      '--log-file=/dev/null',
      process.execPath,
      join(folder, 'dist/cli/main.js'),
      'serve',
      '-c',
      config,
      '--port',
      '0',
      ...secure,
    ],
    {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_ENV: 'production', NO_COLOR: '1' },
    },
  );
  running = child;
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  try {
    await ask(await listening(child), scenario, requests);
  } finally {
    child.kill('SIGTERM');
    await ended;
    clearTimeout(timer);
    running = undefined;
  }
  const counts = readdirSync(scratch)
    .filter((one) => one.startsWith(`${name}-${requests}-`))
    .map((one) => readFileSync(join(scratch, one), 'utf8'))
    // The thread that answers: there is one, as the scenarios are configured.
    .filter((text) => text.includes('gwanmun_server::thread::Thread'))
    .map((text) => Number(/^(?:totals|summary): (\d+)/m.exec(text)?.[1]));
  if (counts.length === 0) throw new Error(`callgrind left no counts of the I/O thread for ${name}`);
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The port that the server says it listens on. @param {import('node:child_process').ChildProcess} child @returns {Promise<number>} */
function listening(child) {
  return new Promise((resolve, reject) => {
    const said = /** @type {string[]} */ ([]);
    const lines = createInterface({ input: /** @type {import('node:stream').Readable} */ (child.stderr) });
    lines.on('line', (line) => {
      said.push(line);
      const port = /https?:\/\/[^\s/]+:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    child.once('exit', () => reject(new Error(`the server ended before it listened:\n${said.join('\n')}`)));
  });
}

/**
 * One connection, and always the same bytes: as many requests as are pipelined, then their answers, then the next.
 * @param {number} port @param {import('./scenarios.mjs').Scenario} scenario @param {number} requests @returns {Promise<void>}
 */
function ask(port, { request, body, pipelined, tls = false }, requests) {
  const length = Buffer.byteLength(body);
  return new Promise((resolve, reject) => {
    const socket = connectTo(port, tls);
    socket.setNoDelay(true);
    let sent = 0;
    let answered = 0;
    let received = Buffer.alloc(0);
    const send = () => {
      const next = Math.min(pipelined, requests - sent);
      sent += next;
      socket.write(request.repeat(next));
    };
    socket.once(tls ? 'secureConnect' : 'connect', send).once('error', reject);
    socket.once('close', () => reject(new Error(`the connection was closed after ${answered} of ${requests} answers`)));
    socket.on('data', (data) => {
      received = received.length === 0 ? data : Buffer.concat([received, data]);
      for (let end; (end = received.indexOf('\r\n\r\n')) >= 0 && received.length >= end + 4 + length;) {
        const head = received.toString('latin1', 0, end);
        if (!head.startsWith('HTTP/1.1 200 ') || !new RegExp(`^content-length: ${length}$`, 'im').test(head)) {
          return socket.destroy(new Error(`an unexpected answer:\n${head}`));
        }
        received = received.subarray(end + 4 + length);
        answered += 1;
      }
      if (answered === requests) {
        socket.removeAllListeners('close');
        socket.destroy();
        resolve();
      } else if (answered === sent) send();
    });
  });
}

function page() {
  const compared = earlier !== undefined && earlier.commit !== commit;
  const lines = names.map((name) => {
    const now = instructions[name] ?? 0;
    const then = earlier?.instructions[name];
    const change = then ? `${now < then ? '−' : '+'}${Math.abs((now / then - 1) * 100).toFixed(2)} %` : '';
    return `| ${name} | ${now} |${compared ? ` ${then ?? ''} | ${change} |` : ''}`;
  });
  return [
    `Instructions of the I/O thread a request, commit ${commit}, ${valgrind}, Node ${process.version}`,
    '',
    `| scenario | instructions |${compared ? ` ${earlier.commit} | change |` : ''}`,
    `|---|--:|${compared ? '--:|--:|' : ''}`,
    ...lines,
    '',
  ].join('\n');
}

function version() {
  try {
    return execFileSync('valgrind', ['--version'], { encoding: 'utf8' }).trim();
  } catch {
    return fail('valgrind is not installed: apt-get install valgrind');
  }
}

/** @param {string} message @returns {never} */
function fail(message) {
  process.stderr.write(`✗ ${message}\n`);
  process.exit(1);
}
