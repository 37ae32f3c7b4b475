// gwanmun status, reload, stop, restart-worker, scale and upgrade: asks a running server over its control socket.

import { readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { displayPath } from '../config/display-path.js';
import { createColors, GwanmunError } from '../errors.js';
import { parseError, parseJson } from '../parse-error.js';
import { controlFolder, type ControlRequest } from '../supervisor/control.js';
import type { ServerStatus } from '../supervisor/status.js';
import { formatAddress } from './banner.js';

/** Which server is meant: by its process, else the one of this folder, else the only one. */
export interface ControlTarget {
  readonly pid?: number | undefined;
}

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
  const { path, status } = await findServer(target);
  if (request.command === 'status') return asJson ? `${JSON.stringify(status, null, 2)}\n` : table(status, color);
  const result = await ask(path, request);
  if (asJson) return `${JSON.stringify(result, null, 2)}\n`;
  switch (request.command) {
    case 'reload': {
      const { workers, generation } = result as ServerStatus;
      const current = workers.filter((worker) => worker.generation === 'current');
      return `✓ reloaded: ${current.length} workers, configuration ${generation}\n`;
    }
    case 'scale': {
      const counts = result as number[];
      return `✓ scaled: ${counts.join(' and ')} ${counts.length === 1 && counts[0] === 1 ? 'worker' : 'workers'}\n`;
    }
    case 'upgrade':
      return `✓ process ${result as number} serves in the place of ${status.pid}\n`;
    case 'stop':
      return `✓ stopped: process ${status.pid}\n`;
    case 'restart-worker': {
      const numbers = result as number[];
      return `✓ replaced: ${numbers.length === 1 ? 'worker' : 'workers'} ${numbers.join(', ')}\n`;
    }
  }
}

async function findServer({ pid }: ControlTarget): Promise<Found> {
  const folder = controlFolder();
  const found: Found[] = [];
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    if (pid !== undefined && name !== `${pid}.sock`) continue;
    try {
      found.push({ path, status: (await ask(path, { command: 'status' })) as ServerStatus });
    } catch (error) {
      // Its server has died without a chance to take it along.
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') rmSync(path, { force: true });
      else if (error instanceof GwanmunError) throw error;
    }
  }
  const here = found.filter(({ status }) => status.directory === process.cwd());
  const [one, another] = here.length > 0 ? here : found;
  if (one === undefined) {
    const which =
      pid === undefined ? 'No gwanmun of this user is running' : `Process ${pid} is no gwanmun of this user`;
    throw new GwanmunError('GWM_CONTROL', which, {
      remedy: 'start one: gwanmun\nor ask as the user that it runs as: sudo -u USER gwanmun status',
    });
  }
  if (another === undefined) return one;
  const list = (here.length > 0 ? here : found).map(
    ({ status }) => `--pid ${status.pid}    # ${displayPath(join(status.directory, status.config))}`,
  );
  throw new GwanmunError('GWM_CONTROL', 'Several servers are running', { remedy: ['say which:', ...list].join('\n') });
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
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (part: string) => (text += part));
    socket.once('error', reject);
    socket.once('close', () => {
      if (!text.endsWith('\n')) {
        // A server that stops need not say more than that it is gone.
        if (request.command === 'stop') resolve(null);
        else reject(new GwanmunError('GWM_CONTROL', 'The server has ended before it answered'));
        return;
      }
      // The server may be of another version.
      const response = parseJson(text);
      const isAnswer = typeof response === 'object' && response !== null;
      if (isAnswer && 'result' in response) resolve(response.result);
      else {
        const fault = isAnswer && 'error' in response ? parseError(response.error) : undefined;
        reject(
          fault ?? new GwanmunError('GWM_CONTROL', `The server gave an answer that is not understood: ${text.trim()}`),
        );
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
    `  config       ${status.config}, taken over ${status.generation === 1 ? 'at the start' : `${status.generation - 1} times`}`,
    `  listening    ${status.listen.map(formatAddress).join('  ')}`,
    `  connections  ${status.connections}`,
    `  queue        ${status.queue}${status.queue === 0 ? '' : `, the first for ${status.queueAge} ms`}`,
  ];
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
  return `${lines.join('\n')}\n`;
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
