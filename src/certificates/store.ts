// The certificates that a server has in use, and whose clients it lets in: read, judged before they are used, swapped when their files change. What
// cannot be used never takes the place of what can.

import type { CoreTls } from '../config/core.js';
import type { ResolvedTls } from '../config/tls.js';
import { fromCore, GwanmunError } from '../errors.js';
import type { CertificateRecord, NativeBinding } from '../native.js';
import type { CertificateFiles, FileFault, FileText } from './files.js';
import { KeptCertificate, type CertificateStatus, type MadeCertificate } from './kept-certificate.js';
import { clientPaths, KeptClients, type ClientCertificatesStatus } from './kept-clients.js';
import { fileOf, type Change, type Fault, type Kept, type Readings, type Remark } from './kept.js';

/** What was read for a whole configuration, and is not in use yet. */
export interface Loaded {
  readonly certificates: readonly KeptCertificate[];
  /** Undefined: clients are not asked for certificates. */
  readonly clients: KeptClients | undefined;
  readonly states: ReadonlyMap<string, string>;
}

/** Its files hold something that cannot be used. */
interface Failure {
  readonly fault: Fault;
  readonly attempts: number;
  readonly timer: NodeJS.Timeout;
}

/** Whoever gets certificates by itself. */
export interface Acquirer {
  readonly domains: readonly string[];
  /** PEM, with its key: the one that there is from before. */
  kept(domain: string): string | undefined;
}

export interface StoreOptions {
  readonly native: Pick<NativeBinding, 'readCertificate' | 'readAuthorities'>;
  readonly files: (onChange: (paths: readonly string[]) => void) => CertificateFiles;
  /** Makes the certificate of the local authority, or gives the one of last time. */
  readonly makeLocal: () => Promise<MadeCertificate>;
  /** Has new handshakes get these. Throws if the core refuses them. */
  readonly apply: (tls: CoreTls) => void;
  /** What the core says of those in use, in their order: it has compared them with each other. */
  readonly served: () => readonly CertificateRecord[];
  readonly tell: (notice: CertificateNotice) => void;
}

/** Something to write to the log. */
export interface CertificateNotice extends Remark {
  readonly error?: GwanmunError;
}

/** Between two looks at the dates. */
const DATES_MS = 60_000;
const MOST_PAUSE_S = 60;

const NOTHING: Loaded = { certificates: [], clients: undefined, states: new Map() };

