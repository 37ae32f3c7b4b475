// A worker's descriptor 3: on it a worker says why it does not start, and later, when it is asked, where its code is.

import type { ChildProcess } from 'node:child_process';
import { Duplex } from 'node:stream';

/** The worker's end, behind standard input, output and error: a socket. */
export const REPORT_FD = 3;

/** Whatever a worker says, no more of it is kept. Characters. */
const MOST_TEXT = 65_536;

/** So long a worker may take to say where its code is. */
const ANSWER_MS = 3000;
/** After a pause of this, an answer is over. */
const QUIET_MS = 200;

/** The main process's end. Nothing that comes here is trusted: it is a text. */
export class Report {
  readonly #stream: Duplex | undefined;
  #text = '';
  #grown = (): void => {};
  #answer: Promise<string> | undefined;

  constructor(child: ChildProcess) {
    const stream = child.stdio[REPORT_FD];
    // Without descriptors left there is neither a process nor its streams.
    if (!(stream instanceof Duplex)) return;
    this.#stream = stream;
    // That it has ended is told by the process.
    stream.on('error', () => {});
    stream.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text.slice(0, MOST_TEXT - this.#text.length);
      this.#grown();
    });
  }

  /** What the worker has said. */
  get text(): string {
    return this.#text;
  }

  /** Sends a byte, which is the question of a worker in Node. */
  ask(): void {
    this.#stream?.write('?');
  }

  /** What the worker says once `ask` has asked it; empty if it says nothing. */
  answer(ask: () => void): Promise<string> {
    return (this.#answer ??= this.#hear(ask).finally(() => (this.#answer = undefined)));
  }

  #hear(ask: () => void): Promise<string> {
    return new Promise((resolve) => {
      const over = (): void => {
        this.#grown = () => {};
        clearTimeout(patience);
        resolve(this.#text);
      };
      const patience = setTimeout(over, ANSWER_MS);
      let pause: NodeJS.Timeout | undefined;
      this.#grown = () => {
        clearTimeout(pause);
        pause = setTimeout(over, QUIET_MS);
      };
      this.#text = '';
      ask();
    });
  }
}
