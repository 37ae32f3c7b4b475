// Who holds a port or a Unix socket, for the error of a start that finds it taken. By /proc: what this user may see of it.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { CoreListener } from '../config/core.js';
import type { GwanmunError } from '../errors.js';

/** A process that listens. */
export interface SocketHolder {
  readonly pid: number;
  /** Its command line, shortened. */
  readonly command: string;
}

/** The core's error about a taken address, with the process that has it. `listeners` are those that were to be bound. */
export function nameHolder(error: GwanmunError, listeners: readonly CoreListener[]): GwanmunError {
  if (error.code !== 'GWM_PORT_IN_USE') return error;
  const listener = listeners[Number(/^listen\[(\d+)\]$/.exec(error.part ?? '')?.[1])];
  const holder = listener && findSocketHolder(listener);
  if (holder === undefined) return error;
  const { pid, command } = holder;
  if (pid === process.pid) {
    return error.with({
      message: error.message.replace('another program.', 'this process itself'),
      remedy: 'close() the server that it belongs to first, or choose another port (0 takes a free one)',
    });
  }
  return error.with({
    message: error.message.replace('another program.', `process ${pid}: ${command}`),
    remedy: `stop it (kill ${pid}), or choose another port (0 takes a free one)`,
  });
}

/** The process that listens at an address; undefined if it is another user's, or gone. */
export function findSocketHolder(listener: CoreListener): SocketHolder | undefined {
  try {
    const inodes = listener.kind === 'tcp' ? tcpInodes(listener.port) : unixInodes(listener.path);
    return inodes.size === 0 ? undefined : holderOf(inodes);
  } catch {
    return undefined; // No /proc: then nobody is named.
  }
}

/** `0A` is TCP_LISTEN. */
const LISTEN = '0A';

function tcpInodes(port: number): Set<string> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const table of ['tcp', 'tcp6']) {
    for (const row of rows(`/proc/self/net/${table}`)) {
      const [, local = '', , state, , , , , , inode] = row;
      if (state === LISTEN && local.endsWith(`:${hex}`) && inode !== undefined) inodes.add(inode);
    }
  }
  return inodes;
}

function unixInodes(path: string): Set<string> {
  const found = rows('/proc/self/net/unix').filter((row) => row.slice(7).join(' ') === path);
  return new Set(found.flatMap((row) => row[6] ?? []));
}

function rows(file: string): string[][] {
  try {
    const lines = readFileSync(file, 'latin1').split('\n').slice(1);
    return lines.map((line) => line.trim().split(/\s+/));
  } catch {
    return []; // No IPv6.
  }
}

function holderOf(inodes: ReadonlySet<string>): SocketHolder | undefined {
  const names = new Set([...inodes].map((inode) => `socket:[${inode}]`));
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const folder = `/proc/${pid}/fd`;
      if (!readdirSync(folder).some((fd) => names.has(linkOf(`${folder}/${fd}`)))) continue;
      return { pid: Number(pid), command: commandOf(pid) };
    } catch {
      // Another user's, or it has ended.
    }
  }
  return undefined;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function commandOf(pid: string): string {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  // A program may call itself anything: nothing of it is a command for the terminal.
  const text = words.join(' ').replaceAll(/\p{Cc}/gu, ' ');
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
