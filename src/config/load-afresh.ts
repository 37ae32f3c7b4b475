// Reads a configuration file in a thread of its own, whose modules are all new: an import here would give what was read at the start.

import { Worker } from 'node:worker_threads';
import { GwanmunError, systemFault } from '../errors.js';
import { PACKAGE } from '../package-folder.js';
import type { LoadedConfig } from './load.js';
import type { Answer, Order } from './load-thread.js';

/** As {@link loadConfig}, with the file and all that it imports as they are now. `onImports` is told which files those are. */
export async function loadConfigAfresh(
  file: string,
  onImports?: (files: readonly string[]) => void,
): Promise<LoadedConfig> {
  const order: Order = { file, isFollowed: onImports !== undefined };
  const thread = new Worker(new URL('dist/config/load-thread.js', PACKAGE), { workerData: order });
  try {
    const answer = await new Promise<Answer>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', (code) => reject(new Error(`it ended the thread that reads it, with code ${code}`)));
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
    void thread.terminate();
  }
}
