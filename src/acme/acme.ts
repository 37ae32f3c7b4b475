// Certificates by themselves: which name needs what, when, and who of several processes does it.

import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { isIP } from 'node:net';
import { GwanmunError } from '../errors.js';
import type { CertificateRecord } from '../native.js';
import { accountFor, type AccountOptions } from './account.js';
import { AcmeClient, AcmeProblem, type Account, type Directory, type ExternalAccount } from './client.js';
import { systemClock, type Clock } from './clock.js';
import { NOTHING_KNOWN, parseState, remedyFor, type DomainState, type Failure } from './domain-state.js';
import type { Fetch } from './fetch.js';
import { issue, type ChallengeKind } from './issue.js';
import { Locks } from './lock.js';
import { Questions, type CoreChallenge } from './questions.js';
import { renewalIdOf, type KeyType } from './request.js';
import { isCritical, momentIn, pauseAfter, renewalOf } from './schedule.js';
import { fileName, type Storage } from './storage.js';

/** Something to write to the log. */
export interface AcmeNotice {
  readonly level: 'error' | 'warn' | 'info';
  readonly message: string;
  readonly error?: GwanmunError;
}

/** What goes on with a name, for operators. Times are milliseconds since 1970. */
export interface DomainStatus {
  readonly name: string;
  /** `failing`: the last attempt was of no use. */
  readonly state: 'issued' | 'waiting' | 'failing';
  readonly authority: string;
  /** Of the certificate that there is. */
  readonly notAfter?: number | undefined;
  /** When the next attempt is made: of a certificate that there is, its renewal. */
  readonly nextAttempt: number;
  readonly failures: number;
  readonly failure?: { readonly at: number; readonly message: string; readonly remedy: string } | undefined;
  /** So little is left of the certificate's life that somebody should look. */
  readonly isCritical: boolean;
}

export interface AcmeOptions {
  /** In their normal form: A-labels in lower case, or addresses. */
  readonly domains: readonly string[];
  readonly directory: string;
  /** Where its terms of service are, if that is known without it. */
  readonly terms?: string | undefined;
  readonly email: string | undefined;
  readonly profile: string | undefined;
  readonly keyType: KeyType;
  readonly externalAccount: ExternalAccount | undefined;
  readonly storage: Storage;
  /** How names can be proved here, the best way first. */
  readonly kinds: readonly ChallengeKind[];
  readonly fetch: Fetch;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly readCertificate: (cert: string, key: string) => CertificateRecord;
  /** Has these answered from now on, and no others. */
  readonly setChallenges: (challenges: CoreChallenge[]) => void;
  /** A name has another certificate: PEM, with its key. */
  readonly onCertificate: (domain: string, pem: string) => void;
  readonly tell: (notice: AcmeNotice) => void;
}

/** A certificate that is there. */
interface Kept {
  readonly pem: string;
  readonly record: CertificateRecord;
}

/** Timers are set anew after so long at the latest: clocks jump, and laptops sleep (T167). */
const TICK_MS = 60_000;
/** Another process is at work on a name: what comes of it is looked for after so long. */
const AGAIN_MS = 2000;
/** What changes in the storage changes often at the same time. */
const SOON_MS = 500;
const MOST_AT_ONCE = 10;
const MOST_ORDERS = 300;
const ORDERS_MS = 3 * 3_600_000;
/** An authority may ask for patience, but not for ever. */
const MOST_PATIENCE_MS = 8 * 86_400_000;
/** Somebody who wants an attempt now gets it so long after the last one: five in an hour are what authorities take. */
const ASKED_MS = 12 * 60_000;
const ASK_AGAIN_MS = 3_600_000;
const KEEP_EXPIRED_MS = 30 * 86_400_000;

export class Acme {
  readonly #options: AcmeOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #client: AcmeClient;
  readonly #locks: Locks;
  readonly #ending = new AbortController();
  /** By domain: at work on it. */
  readonly #working = new Map<string, Promise<void>>();
  /** What is served, or handed over to be. */
  readonly #served = new Map<string, string>();
  /** Issued, and the disk would not have it. */
  readonly #unsaved = new Map<string, string>();
  /** What this process has told of last, by domain: once is enough. */
  readonly #told = new Map<string, string>();
  readonly #questions: Questions;
  #unwatch: readonly (() => void)[] = [];
  #isLooking = false;

