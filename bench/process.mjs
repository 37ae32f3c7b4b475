// Processes pinned to one core: started as groups of their own, their CPU time read from /proc, always killed. Whatever ends
// the harness, nothing of a run outlives it: no process, no file.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';

/**
 * @typedef {object} Pinned
 * @property {import('node:child_process').ChildProcess} child leader of its own process group
 * @property {number} pid
 * @property {() => string} stderr the end of what it wrote to standard error
 */

/** CPU time in seconds. @typedef {{ user: number, system: number }} CpuTime */

/** A directory for the files of this run. */
export const scratch = mkdtempSync(join(tmpdir(), 'gwanmun-bench-'));

/** The groups to kill if the harness itself ends early. @type {Map<number, Pinned>} */
const running = new Map();

/**
 * Starts a command on one core. Standard output is the caller's to read.
 * @param {number} core
 * @param {string} command
 * @param {string[]} args
 * @param {string} [directory]
 * @returns {Pinned}
 */
export function start(core, command, args, directory) {
  const child = spawn('taskset', ['-c', String(core), command, ...args], {
    cwd: directory,
    // As in production: frameworks of the peers look at it. With more certificates than its own, Node 20 reads them all at every start, for 40 ms.
    env: { ...process.env, NODE_ENV: 'production', NODE_EXTRA_CA_CERTS: undefined },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid === undefined) throw new Error('`taskset` (util-linux) is needed to pin processes to cores');
  let written = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    written = (written + chunk).slice(-4096);
  });
  /** @type {Pinned} */
  const pinned = { child, pid: child.pid, stderr: () => written };
  running.set(pinned.pid, pinned);
  return pinned;
}

/**
 * Runs a client to its end.
 * @param {number} core
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<string>} standard output
 */
export async function runClient(core, command, args) {
  const client = start(core, command, args);
  const ended = once(client.child, 'close');
  try {
    const output = await text(/** @type {import('node:stream').Readable} */ (client.child.stdout));
    const [code] = await ended;
    if (code !== 0) throw new Error(`${basename(command)} failed: ${client.stderr().trim() || `exit code ${code}`}`);
    return output;
  } finally {
    await stop(client);
  }
}

/**
 * Waits for a server's line `listening on http://…:PORT` (gunicorn: `at:`; `https:`) on standard error and returns the port.
 * @param {Pinned} server
 * @param {number} [limit] milliseconds
 * @returns {Promise<number>}
 */
export function listening(server, limit = 15_000) {
  server.child.stdout?.resume();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(new Error(`not listening after ${limit} ms`)), limit);
    const onData = () => {
      const line = /listening (?:on|at:) https?:\/\/\S*?:(\d+)/i.exec(server.stderr());
      if (line) settle(undefined, Number(line[1]));
    };
    const onExit = () => settle(new Error('ended before it was listening'));
    /** @type {(error?: Error, port?: number) => void} */
    const settle = (error, port = 0) => {
      clearTimeout(timer);
      server.child.stderr?.off('data', onData);
      server.child.off('close', onExit);
      if (error) reject(new Error(`${error.message}: ${lastWords(server.stderr())}`));
      else resolve(port);
    };
    server.child.stderr?.on('data', onData);
    server.child.on('close', onExit);
    onData();
  });
}

/**
 * Ends a process with everything that it started.
 * @param {Pinned} pinned
 */
export async function stop(pinned) {
  const members = tree([pinned.pid], processes());
  const { child } = pinned;
  if (child.exitCode === null && child.signalCode === null) {
    signalGroup(pinned.pid, 'SIGTERM');
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), 3000);
    await once(child, 'exit', { signal: limit.signal }).catch(() => {});
    clearTimeout(timer);
  }
  signalGroup(pinned.pid, 'SIGKILL');
  // What left the group survives the line above. The start time tells a survivor from a stranger with its number.
  const now = new Map(processes().map((process) => [process.pid, process]));
  for (const { pid, startTime } of members) {
    if (now.get(pid)?.startTime === startTime) signal(pid, 'SIGKILL');
  }
  running.delete(pinned.pid);
}

