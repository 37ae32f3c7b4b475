// gwanmun status, reload, stop, restart-worker, scale and upgrade: asks a running server over its control socket.

import { readdirSync, realpathSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { createColors } from '../colors.js';
import { GwanmunError } from '../errors.js';
import type { CoreHandshakes } from '../native.js';
import { parseError, parseJson } from '../parse-error.js';
import { controlFolder, type ControlRequest } from '../supervisor/control.js';
import { isRunning } from '../supervisor/pid-file.js';
import { STARTED_IN } from '../supervisor/started-in.js';
import type { ServerStatus } from '../supervisor/status.js';
import { formatAddress } from './banner.js';
import { certificatesForPrograms, certificateTable } from './certificates.js';

/** Which server is meant: by its process, else the one of this folder. */
export interface ControlTarget {
  readonly pid?: number | undefined;
}

/** A server says at once what goes on. */
const STATUS_MS = 5000;

/** A running server. */
interface Found {
  readonly path: string;
  readonly status: ServerStatus;
}

/** Asks, and gives what is to be printed. */
export async function control(
  request: ControlRequest,
  target: ControlTarget,
  asJson: boolean,
  color: boolean,
): Promise<string> {
  const { path, status } = await findServer(request, target);
  if (request.command === 'status') return asJson ? `${JSON.stringify(status, null, 2)}\n` : table(status, color);
  const result = await ask(path, request);
  if (asJson) return `${JSON.stringify(result, null, 2)}\n`;
  const where = `process ${status.pid} in ${status.directory}`;
  switch (request.command) {
    case 'reload': {
      const { workers, generation } = result as ServerStatus;
      const current = workers.filter((worker) => worker.generation === 'current').length;
      return `✓ reloaded ${where}: ${count(current)}, configuration ${generation}\n`;
    }
    case 'scale': {
      const counts = result as number[];
      return `✓ scaled ${where}: ${counts.map(count).join(' and ')}\n`;
    }
    case 'upgrade':
      return `✓ process ${result as number} has taken over from ${where}\n`;
    case 'stop':
      return `✓ stopped ${where}\n`;
    case 'restart-worker': {
      const numbers = result as number[];
      return `✓ replaced ${numbers.length === 1 ? 'worker' : 'workers'} ${numbers.join(', ')} of ${where}\n`;
    }
  }
}

/** `gwanmun certificates`: what is to be printed. */
export async function certificatesOf(target: ControlTarget, asJson: boolean, color: boolean): Promise<string> {
  const { status } = await findServer({ command: 'status' }, target);
  // A server of an older version has none.
  const { certificates = [], domains = [], clientCertificates } = status;
  const shown = { certificates, domains, clientCertificates };
  if (asJson) return `${JSON.stringify(certificatesForPrograms(shown), null, 2)}\n`;
  const isNone = certificates.length + domains.length === 0;
  return isNone ? 'no address of this server speaks TLS\n' : certificateTable(shown, color);
}

function count(workers: number): string {
  return `${workers} ${workers === 1 ? 'worker' : 'workers'}`;
}

async function findServer(request: ControlRequest, { pid }: ControlTarget): Promise<Found> {
  const folder = controlFolder();
  const found: Found[] = [];
  let fault: GwanmunError | undefined;
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    if (pid !== undefined && name !== `${pid}.sock`) continue;
    try {
      found.push({ path, status: (await ask(path, { command: 'status' })) as ServerStatus });
    } catch (error) {
      // Its server has died without a chance to take it along; or it has just begun, and does not listen yet.
      const isRefused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
      if (isRefused && !isRunning(Number.parseInt(name, 10))) rmSync(path, { force: true });
      else if (error instanceof GwanmunError) fault = error;
    }
  }
  if (found.length === 0 && fault !== undefined) throw fault;
  if (pid !== undefined) {
    if (found[0] !== undefined) return found[0];
    throw none(`Process ${pid} is not a gwanmun of this user`);
  }
  const here = found.filter(({ status }) => isOfThisFolder(status));
  // To look at the only one does no harm. What is changed is said.
  const [one, another] = here.length === 0 && request.command === 'status' ? found : here;
  if (one !== undefined && another === undefined) return one;
  if (found.length === 0) throw none('No gwanmun of this user is running');
  const choice = here.length > 0 ? here : found;
  const typed = request.command === 'scale' ? `scale ${request.workers}` : request.command;
  const list = choice.map(
    ({ status }) => `gwanmun ${typed} --pid ${status.pid}    # ${resolve(status.directory, status.config)}`,
  );
  const message = one === undefined ? 'No gwanmun runs in this folder' : 'Several servers are running';
  throw new GwanmunError('GWM_CONTROL', message, {
    remedy: [choice.length === 1 ? 'if you mean another one, name it:' : 'name the one you mean:', ...list].join('\n'),
  });
}