  constructor(options: AcmeOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#client = new AcmeClient({ directory: options.directory, fetch: options.fetch, clock: this.#clock });
    this.#locks = new Locks(`${options.storage.folder}/locks`);
    this.#questions = new Questions({
      storage: options.storage,
      clock: this.#clock,
      setChallenges: options.setChallenges,
      onFault: (error) => this.#tellOnce('', storageFault(error)),
    });
    // Everything that waits listens to it.
    setMaxListeners(0, this.#ending.signal);
  }

  /** The certificate that a name has from before: it is taken to be served. */
  kept(domain: string): string | undefined {
    const kept = this.#read(domain);
    if (kept !== undefined) this.#served.set(domain, kept.pem);
    return kept?.pem;
  }

  /** Begins to see to it. What fails is told, and tried again. */
  begin(): void {
    const { storage, domains, terms, tell } = this.#options;
    const waiting = domains.filter((domain) => !this.#served.has(domain));
    if (waiting.length > 0 && terms !== undefined) {
      // T157
      tell({
        level: 'info',
        message: `certificates for ${waiting.join(', ')} are being got; whoever names a domain agrees to the authority's terms of service: ${terms}`,
      });
    }
    this.#unwatch = [
      storage.watch('certificates', () => this.#look()),
      storage.watch('challenges', () => this.#questions.answer()),
      // Another process may have given up what it was at.
      storage.watch('names', () => this.#tickSoon()),
    ];
    this.#questions.answer();
    void this.#run();
  }

  /** Gives up what it is at, and leaves it to others. */
  async end(): Promise<void> {
    for (const unwatch of this.#unwatch) unwatch();
    this.#unwatch = [];
    clearTimeout(this.#soon);
    this.#questions.end();
    this.#ending.abort(new Error('the server ends'));
    await Promise.allSettled(this.#working.values());
  }

  /** Somebody has corrected something: names that wait for their next attempt get it soon. */
  hurry(): void {
    const { domains, storage } = this.#options;
    for (const domain of domains) {
      const state = this.#state(domain);
      if (state.failure === undefined || state.failure.isLimit === true) continue;
      const nextAttempt = Math.min(state.nextAttempt, state.failure.at + ASKED_MS);
      if (nextAttempt < state.nextAttempt) {
        try {
          storage.write(stateFile(domain), JSON.stringify({ ...state, nextAttempt }));
        } catch {
          // Then it is tried when it was to be tried.
        }
      }
    }
    this.#tick();
  }

  status(): DomainStatus[] {
    const { domains, directory } = this.#options;
    const now = this.#clock.now();
    return domains.map((domain) => {
      const record = this.#peek(domain);
      const state = this.#state(domain);
      const { failure, failures } = state;
      const due =
        record === undefined ? state.nextAttempt : Math.max(this.#renewalOf(record, state), state.nextAttempt);
      return {
        name: domain,
        state: failure !== undefined ? 'failing' : record === undefined ? 'waiting' : 'issued',
        authority: new URL(directory).host,
        notAfter: record?.notAfter,
        nextAttempt: Math.max(due, now),
        failures,
        failure: failure && { at: failure.at, message: failure.message, remedy: remedyFor(domain, failure) },
        isCritical: record !== undefined && failure !== undefined && isCritical(record, now),
      };
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    let cleanAt = 0;
    while (!signal.aborted) {
      this.#questions.answer();
      this.#look();
      this.#tick();
      if (this.#clock.now() >= cleanAt) {
        cleanAt = this.#clock.now() + 86_400_000;
        this.#clean();
      }
      try {
        await this.#clock.sleep(TICK_MS, signal);
      } catch {
        return;
      }
    }
  }

  #soon: NodeJS.Timeout | undefined;

  #tickSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#tick();
    }, SOON_MS).unref();
  }

  /** Goes to work on the names that need it. */
  #tick(): void {
    for (const domain of this.#options.domains) {
      if (this.#ending.signal.aborted || this.#working.size >= MOST_AT_ONCE) return;
      if (this.#working.has(domain) || !this.#needs(domain)) continue;
      const work = this.#work(domain).then((hadTurn) => {
        this.#working.delete(domain);
        // Another process had the turn; or others were one too many.
        if (!hadTurn || this.#working.size === MOST_AT_ONCE - 1) this.#tick();
      });
      this.#working.set(domain, work);
    }
  }

  #needs(domain: string): boolean {
    const now = this.#clock.now();
    const state = this.#state(domain);
    if (this.#unsaved.has(domain)) return true;
    const record = this.#peek(domain);
    if (record === undefined) return state.nextAttempt <= now;
    return this.#isAskingDue(domain, state, now) || this.#isDue(record, state, now);
  }

  #isDue(record: CertificateRecord, state: DomainState, now: number): boolean {
    return this.#renewalOf(record, state) <= now && state.nextAttempt <= now;
  }

  #isAskingDue(domain: string, { renewal }: DomainState, now: number): boolean {
    const pem = this.#served.get(domain);
    return (
      pem !== undefined && (renewal?.id !== renewalIdOf(pem) || renewal?.askAt === undefined || renewal.askAt <= now)
    );
  }

  /** The authority's moment counts, but never the last sixth of a certificate's life. */
  #renewalOf(record: CertificateRecord, { renewal }: DomainState): number {
    const { notBefore, notAfter } = record;
    const last = notAfter - (notAfter - notBefore) / 6;
    return renewal === undefined || renewal.moment === Number.MAX_SAFE_INTEGER
      ? renewalOf(record)
      : Math.min(renewal.moment, last);
  }

  /** `false`: another process is at work on it. */
  async #work(domain: string): Promise<boolean> {
    const { signal } = this.#ending;
    try {
      const lock = this.#locks.take(fileName(domain));
      if (lock === undefined) {
        await this.#clock.sleep(AGAIN_MS, signal);
        this.#look();
        return false;
      }
      try {
        await this.#workAlone(domain, () => lock.isHeld());
      } finally {
        lock.release();
      }
    } catch (error) {
      if (signal.aborted) return true;
      this.#tellOnce(domain, storageFault(error));
      // The disk is tried again with the next tick, and nobody else is bothered meanwhile.
      await this.#clock.sleep(TICK_MS / 2, signal).catch(() => {});
    }
    return true;
  }

  /** Nobody else is at work on this name, but somebody may have been. */
  async #workAlone(domain: string, isHeld: () => boolean): Promise<void> {
    const { storage } = this.#options;
    const { signal } = this.#ending;
    const unsaved = this.#unsaved.get(domain);
    if (unsaved !== undefined) return this.#save(domain, unsaved);
    this.#lookAt(domain);
    const kept = this.#read(domain);
    let state = this.#state(domain);
    if (kept !== undefined) {
      state = await this.#askForRenewal(domain, kept, state);
      if (!this.#isDue(kept.record, state, this.#clock.now())) return;
    } else if (state.nextAttempt > this.#clock.now()) return;
    if (!(await this.#mayOrder(signal))) {
      const now = this.#clock.now();
      const failure: Failure = {
        at: now,
        message: `${MOST_ORDERS} certificates were ordered in 3 hours; the next ones wait`,
        type: 'rateLimited',
      };
      storage.write(stateFile(domain), JSON.stringify({ ...state, nextAttempt: now + 600_000, failure }));
      return;
    }
    await this.#order(domain, kept, state, isHeld);
  }

  async #order(domain: string, kept: Kept | undefined, before: DomainState, isHeld: () => boolean): Promise<void> {
    const { storage, profile, keyType, kinds } = this.#options;
    const { signal } = this.#ending;
    const failures = before.failures + 1;
    const turn = before.failures % Math.max(kinds.length, 1);
    const inTurn = [...kinds.slice(turn), ...kinds.slice(0, turn)];
    const now = this.#clock.now();
    const nextAttempt = now + pauseAfter(failures, this.#random());
    // First it is written down that this has failed: then a process that dies in the middle of it, again and again, asks no faster than others (T171).
    const interrupted: Failure = {
      at: now,
      message: 'the server ended in the middle of it',
      type: 'interrupted',
      instead: digestOf(kept?.pem),
    };
    storage.write(stateFile(domain), JSON.stringify({ ...before, failures, nextAttempt, failure: interrupted }));
    let pem: string;
    try {
      const directory = await this.#client.directory(signal);
      pem = await this.#withAccount(directory, async (account) =>
        issue(
          {
            domain,
            profile: profileFor(domain, profile, directory),
            keyType,
            replaces: kept && directory.renewalInfo !== undefined ? renewalIdOf(kept.pem) : undefined,
            kinds: inTurn,
          },
          {
            client: this.#client,
            directory,
            account,
            clock: this.#clock,
            publish: (question) => this.#questions.publish(question, signal),
            signal,
          },
        ),
      );
      this.#check(domain, pem);
    } catch (error) {
      if (signal.aborted) {
        // It was not the name's fault: who comes after this process may begin at once.
        storage.write(stateFile(domain), JSON.stringify(before));
        return;
      }
      this.#fail(domain, before, { failures, nextAttempt, error, kind: inTurn[0] });
      return;
    }
    if (!isHeld()) {
      // Another process has taken this one for dead, and has one of its own by now.
      this.#lookAt(domain);
      if (this.#read(domain)?.pem !== kept?.pem) return;
    }
    this.#save(domain, pem);
  }

  #save(domain: string, pem: string): void {
    const { storage, tell } = this.#options;
    this.#unsaved.set(domain, pem);
    storage.write(certificateFile(domain), pem);
    this.#unsaved.delete(domain);
    storage.write(stateFile(domain), JSON.stringify(NOTHING_KNOWN));
    this.#told.delete(domain);
    this.#lookAt(domain);
    const record = this.#peek(domain);
    const until = record === undefined ? '' : `, until ${day(record.notAfter)}`;
    tell({ level: 'info', message: `the certificate for ${domain} was issued${until}; it is renewed by itself` });
    this.#look();
    // When that is, the authority may say at once.
    queueMicrotask(
      () =>
        void this.#clock.sleep(0, this.#ending.signal).then(
          () => this.#tick(),
          () => {},
        ),
    );
  }

  #fail(
    domain: string,
    before: DomainState,
    {
      failures,
      nextAttempt,
      error,
      kind,
    }: { failures: number; nextAttempt: number; error: unknown; kind: ChallengeKind | undefined },
  ): void {
    const { storage } = this.#options;
    const now = this.#clock.now();
    const problem = error instanceof AcmeProblem ? error : undefined;
    const asked = problem?.retryAt === undefined ? 0 : Math.min(problem.retryAt, now + MOST_PATIENCE_MS);
    const patience = problem?.isRateLimit === true ? Math.max(asked, now + 3_600_000) : asked;
    const failure: Failure = {
      at: now,
      message: problem?.message ?? messageOf(error),
      type: problem?.type ?? '',
      kind,
      ...(problem?.isRateLimit === true && problem.retryAt !== undefined ? { isLimit: true } : {}),
    };
    const next = Math.max(nextAttempt, patience);
    storage.write(stateFile(domain), JSON.stringify({ ...before, failures, nextAttempt: next, failure }));
    const record = this.#peek(domain);
    const what =
      record === undefined
        ? `there is no certificate for ${domain} yet`
        : `the certificate for ${domain} could not be renewed, and ${lifeOf(record, now)}`;
    const fault = new GwanmunError('GWM_ACME_FAILED', `${new URL(this.#options.directory).host}: ${failure.message}`, {
      remedy: remedyFor(domain, failure),
    });
    const isGrave = record === undefined || isCritical(record, now);
    this.#options.tell({
      level: isGrave ? 'error' : 'warn',
      message: `${what}; the next attempt is at ${new Date(next).toISOString().replace(/\.\d+Z$/, 'Z')}`,
      error: fault,
    });
  }

  /** Asks the authority when it wants the certificate renewed, if it is time to. Keeps what it has said before if it does not answer. */
  async #askForRenewal(domain: string, { pem }: Kept, state: DomainState): Promise<DomainState> {
    const { storage } = this.#options;
    const now = this.#clock.now();
    if (!this.#isAskingDue(domain, state, now)) return state;
    const id = renewalIdOf(pem) ?? 'unknown';
    const known = state.renewal?.id === id ? state.renewal : undefined;
    let renewal = known ?? { id, start: 0, end: 0, moment: Number.MAX_SAFE_INTEGER, askAt: 0 };
    try {
      const directory = await this.#client.directory(this.#ending.signal);
      const info = id === 'unknown' ? undefined : await this.#client.renewalInfo(directory, id, this.#ending.signal);
      if (info === undefined) renewal = { ...renewal, askAt: now + 24 * ASK_AGAIN_MS };
      else {
        const { start, end, explanation, retryAt } = info;
        const isNew = start !== renewal.start || end !== renewal.end;
        const moment = isNew ? momentIn(info, this.#random()) : renewal.moment;
        renewal = { id, start, end, moment, askAt: retryAt, ...(explanation === undefined ? {} : { explanation }) };
        if (isNew && explanation !== undefined) {
          this.#options.tell({
            level: 'warn',
            message: `the authority wants the certificate for ${domain} renewed at ${new Date(moment).toISOString()}: ${explanation}`,
          });
        }
      }
    } catch (error) {
      if (this.#ending.signal.aborted) throw error;
      renewal = { ...renewal, askAt: now + ASK_AGAIN_MS };
    }
    const next = { ...state, renewal };
    storage.write(stateFile(domain), JSON.stringify(next));
    return next;
  }

  async #withAccount<T>(directory: Directory, act: (account: Account) => Promise<T>): Promise<T> {
    const { storage, email, externalAccount, tell } = this.#options;
    const options: AccountOptions = {
      storage,
      client: this.#client,
      email,
      externalAccount,
      onTerms: (terms) =>
        tell({ level: 'info', message: `an account was made; these terms of service were agreed to: ${terms}` }),
    };
    const { signal } = this.#ending;
    const account = await this.#exclusively('account', () => accountFor(directory, options, signal));
    try {
      return await act(account);
    } catch (error) {
      if (!(error instanceof AcmeProblem) || error.type !== 'accountDoesNotExist') throw error;
      // The authority has lost it, or has been set up anew.
      return act(await this.#exclusively('account', () => accountFor(directory, options, signal, account.url)));
    }
  }

  /** Counts orders: authorities do (T170). */
  #mayOrder(signal: AbortSignal): Promise<boolean> {
    const { storage } = this.#options;
    signal.throwIfAborted();
    return this.#exclusively('orders', () => {
      const now = this.#clock.now();
      const orders = (storage.read('orders.json', parseTimes) ?? []).filter((at) => at > now - ORDERS_MS && at <= now);
      if (orders.length >= MOST_ORDERS) return Promise.resolve(false);
      storage.write('orders.json', JSON.stringify([...orders, now]));
      return Promise.resolve(true);
    });
  }

  async #exclusively<T>(name: string, act: () => Promise<T>): Promise<T> {
    for (;;) {
      // No name of a domain has an underscore at its beginning.
      const lock = this.#locks.take(`_${name}`);
      if (lock === undefined) {
        await this.#clock.sleep(200, this.#ending.signal);
        continue;
      }
      try {
        return await act();
      } finally {
        lock.release();
      }
    }
  }

  /** Takes over what other processes have renewed (T178). */
  #look(): void {
    if (this.#isLooking || this.#ending.signal.aborted) return;
    this.#isLooking = true;
    try {
      for (const domain of this.#options.domains) this.#lookAt(domain);
    } catch (error) {
      this.#tellOnce('', storageFault(error));
    } finally {
      this.#isLooking = false;
    }
  }

  #lookAt(domain: string): void {
    const kept = this.#read(domain);
    if (kept === undefined || kept.pem === this.#served.get(domain)) return;
    this.#served.set(domain, kept.pem);
    this.#options.onCertificate(domain, kept.pem);
  }

  readonly #records = new Map<string, Kept>();

  /** Of what is served: nothing is read from the disk. */
  #peek(domain: string): CertificateRecord | undefined {
    const pem = this.#served.get(domain);
    const known = this.#records.get(domain);
    return pem !== undefined && known?.pem === pem ? known.record : undefined;
  }

  #read(domain: string): Kept | undefined {
    const { storage } = this.#options;
    const kept = storage.read(certificateFile(domain), (pem) => {
      const known = this.#records.get(domain);
      return known?.pem === pem ? known : { pem, record: this.#check(domain, pem, true) };
    });
    if (kept !== undefined) this.#records.set(domain, kept);
    return kept;
  }

  /** T151: it is for the name and for now, and its key belongs to it. */
  #check(domain: string, pem: string, isOld = false): CertificateRecord {
    const record = this.#options.readCertificate(pem, pem);
    const isFor =
      isIP(domain) === 0 ? record.names.includes(domain) : record.names.some((name) => isSameAddress(name, domain));
    if (!isFor) throw new Error(`the certificate is for ${record.names.join(', ')}, not for ${domain}`);
    const now = this.#clock.now();
    if (!isOld && !(record.notBefore <= now + 3_600_000 && record.notAfter > now)) {
      throw new Error(
        `the certificate is valid from ${day(record.notBefore)} until ${day(record.notAfter)}, which is not now; is the clock right?`,
      );
    }
    return record;
  }

  #state(domain: string): DomainState {
    try {
      const state = this.#options.storage.read(stateFile(domain), parseState) ?? NOTHING_KNOWN;
      // It died when the certificate was there already.
      const isOver =
        state.failure?.type === 'interrupted' && state.failure.instead !== digestOf(this.#served.get(domain));
      return isOver ? NOTHING_KNOWN : state;
    } catch (error) {
      this.#tellOnce(domain, storageFault(error));
      return NOTHING_KNOWN;
    }
  }

  /** T179: certificates of names that nobody wants any more. */
  #clean(): void {
    const { storage, domains } = this.#options;
    const wanted = new Set(domains.map(fileName));
    try {
      for (const name of storage.list('certificates')) {
        const domain = name.replace(/\.pem$/, '');
        if (wanted.has(domain)) continue;
        const lock = this.#locks.take(domain);
        if (lock === undefined) continue;
        try {
          const record = storage.read(`certificates/${name}`, (pem) => this.#options.readCertificate(pem, pem));
          if (record === undefined || record.notAfter > this.#clock.now() - KEEP_EXPIRED_MS) continue;
          storage.remove(`certificates/${name}`);
          storage.remove(`names/${domain}.json`);
        } finally {
          lock.release();
        }
      }
    } catch (error) {
      this.#tellOnce('', storageFault(error));
    }
  }

  #tellOnce(domain: string, error: GwanmunError): void {
    if (this.#told.get(domain) === error.message) return;
    this.#told.set(domain, error.message);
    const what = domain === '' ? 'certificates are not renewed' : `the certificate for ${domain} is not renewed`;
    this.#options.tell({ level: 'error', message: what, error });
  }
}