/**
 * CPU time of whole process trees since they started, dead threads and reaped children included.
 * @param {{ pid: number }[]} roots
 * @returns {CpuTime}
 */
export function cpuTime(roots) {
  const total = { user: 0, system: 0 };
  for (const process of tree(
    roots.map((root) => root.pid),
    processes(),
  )) {
    total.user += process.user / TICKS_PER_SECOND;
    total.system += process.system / TICKS_PER_SECOND;
  }
  return total;
}

/**
 * Resident memory of whole process trees in bytes: what they have allocated, pages that several of them share counted once. A program's own
 * code is not in it: its share would change whenever any process of that program starts or ends, the client's too.
 * @param {Pinned[]} roots
 * @returns {number}
 */
export function residentMemory(roots) {
  let kibibytes = 0;
  for (const { pid } of tree(
    roots.map((root) => root.pid),
    processes(),
  )) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    for (const [, size] of rollup.matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+) kB$/gm)) kibibytes += Number(size);
  }
  if (kibibytes === 0)
    throw new Error('this kernel does not tell Pss_Anon in /proc/<pid>/smaps_rollup (Linux 5.9 does)');
  return kibibytes * 1024;
}

/** What a process has started. @param {Pinned} root */
export function children(root) {
  return tree([root.pid], processes()).filter(({ pid }) => pid !== root.pid);
}

/**
 * Moves what a process has started to another core.
 * @param {Pinned} root
 * @param {number} core
 */
export function pinChildren(root, core) {
  for (const { pid } of children(root)) {
    execFileSync('taskset', ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'pipe' });
  }
}

process.on('exit', () => {
  const all = processes();
  for (const pid of running.keys()) {
    for (const member of tree([pid], all)) signal(member.pid, 'SIGKILL');
    signalGroup(pid, 'SIGKILL');
  }
  rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
});

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/**
 * One line of /proc/<pid>/stat; times in clock ticks. The kernel scales user and system so that their sum is the exact run time.
 * @typedef {object} Process
 * @property {number} pid
 * @property {number} parent
 * @property {number} session
 * @property {number} user
 * @property {number} system
 * @property {number} startTime
 */

/** Every process of the machine. @returns {Process[]} */
function processes() {
  const all = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let line;
    try {
      line = readFileSync(`/proc/${name}/stat`, 'utf8');
    } catch {
      continue; // it has just ended
    }
    // The second field is the program's name in parentheses and may hold anything; field numbers as in proc_pid_stat(5).
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const field = (/** @type {number} */ number) => Number(fields[number - 3]);
    all.push({
      pid: Number(name),
      parent: field(4),
      session: field(6),
      user: field(14) + field(16),
      system: field(15) + field(17),
      startTime: field(22),
    });
  }
  return all;
}

/**
 * The roots, their descendants, and orphans that are still in a root's session.
 * @param {number[]} roots
 * @param {Process[]} all
 */
function tree(roots, all) {
  const members = new Set(all.filter((process) => roots.includes(process.pid) || roots.includes(process.session)));
  const pids = new Set([...members].map((process) => process.pid));
  for (let grown = true; grown;) {
    grown = false;
    for (const process of all) {
      if (pids.has(process.pid) || !pids.has(process.parent)) continue;
      pids.add(process.pid);
      members.add(process);
      grown = true;
    }
  }
  return [...members];
}

/** @param {number} pid @param {NodeJS.Signals} name */
function signalGroup(pid, name) {
  signal(-pid, name);
}

/** @param {number} pid @param {NodeJS.Signals} name */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended already
  }
}

/** The line of a server's last words that says what went wrong. @param {string} text */
function lastWords(text) {
  const lines = text.trim().split('\n');
  return (lines.find((line) => /\berror\b|Error:/i.test(line)) ?? lines.at(-1) ?? '').trim() || 'no message';
}
