// The file by which init scripts and monitors know the main process.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { displayPath } from '../config/display-path.js';
import { GwanmunError } from '../errors.js';

/** Refuses a file that a running process is named in. Throws GWM_PID_FILE. `predecessor`: that one may be. */
export function checkPidFile(path: string, predecessor?: number): void {
  const pid = pidIn(path);
  if (pid === undefined || pid === process.pid || pid === predecessor || !isRunning(pid)) return;
  throw new GwanmunError('GWM_PID_FILE', `${displayPath(path)} names process ${pid}, which is running`);
}

/** Writes the file, whole or not at all, and removes it at the end of the process. Throws GWM_PID_FILE. */
export function writePidFile(path: string): void {
  const partial = `${path}.${process.pid}`;
  try {
    writeFileSync(partial, `${process.pid}\n`);
    renameSync(partial, path);
    process.once('exit', () => removePidFile(path));
  } catch (error) {
    rmSync(partial, { force: true });
    throw new GwanmunError('GWM_PID_FILE', `${displayPath(path)} cannot be written: ${(error as Error).message}`, {
      remedy: 'let the user that gwanmun runs as write to the folder, or name another file',
      cause: error,
    });
  }
}

/** Removes the file, unless it names another process by now. */
function removePidFile(path: string): void {
  if (pidIn(path) === process.pid) rmSync(path, { force: true });
}

function pidIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether there is such a process, of whichever user. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
