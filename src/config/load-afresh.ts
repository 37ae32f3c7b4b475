// Reads a configuration file in a thread of its own, whose modules are all new: an import here would give what was read at the start.

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { GwanmunError, systemFault, type SerializedError } from '../errors.js';
import { loadConfig, type LoadedConfig } from './load.js';

type Answer = ({ readonly loaded: LoadedConfig } | { readonly failure: SerializedError }) & {
  readonly imports?: readonly string[] | undefined;
};

/** As {@link loadConfig}, with the file and all that it imports as they are now. `onImports` is told which files those are. */
export async function loadConfigAfresh(
  file: string,
  onImports?: (files: readonly string[]) => void,
): Promise<LoadedConfig> {
  const order: Order = { file, isFollowed: onImports !== undefined };
  const thread = new Worker(fileURLToPath(import.meta.url), { workerData: order });
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

/** What the thread is to do. */
interface Order {
  readonly file: string;
  readonly isFollowed: boolean;
}

if (!isMainThread && typeof (workerData as { file?: unknown } | null)?.file === 'string') {
  const { file, isFollowed } = workerData as Order;
  const imports = isFollowed ? (await import('./follow-imports.js')).followImports() : undefined;
  const answer = await loadConfig(file).then(
    // Functions can't leave their thread: those of the start are kept.
    ({ config: { hooks: _hooks, ...config }, ...loaded }): Answer => ({ loaded: { ...loaded, config } }),
    (error: unknown): Answer => {
      if (error instanceof GwanmunError) return { failure: error.toJSON() };
      throw error;
    },
  );
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  parentPort?.postMessage({ ...answer, imports: imports?.take() });
}