function certificateFile(domain: string): string {
  return `certificates/${fileName(domain)}.pem`;
}

function stateFile(domain: string): string {
  return `names/${fileName(domain)}.json`;
}

function parseTimes(text: string): number[] {
  const times = JSON.parse(text) as unknown;
  if (!Array.isArray(times) || !times.every(Number.isFinite)) throw new Error('it is no list of times');
  return times as number[];
}

/** T153, T154. */
function profileFor(domain: string, wanted: string | undefined, { meta }: Directory): string | undefined {
  const offered = Object.keys(meta?.profiles ?? {});
  if (wanted === undefined) return isIP(domain) !== 0 && offered.includes('shortlived') ? 'shortlived' : undefined;
  if (offered.includes(wanted)) return wanted;
  const list = offered.length === 0 ? 'it offers none' : `it offers ${offered.join(', ')}`;
  throw new AcmeProblem(
    { type: 'invalidProfile', detail: `the authority has no profile "${wanted}" (tls.acme.profile); ${list}` },
    0,
  );
}

function isSameAddress(one: string, other: string): boolean {
  return (
    one === other ||
    (isIP(one) === 6 && isIP(other) === 6 && new URL(`http://[${one}]`).host === new URL(`http://[${other}]`).host)
  );
}

function storageFault(error: unknown): GwanmunError {
  if (error instanceof GwanmunError) return error;
  return new GwanmunError('GWM_ACME_STORAGE', `the storage of certificates: ${messageOf(error)}`, { cause: error });
}

function messageOf(error: unknown): string {
  // Where all addresses of a host have failed, the message is empty and each has its own.
  const { message, errors } = error as Partial<AggregateError>;
  const first = message || (errors?.[0] as Error | undefined)?.message || String(error);
  const cause = (error as Error).cause;
  return cause instanceof Error && cause.message !== '' && !first.includes(cause.message)
    ? `${first}: ${cause.message}`
    : first;
}

function lifeOf({ notAfter }: CertificateRecord, now: number): string {
  return notAfter < now ? `expired on ${day(notAfter)}` : `is valid until ${day(notAfter)}`;
}

function digestOf(pem: string | undefined): string {
  return pem === undefined ? '' : createHash('sha256').update(pem).digest('hex');
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
