// The user that the main process and its workers run as, once the addresses are bound and the logs are open.

import { execFileSync } from 'node:child_process';
import type { ResolvedConfig } from '../config/resolved.js';
import { GwanmunError } from '../errors.js';

/** Node has it; its types lack it. */
const withGroups = process as { initgroups?: (user: string | number, group: number) => void };

/** Gives up what is not needed any more; workers are started without it. Throws GWM_PRIVILEGES. */
export function dropPrivileges({ user, group, umask }: ResolvedConfig['privileges']): void {
  if (umask !== undefined) process.umask(umask);
  if ((user ?? group) === undefined) return;
  const uid = user === undefined ? undefined : idOf('user', user);
  const gid = group === undefined ? primaryGroup(user) : idOf('group', group);
  if (process.getuid?.() !== 0) {
    // It may be that one already.
    if ((uid ?? process.getuid?.()) === process.getuid?.() && (gid ?? process.getgid?.()) === process.getgid?.())
      return;
    throw new GwanmunError('GWM_PRIVILEGES', `Only root may become ${describe(user, group)}`);
  }
  try {
    // The groups first: afterwards nobody may change them any more.
    if (gid !== undefined) {
      if (uid === undefined) process.setgroups?.([gid]);
      else withGroups.initgroups?.(typeof user === 'string' ? user : uid, gid);
      process.setgid?.(gid);
    }
    if (uid !== undefined) process.setuid?.(uid);
  } catch (error) {
    const message = `The server cannot become ${describe(user, group)}: ${(error as Error).message}`;
    throw new GwanmunError('GWM_PRIVILEGES', message, { cause: error });
  }
}

/** Whose files made now are to be, if the server becomes another user. Throws GWM_PRIVILEGES. */
export function ownerAfter({ user, group }: ResolvedConfig['privileges']): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0 || (user ?? group) === undefined) return undefined;
  const uid = user === undefined ? 0 : idOf('user', user);
  return { uid, gid: (group === undefined ? primaryGroup(user) : idOf('group', group)) ?? 0 };
}

function idOf(kind: 'user' | 'group', name: string | number): number {
  if (typeof name === 'number') return name;
  const id = kind === 'user' ? ask('id', '-u', '--', name) : ask('getent', 'group', '--', name)?.split(':')[2];
  if (id !== undefined && /^\d+$/.test(id)) return Number(id);
  throw new GwanmunError('GWM_PRIVILEGES', `There is no ${kind} "${name}"`, {
    remedy:
      kind === 'user'
        ? `useradd --system ${name}, or name another one`
        : `groupadd --system ${name}, or name another one`,
  });
}

function primaryGroup(user: string | number | undefined): number | undefined {
  if (user === undefined) return undefined;
  const id = ask('id', '-g', '--', String(user));
  // A number that nobody has a name for.
  return id === undefined ? Number(user) || undefined : Number(id);
}

/** The system's own programs know every place in which users may be. */
function ask(program: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

function describe(user: string | number | undefined, group: string | number | undefined): string {
  const parts = [...(user === undefined ? [] : [`user ${user}`]), ...(group === undefined ? [] : [`group ${group}`])];
  return parts.join(' and ');
}
