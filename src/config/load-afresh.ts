// Reads a configuration file in a thread of its own, whose modules are all new: an import here would give what was read at the start.

import { Worker } from 'node:worker_threads';
import { GwanmunError, systemFault } from '../errors.js';
import { PACKAGE } from '../package-folder.js';
import { displayPath } from './display-path.js';
import type { LoadedConfig } from './load.js';
import type { Answer, Order } from './load-thread.js';

/** Node's code for a module that awaits what nothing is left to bring about. */
const NEVER_DONE = 13;

/** As {@link loadConfig}, with the file and all that it imports as they are now, and within `patienceMs`. `onImports` is told which files those are. */
export async function loadConfigAfresh(
  file: string,
  patienceMs: number,
  onImports?: (files: readonly string[]) => void,
): Promise<LoadedConfig> {
  const order: Order = { file, isFollowed: onImports !== undefined };
  const thread = new Worker(new URL('dist/config/load-thread.js', PACKAGE), { workerData: order });
  let timer: NodeJS.Timeout | undefined;
  try {
    const answer = await new Promise<Answer>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', (code) => reject(code === NEVER_DONE ? unfinished(file) : new Error(endedWith(code))));
      timer = setTimeout(() => reject(unfinished(file, patienceMs)), patienceMs);
    });
    onImports?.(answer.imports ?? []);
    if ('failure' in answer) throw GwanmunError.fromJSON(answer.failure);
    return answer.loaded;
  } catch (error) {
    if (error instanceof GwanmunError) throw error;
    const fault = systemFault(error);
    if (fault !== undefined) throw fault;
    throw new GwanmunError('GWM_CONFIG_LOAD', `${file}: ${(error as Error).message}`, { cause: error });
  } finally {
    clearTimeout(timer);
    void thread.terminate();
  }
}

const endedWith = (code: number): string => `it ended the thread that reads it, with code ${code}`;

function unfinished(file: string, patienceMs?: number): GwanmunError {
  const when = patienceMs === undefined ? 'never ends' : `has not ended after ${patienceMs} ms`;
  return new GwanmunError('GWM_CONFIG_LOAD', `${displayPath(file)} ${when}`, {
    where: { file: displayPath(file) },
    remedy: 'look for an await that never ends; what takes longer has the time of startTimeout',
  });
}