function none(message: string): GwanmunError {
  return new GwanmunError('GWM_CONTROL', message, {
    remedy: 'start one: gwanmun\nor ask as the user that it runs as: sudo -u USER gwanmun status',
  });
}

/** Whether a server was started here, or has its configuration here. A link is followed as it is now: it may stand for another release. */
function isOfThisFolder({ directory, configDirectory }: ServerStatus): boolean {
  return [directory, configDirectory].some((folder) => {
    if (folder === undefined) return false;
    try {
      return folder === STARTED_IN || realpathSync(folder) === process.cwd();
    } catch {
      return false; // It is gone.
    }
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+\.sock$/.test(name));
  } catch {
    return [];
  }
}

/** Sends one request and reads the answer. */
function ask(path: string, request: ControlRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path);
    socket.setEncoding('utf8');
    if (request.command === 'status') {
      const fault = new GwanmunError('GWM_CONTROL', `The server of ${path} does not answer`, {
        remedy: 'its main process hangs or is stopped; look at it, or kill it: its process id is in the name',
      });
      socket.setTimeout(STATUS_MS, () => socket.destroy(fault));
    }
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (part: string) => (text += part));
    socket.once('error', reject);
    socket.once('close', () => {
      if (!text.endsWith('\n')) {
        // A server that stops need not say more than that it is gone.
        if (request.command === 'stop') resolve(null);
        else reject(new GwanmunError('GWM_CONTROL', 'The server ended before it answered'));
        return;
      }
      // The server may be of another version.
      const response = parseJson(text);
      const isAnswer = typeof response === 'object' && response !== null;
      if (isAnswer && 'result' in response) resolve(response.result);
      else {
        const fault = isAnswer && 'error' in response ? parseError(response.error) : undefined;
        reject(fault ?? new GwanmunError('GWM_CONTROL', `The server gave an unknown answer: ${text.trim()}`));
      }
    });
  });
}

/** A server for people. */
function table(status: ServerStatus, color: boolean): string {
  const c = createColors(color);
  const { workers } = status;
  const lines = [
    `${c.bold(`gwanmun ${status.version}`)}  ${status.state === 'serving' ? c.green(status.state) : status.state} for ${duration(status.uptime)}`,
    `  process      ${status.pid}, ${bytes(status.memory)}`,
    `  folder       ${status.directory}`,
    `  config       ${status.config}, ${reloads(status.generation - 1)}`,
    `  listening    ${status.listen.map(formatAddress).join('  ')}`,
    `  connections  ${status.connections}`,
    `  queue        ${status.queue}${status.queue === 0 ? '' : `, the first for ${status.queueAge} ms`}`,
  ];
  // A server of an older version says nothing of handshakes and certificates.
  const { handshakes, certificates = [], domains = [], clientCertificates } = status;
  if (handshakes !== undefined && certificates.length + domains.length > 0)
    lines.push(`  handshakes   ${shaken(handshakes)}`);
  if (workers.length > 0) {
    const rows = workers.map((worker) => [
      String(worker.worker),
      String(worker.pid ?? '-'),
      worker.generation === 'old' ? 'finishing' : worker.state,
      String(worker.inFlight),
      String(worker.requests),
      bytes(worker.memory),
      worker.eventLoopDelay === undefined ? '-' : `${worker.eventLoopDelay} ms`,
      duration(worker.age),
      worker.restarts === 0 ? '0' : `${worker.restarts}: ${worker.lastExit ?? ''}`,
    ]);
    const head = ['worker', 'pid', 'state', 'in flight', 'requests', 'memory', 'loop delay', 'age', 'restarts'];
    const widths = head.map((title, column) =>
      Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
    );
    const line = (cells: string[]): string =>
      `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd();
    lines.push('', c.dim(line(head)), ...rows.map(line));
  }
  if (certificates.length + domains.length > 0) {
    const shown = { certificates, domains, clientCertificates };
    lines.push('', c.dim('  certificates'), certificateTable(shown, color).trimEnd());
  }
  return `${lines.join('\n')}\n`;
}

/** `3 full, 2 resumed (TLSv1.3 5), 1 failed (unknown_name 1)` */
function shaken({ full, resumed, versions, failed }: CoreHandshakes): string {
  const each = (counts: Readonly<Record<string, number>>): string => {
    const listed = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
    return listed.length === 0 ? '' : ` (${listed.map(([name, count]) => `${name} ${count}`).join(', ')})`;
  };
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  return `${full} full, ${resumed} resumed${each(versions)}, ${failures} failed${each(failed)}`;
}

function reloads(count: number): string {
  if (count === 0) return 'not reloaded yet';
  return count === 1 ? 'reloaded once' : `reloaded ${count} times`;
}

function bytes(count: number | undefined): string {
  return count === undefined ? '-' : `${(count / 1_048_576).toFixed(1)} MiB`;
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}