export class CertificateStore {
  readonly #options: StoreOptions;
  readonly #files: CertificateFiles;
  #used: Loaded = NOTHING;
  readonly #failures = new Map<Kept, Failure>();
  #dates: NodeJS.Timeout | undefined;
  /** One change at a time. */
  #working: Promise<void> = Promise.resolve();
  /** Paths of files that have changed and are not read yet. */
  readonly #changed = new Set<string>();
  /** What has expired, and was told. */
  readonly #expired = new Set<string>();
  #hasEnded = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#files = options.files((paths) => this.#onChange(paths));
  }

  /**
   * Reads all that a configuration names, and certificates that were got by themselves. Rejects with a GwanmunError that names all that cannot be used;
   * then nothing has changed.
   */
  async load(tls: ResolvedTls | undefined, acquirer?: Acquirer): Promise<Loaded> {
    if (tls === undefined) return NOTHING;
    const { native } = this.#options;
    const sources = tls.certificates === 'local' ? [] : tls.certificates;
    const paths = [
      ...sources.flatMap(({ cert, key }) => [...fileOf(cert), ...fileOf(key)]),
      ...clientPaths(tls.clients),
    ];
    const readings = await this.#read(paths);
    const faults: GwanmunError[] = [];
    const attempt = <T>(read: () => T): T[] => {
      try {
        return [read()];
      } catch (error) {
        faults.push(fromCore(error));
        return [];
      }
    };
    const certificates = sources.flatMap((source) =>
      attempt(() => {
        const kept = KeptCertificate.read(native, source, readings);
        const known = this.#used.certificates.find((other) => other.isFromSame(kept));
        if (known !== undefined) kept.refuseExpiredInstead(known);
        return kept;
      }),
    );
    const { clients: source } = tls;
    const clients = attempt(() => {
      if (source === undefined) return undefined;
      const kept = new KeptClients(native, source, readings);
      const { clients: known } = this.#used;
      if (known?.isFromSame(kept) === true) kept.refuseExpiredInstead(known);
      return kept;
    });
    if (faults.length > 0) throw together(faults);
    const local = tls.certificates === 'local' ? [KeptCertificate.local(native, await this.#options.makeLocal())] : [];
    const acquired = (acquirer?.domains ?? []).flatMap((domain) => {
      const pem = acquirer?.kept(domain);
      return pem === undefined ? [] : [KeptCertificate.acquired(native, domain, pem)];
    });
    const states = new Map([...readings].map(([path, { state }]) => [path, state]));
    return { certificates: [...certificates, ...local, ...acquired], clients: clients[0], states };
  }

  /** A certificate was got: it is used from now on. */
  acquired(domain: string, pem: string): void {
    if (this.#hasEnded) return;
    const kept = KeptCertificate.acquired(this.#options.native, domain, pem);
    const known = this.#used.certificates.find((other) => other.isFromSame(kept));
    if (known !== undefined) return this.#use([known.changeToMade({ cert: pem, key: pem })]);
    const before = this.#used;
    this.#used = { ...before, certificates: [...before.certificates, kept] };
    try {
      this.#options.apply(toCoreTls(this.#used));
    } catch (error) {
      this.#used = before;
      throw error;
    }
    this.#compare();
    this.#remark(kept);
    this.#lookAtDatesFromNowOn();
  }

  /** What was loaded is in use. */
  adopt(loaded: Loaded): void {
    if (this.#hasEnded) return;
    const before = this.#used;
    this.#forgetFailures();
    this.#used = loaded;
    this.#compare();
    for (const kept of loaded.certificates) {
      const known = before.certificates.find((other) => other.isFromSame(kept));
      if (known?.isSameAs(kept) !== true) this.#remark(kept);
    }
    const { clients } = loaded;
    if (clients !== undefined && before.clients?.isSameAs(clients) !== true) this.#remark(clients);
    this.#files.watch(loaded.states);
    clearInterval(this.#dates);
    this.#dates = undefined;
    if (loaded.certificates.length > 0) this.#lookAtDatesFromNowOn();
  }

  /** The core says of each what it is beside the others. */
  #compare(): void {
    for (const [index, kept] of this.#used.certificates.entries()) {
      kept.besides = () => this.#options.served()[index]?.warnings ?? [];
    }
  }

  #lookAtDatesFromNowOn(): void {
    this.#dates ??= setInterval(() => this.#lookAtDates(), DATES_MS).unref();
  }

  /** For operators. */
  status(): CertificateStatus[] {
    return this.#used.certificates.map((kept) => kept.status(this.#failures.get(kept)?.fault));
  }

  /** What clients are asked for, for operators. */
  clientsStatus(): ClientCertificatesStatus | undefined {
    const { clients } = this.#used;
    return clients?.status(this.#failures.get(clients)?.fault);
  }

  /** What is in use of what clients are asked for. */
  get clients(): KeptClients | undefined {
    return this.#used.clients;
  }

  end(): void {
    this.#hasEnded = true;
    this.#files.end();
    clearInterval(this.#dates);
    this.#forgetFailures();
    this.#used = NOTHING;
  }

  #forgetFailures(): void {
    for (const { timer } of this.#failures.values()) clearTimeout(timer);
    this.#failures.clear();
  }

  #onChange(paths: readonly string[]): void {
    for (const path of paths) this.#changed.add(path);
    this.#working = this.#working.then(() => this.#refresh());
  }

  /** Reads anew what the files hold that have changed, and has it used. */
  async #refresh(): Promise<void> {
    const used = this.#used;
    const all: Kept[] = [...used.certificates, ...(used.clients === undefined ? [] : [used.clients])];
    const concerned = all.filter(({ paths }) => paths.some((path) => this.#changed.has(path)));
    this.#changed.clear();
    if (concerned.length === 0) return;
    const readings = await this.#read(concerned.flatMap(({ paths }) => paths));
    // A reload has read them too, meanwhile.
    if (used !== this.#used) return;
    const changes: Change[] = [];
    for (const kept of concerned) {
      try {
        changes.push(kept.change(readings));
      } catch (error) {
        this.#fail(kept, fromCore(error));
      }
    }
    this.#use(changes);
  }

  #use(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    for (const change of changes) change.use();
    try {
      this.#options.apply(toCoreTls(this.#used));
    } catch (error) {
      for (const change of changes) {
        change.undo();
        this.#fail(change.kept, fromCore(error));
      }
      return;
    }
    for (const { kept, isAsBefore } of changes) {
      const failure = this.#failures.get(kept);
      clearTimeout(failure?.timer);
      this.#failures.delete(kept);
      if (isAsBefore && failure === undefined) continue;
      const what = isAsBefore ? 'can be read again; it is the one that is in use' : 'has changed and is in use';
      this.#options.tell({ level: 'info', message: `${kept.title} ${what}: ${kept.describe()}` });
      this.#remark(kept);
    }
  }

  #fail(kept: Kept, error: GwanmunError): void {
    const before = this.#failures.get(kept);
    clearTimeout(before?.timer);
    const attempts = (before?.attempts ?? 0) + 1;
    const pauseMs = Math.min(2 ** (attempts - 1), MOST_PAUSE_S) * 1000;
    const now = Date.now();
    const isKnown = before?.fault.error.message === error.message;
    const timer = setTimeout(() => this.#onChange(kept.paths), pauseMs).unref();
    const fault = {
      error: error.toJSON(),
      since: isKnown ? before.fault.since : now,
      nextAttempt: now + pauseMs,
    };
    this.#failures.set(kept, { fault, attempts, timer });
    if (isKnown) return;
    this.#options.tell({ level: 'error', message: kept.staying(), error });
  }

  async #renewLocal(kept: KeptCertificate): Promise<void> {
    try {
      const change = kept.changeToMade(await this.#options.makeLocal());
      if (!change.isAsBefore && this.#used.certificates.includes(kept)) this.#use([change]);
    } catch (error) {
      this.#fail(kept, fromCore(error));
    }
  }

  #lookAtDates(): void {
    const { certificates, clients } = this.#used;
    for (const kept of certificates) if (kept.source === 'local') void this.#renewLocal(kept);
    for (const kept of [...certificates, ...(clients === undefined ? [] : [clients])]) {
      for (const { key, message } of kept.expired()) {
        if (this.#expired.has(key)) continue;
        this.#expired.add(key);
        this.#options.tell({ level: 'error', message });
      }
    }
  }

  /** Says what should be known of what is used from now on. */
  #remark(kept: Kept): void {
    for (const { key } of kept.expired()) this.#expired.add(key);
    for (const remark of kept.remarks()) this.#options.tell(remark);
  }

  async #read(given: readonly string[]): Promise<Readings> {
    const paths = [...new Set(given)];
    const readings = paths.length === 0 ? [] : await this.#files.read(paths);
    return new Map(paths.map((path, index) => [path, readings[index] as FileText | FileFault]));
  }
}

/** The core's form of what was loaded. */
export function toCoreTls({ certificates, clients }: Omit<Loaded, 'states'>): CoreTls {
  return {
    certificates: certificates.map(({ label, isDefault, pair: { cert, key } }) => ({ label, cert, key, isDefault })),
    ...(clients === undefined ? {} : { clients: clients.core() }),
  };
}

function together(faults: readonly GwanmunError[]): GwanmunError {
  const [first] = faults as [GwanmunError];
  if (faults.length === 1) return first;
  const problems = faults.map(({ message, where }) => ({ message, where }));
  return new GwanmunError(first.code, `${faults.length} certificates cannot be used`, { problems });
}
