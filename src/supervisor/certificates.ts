// The certificates of a server whose main process may be another user than the owner of their keys.

import { readFileSync } from 'node:fs';
import type { Acme, DomainStatus } from '../acme/acme.js';
import type { ChallengeKind } from '../acme/issue.js';
import { LocalFiles } from '../certificates/files.js';
import { CertificateReader } from '../certificates/reader.js';
import { CertificateStore, type Loaded } from '../certificates/store.js';
import type { CoreListener, CoreTls } from '../config/core.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { fromCore } from '../errors.js';
import { loadNative, type CertificateRecord, type NativeCore } from '../native.js';
import type { ServerEvent } from './event.js';
import { ownerAfter } from './privileges.js';

export interface ServerCertificatesOptions {
  /** Descriptor of a connection to the process that reads them as root, which the process before this one had started. */
  readonly reader: number | undefined;
  readonly apply: (tls: CoreTls) => void;
  readonly served: () => readonly CertificateRecord[];
  readonly setChallenges: NativeCore['setChallenges'];
  readonly tell: (event: ServerEvent) => void;
}

/** What was read for a configuration, and is not in use yet. */
export interface LoadedCertificates extends Loaded {
  readonly acme: { readonly own: Acme; readonly settings: string } | undefined;
}

/** The store of a server, who reads the files for it, and who gets certificates by itself. Made before the server gives up what it need not be any more. */
export class ServerCertificates {
  readonly store: CertificateStore;
  /** Undefined: this process reads them itself. */
  readonly reader: CertificateReader | undefined;
  readonly #options: ServerCertificatesOptions;
  #acme: LoadedCertificates['acme'];

  constructor({ privileges, tls }: ResolvedConfig, options: ServerCertificatesOptions) {
    const { reader: inherited, apply, served, tell } = options;
    this.#options = options;
    const native = loadNative();
    let reader: CertificateReader | undefined;
    const onLoss = (): void =>
      tell({
        level: 'error',
        event: 'certificate',
        message:
          'the process that reads certificates as root has ended; renewed ones are not used before the server is restarted',
      });
    const isLeavingRoot = process.getuid?.() === 0 && (privileges.user ?? privileges.group) !== undefined;
    this.store = new CertificateStore({
      native,
      files: (onChange) => {
        if (inherited !== undefined) reader = CertificateReader.inherited(inherited, onChange, onLoss);
        else if (isLeavingRoot && tls !== undefined) reader = CertificateReader.start(onChange, onLoss);
        return reader ?? new LocalFiles(native.silentPaths, onChange, isLeavingRoot ? RESTART : undefined);
      },
      makeLocal: async () => {
        // It is for development, and a start has no time for what it does not need.
        const { LocalAuthority } = await import('../certificates/authority.js');
        return (authority ??= new LocalAuthority()).certificate();
      },
      apply,
      served,
      tell: (notice) => tell({ ...notice, event: 'certificate' }),
    });
    this.reader = reader;
  }

  /** Reads what a configuration needs. Rejects with a GwanmunError; then nothing has changed. */
  async load(config: ResolvedConfig): Promise<LoadedCertificates> {
    const settings = JSON.stringify([config.tls?.acme, challengeKinds(config.listen)]);
    const acme =
      config.tls?.acme === undefined
        ? undefined
        : this.#acme?.settings === settings
          ? this.#acme
          : { own: await this.#makeAcme(config.tls.acme, config), settings };
    const acquirer = acme && { domains: config.tls?.acme?.domains ?? [], kept: (name: string) => acme.own.kept(name) };
    return { ...(await this.store.load(config.tls, acquirer)), acme };
  }

  /** What was loaded is in use. */
  adopt(loaded: LoadedCertificates): void {
    const before = this.#acme;
    this.store.adopt(loaded);
    this.#acme = loaded.acme;
    if (before?.own === loaded.acme?.own) {
      // Whoever reloads may have corrected what stood in the way.
      before?.own.hurry();
      return;
    }
    void before?.own.end();
    if (this.#hasBegun) loaded.acme?.own.begin();
  }

  #hasBegun = false;

  /** From now on certificates are got and renewed: what is written is the server's user's. */
  begin(): void {
    this.#hasBegun = true;
    this.#acme?.own.begin();
  }

  /** Of the names whose certificates are got by themselves. */
  domains(): readonly DomainStatus[] {
    return this.#acme?.own.status() ?? [];
  }

  /** Another process may go on with what this one was at, once this has resolved. */
  async end(): Promise<void> {
    this.store.end();
    await this.#acme?.own.end();
  }

  async #makeAcme(
    settings: NonNullable<NonNullable<ResolvedConfig['tls']>['acme']>,
    config: ResolvedConfig,
  ): Promise<Acme> {
    const { setChallenges, tell } = this.#options;
    const [{ Acme: Own }, { Storage }, { fetchWith }] = await Promise.all([
      import('../acme/acme.js'),
      import('../acme/storage.js'),
      import('../acme/fetch.js'),
    ]);
    const warn = (message: string): void => tell({ level: 'warn', event: 'certificate', message });
    const storage = Storage.open(settings.storage, settings.directory, warn, ownerAfter(config.privileges));
    const { readCertificate } = loadNative();
    return new Own({
      ...settings,
      storage,
      kinds: challengeKinds(config.listen),
      fetch: fetchWith(settings.ca === undefined ? undefined : readFileSync(settings.ca, 'utf8')),
      readCertificate,
      setChallenges,
      onCertificate: (domain, pem) => {
        try {
          this.store.acquired(domain, pem);
        } catch (error) {
          tell({
            level: 'error',
            event: 'certificate',
            message: `the certificate for ${domain} cannot be used`,
            error: fromCore(error),
          });
        }
      },
      tell: (notice) => tell({ ...notice, event: 'certificate' }),
    });
  }
}

/** For a reload. */
const RESTART =
  '. The server was root until its start and had no certificates then: restart it, and it reads them as root';

let authority: { certificate(): { cert: string; key: string } } | undefined;

/** How names can be proved by what listens, the best way first (T145). An authority asks on port 80 or 443, which may lead to others here. */
export function challengeKinds(listeners: readonly CoreListener[]): ChallengeKind[] {
  const plain = listeners.filter((listener) => listener.tls !== true);
  const secure = listeners.filter((listener) => listener.tls === true && listener.kind === 'tcp');
  const has = (some: readonly CoreListener[], port: number): boolean =>
    some.some((listener) => listener.kind === 'tcp' && listener.port === port);
  const byHttp: ChallengeKind[] = plain.length === 0 ? [] : ['http-01'];
  const byTls: ChallengeKind[] = secure.length === 0 ? [] : ['tls-alpn-01'];
  return !has(plain, 80) && has(secure, 443) ? [...byTls, ...byHttp] : [...byHttp, ...byTls];
}
