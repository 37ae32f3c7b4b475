// A child's descriptor 3: on it a worker says why it does not start, and later, when it is asked, where its code is; a successor says that it
// serves. In development it says there too what it has loaded. Not Node's own channel: that one throws in this process at what it does not understand, and the child runs code of the user's.

import type { ChildProcess } from 'node:child_process';
import { Duplex } from 'node:stream';
import * as v from 'valibot';
import { parseJson } from '../parse-error.js';

/** The child's end, behind standard input, output and error: a socket. */
export const REPORT_FD = 3;

/** Whatever a child says, no more of it is kept. An error with a deep stack takes a tenth of it. Characters. */
const MOST_TEXT = 1_048_576;

/** So long a worker may take to say where its code is. */
const ANSWER_MS = 3000;
/** After a pause of this, an answer is over. */
const QUIET_MS = 200;

/** In development: is told which files a worker loads, and since when (a time of Date) they may have been read. */
export type OnLoaded = (files: readonly string[], since: number) => void;

/** A line of a worker that says so. */
const LOADED_LINE = /^\{"loaded":.*\n/gm;
const LOADED = v.object({ loaded: v.array(v.pipe(v.string(), v.startsWith('/'))) });

/** The main process's end. Nothing that comes here is trusted: it is a text. */
export class Report {
  readonly #stream: Duplex | undefined;
  #text = '';
  #grown: () => void;
  #answer: Promise<string> | undefined;

  /** `grown` is called when it has said more; `onLoaded` when that is what it has loaded, which its text is without. */
  constructor(child: ChildProcess, grown = (): void => {}, onLoaded?: OnLoaded) {
    this.#grown = grown;
    const since = Date.now();
    // Without descriptors left there is neither a process nor any of its streams.
    const stream = (child.stdio as ChildProcess['stdio'] | undefined)?.[REPORT_FD];
    if (!(stream instanceof Duplex)) return;
    this.#stream = stream;
    // That it has ended is told by the process.
    stream.on('error', () => {});
    stream.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text.slice(0, MOST_TEXT - this.#text.length);
      if (onLoaded !== undefined) {
        this.#text = this.#text.replace(LOADED_LINE, (line) => {
          const { success, output } = v.safeParse(LOADED, parseJson(line));
          if (success) onLoaded(output.loaded, since);
          return '';
        });
      }
      // It may go on for ever.
      if (this.#text.length === MOST_TEXT) this.close();
      this.#grown();
    });
  }

  /** What it has said. */
  get text(): string {
    return this.#text;
  }

  /** Hears no more. */
  close(): void {
    this.#stream?.destroy();
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
