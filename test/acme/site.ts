// A core with whoever gets its certificates, as the main process has them, and a clock that tests may set.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Acme, type AcmeNotice, type AcmeOptions } from '../../src/acme/acme.js';
import { systemClock, type Clock } from '../../src/acme/clock.js';
import { fetchWith } from '../../src/acme/fetch.js';
import { Storage } from '../../src/acme/storage.js';
import { loadNative } from '../../src/native.js';
import { TlsCore } from '../tls/core.js';

const { readCertificate } = loadNative();

/** Goes as fast as the tests like: whoever sleeps wakes up when time is let pass. */
export class FakeClock implements Clock {
  #ahead = 0;
  #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();

  now(): number {
    return Date.now() + this.#ahead;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    // Short pauses are those of the protocol: they really pass.
    if (ms < 10_000) return systemClock.sleep(ms, signal);
    await new Promise<void>((resolve, reject) => {
      const sleeper = { at: this.now() + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal.addEventListener('abort', () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason as Error);
      });
    });
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.#ahead += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.now()) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}

export interface SiteOptions extends Partial<Omit<AcmeOptions, 'storage' | 'clock'>> {
  readonly directory: string;
  readonly ca?: string;
  readonly clock?: Clock;
  /** Of another one: both have it. */
  readonly storage?: string;
  readonly core?: TlsCore;
}

export const LISTEN = [
  { kind: 'tcp' as const, host: '127.0.0.1', port: 0, tls: true },
  { kind: 'tcp' as const, host: '127.0.0.1', port: 0, redirect: 0 },
];

export const DOMAINS = ['a.example', 'b.example'];

export function makeCore(): TlsCore {
  return new TlsCore([], { domains: DOMAINS }, LISTEN);
}

export class Site implements AsyncDisposable {
  readonly folder: string;
  readonly notices: AcmeNotice[] = [];
  readonly certificates = new Map<string, string>();
  readonly acme: Acme;
  readonly storage: Storage;
  readonly #isOwner: boolean;
  #waiting: (() => void)[] = [];

  constructor({ directory, ca, storage, core, ...options }: SiteOptions) {
    this.#isOwner = storage === undefined;
    this.folder = storage ?? mkdtempSync(join(tmpdir(), 'gwanmun-acme-'));
    this.storage = Storage.open(this.folder, directory, (message) => this.#hear({ level: 'warn', message }));
    this.acme = new Acme({
      domains: ['a.example'],
      directory,
      email: undefined,
      profile: undefined,
      keyType: 'ecdsa',
      externalAccount: undefined,
      kinds: ['http-01', 'tls-alpn-01'],
      fetch: fetchWith(ca, {}),
      readCertificate,
      setChallenges: (challenges) => core?.core.setChallenges(challenges),
      onCertificate: (domain, pem) => {
        this.certificates.set(domain, pem);
        const all = [...this.certificates].map(([label, one]) => ({ label, cert: one, key: one, isDefault: false }));
        core?.core.setCertificates({ certificates: all });
        this.#wake();
      },
      tell: (notice) => this.#hear(notice),
      ...options,
      storage: this.storage,
    });
  }

  begin(): this {
    this.acme.begin();
    return this;
  }

  #hear(notice: AcmeNotice): void {
    this.notices.push(notice);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async says(pattern: RegExp, times = 1): Promise<AcmeNotice> {
    const found = (): AcmeNotice[] =>
      this.notices.filter(({ message, error }) => pattern.test(`${message}\n${error?.message}\n${error?.remedy}`));
    await this.until(() => found().length >= times);
    return found()[times - 1] as AcmeNotice;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.acme.end();
    if (this.#isOwner) rmSync(this.folder, { recursive: true });
  }
}
