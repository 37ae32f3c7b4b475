// What authorities are about to ask of this server, in the storage, so that every process that has it answers (T144).

import type { NativeBinding } from '../native.js';
import type { Clock } from './clock.js';
import type { Question } from './issue.js';
import { challengeCertificate } from './request.js';
import type { Storage } from './storage.js';

/** A challenge as the core gets it. */
export type CoreChallenge = Parameters<InstanceType<NativeBinding['Core']>['setChallenges']>[0][number];

export interface QuestionsOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  /** Has these answered from now on, and no others. */
  readonly setChallenges: (challenges: CoreChallenge[]) => void;
  readonly onFault: (error: unknown) => void;
}

/** A question is answered so long at the most, by processes that do not know that it is over. */
const OPEN_MS = 600_000;
/** Other processes with the same sockets get this long to hear of it. */
const HEAR_MS = 250;

export class Questions {
  readonly #options: QuestionsOptions;
  /** By token. */
  readonly #answers = new Map<string, CoreChallenge>();
  #hasEnded = false;

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  /** Has it answered everywhere before the authority is told (T148). Gives what ends that. */
  async publish(question: Question, signal: AbortSignal): Promise<() => void> {
    const { storage, clock } = this.#options;
    const file = fileOf(question.token);
    storage.write(file, JSON.stringify({ ...question, until: Date.now() + OPEN_MS }));
    this.answer();
    const withdraw = (): void => {
      storage.remove(file);
      this.answer();
    };
    try {
      await clock.sleep(HEAR_MS, signal);
    } catch (error) {
      withdraw();
      throw error;
    }
    return withdraw;
  }

  /** Has the core answer what is asked by now. */
  answer(): void {
    const { storage, setChallenges, onFault } = this.#options;
    // Whoever comes after it has the core answer.
    if (this.#hasEnded) return;
    try {
      const open = storage.list('challenges').flatMap((token) => {
        const question = storage.read(fileOf(token), parse);
        if (question === undefined) return [];
        if (question.until > Date.now()) return [question];
        storage.remove(fileOf(token));
        return [];
      });
      for (const token of this.#answers.keys()) {
        if (!open.some((question) => question.token === token)) this.#answers.delete(token);
      }
      for (const question of open) {
        if (!this.#answers.has(question.token)) this.#answers.set(question.token, answerTo(question));
      }
      setChallenges([...this.#answers.values()]);
    } catch (error) {
      onFault(error);
    }
  }

  end(): void {
    this.#hasEnded = true;
  }
}

function fileOf(token: string): string {
  return `challenges/${token}`;
}

function answerTo({ kind, domain, token, answer }: Question): CoreChallenge {
  if (kind === 'http-01') return { host: domain, token, answer };
  return { host: domain, ...challengeCertificate(domain, answer) };
}

function parse(text: string): Question & { readonly until: number } {
  const question = JSON.parse(text) as Question & { readonly until: number };
  const { kind, domain, token, answer, until } = question;
  const isQuestion =
    (kind === 'http-01' || kind === 'tls-alpn-01') &&
    [domain, token, answer].every((part) => typeof part === 'string') &&
    Number.isFinite(until);
  if (!isQuestion) throw new Error('it has not the parts that it should have');
  return question;
}
