// What the main process says: in the core's log, or at a terminal to a person.

import { placeError } from '../config/origin.js';
import type { ResolvedConfig } from '../config/resolved.js';
import type { GwanmunError } from '../errors.js';
import { formatError } from '../format-error.js';
import type { NativeCore } from '../native.js';
import type { ServerEvent } from './event.js';
import type { Print } from './worker-process.js';

export class Journal {
  readonly #config: () => ResolvedConfig;
  readonly #core: () => NativeCore | undefined;
  readonly #print: (message: string, error?: GwanmunError) => void;

  /** `core`: undefined as long as there is none. `print`: for a person. */
  constructor(
    config: () => ResolvedConfig,
    core: () => NativeCore | undefined,
    print: (message: string, error?: GwanmunError) => void,
  ) {
    this.#config = config;
    this.#core = core;
    this.#print = print;
  }

  tell({ level, event, message, worker, pid, error: fault, stack }: ServerEvent): void {
    const error = fault && placeError(fault, this.#config());
    const core = this.#core();
    if (!this.#isForLog || core === undefined) {
      this.#print(stack === undefined ? message : `${message}\n${stack}`, error);
      return;
    }
    core.log({
      level,
      event,
      msg: message,
      ...(stack === undefined ? {} : { stack }),
      ...(error === undefined ? {} : { code: error.code, stack: formatError(error) }),
      ...(worker === undefined ? {} : { worker }),
      ...(pid === undefined ? {} : { pid }),
    });
  }

  /** Where lines go that workers print; undefined: to standard error. */
  printer(core: NativeCore): Print | undefined {
    if (!this.#isForLog) return undefined;
    return (stream, msg, worker, pid) => core.log({ level: 'info', event: 'output', msg, worker, pid, stream });
  }

  /** Whether nobody sits at standard error. */
  get #isForLog(): boolean {
    const { format, timed } = this.#config().errorLog;
    return format === 'json' || timed;
  }
}
