// The certificates that a server has in use: read, judged before they are used, swapped when their files change. A bad one never takes a
// good one's place.

import type { CoreTls } from '../config/core.js';
import type { CertificateSource, ResolvedTls } from '../config/tls.js';
import { displayPath } from '../config/display-path.js';
import { fromCore, GwanmunError, type ErrorCode, type SerializedError, type Where } from '../errors.js';
import type { CertificateRecord, NativeBinding } from '../native.js';
import { rootFile } from './authority-folder.js';
import type { CertificateFiles, FileFault, FileText } from './files.js';

/** A certificate, for operators. Times are milliseconds since 1970. */
export interface CertificateStatus {
  readonly names: readonly string[];
  readonly issuer: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly keyType: string;
  readonly isDefault: boolean;
  /** Where it is from: the path of its file, `tls.cert` for a text of the configuration, or `local authority`. */
  readonly source: string;
  readonly keySource: string;
  /** The name that it was got for by itself. */
  readonly domain?: string;
  /** When it was last read. */
  readonly readAt: number;
  readonly warnings: readonly string[];
  /** Why what its files hold by now is not used. */
  readonly fault?: Fault;
}

interface Fault {
  readonly error: SerializedError;
  readonly since: number;
  /** When the files are read again even if they do not change. */
  readonly nextAttempt: number;
}

/** A certificate and its key as they are in use. */
interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly record: CertificateRecord;
  readonly readAt: number;
  readonly keyIsOpen: boolean;
}

/** What was read for a whole configuration, and is not in use yet. */
export interface Loaded {
  readonly entries: readonly Entry[];
  readonly states: ReadonlyMap<string, string>;
}

interface Entry {
  readonly source: Source;
  pair: Pair;
  failure?: { fault: Fault; attempts: number; timer: NodeJS.Timeout };
}

/** A certificate made on this machine, which is made anew in time. */
export interface MadeCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that was got for a name by itself. */
interface Acquired {
  readonly acme: string;
}

type Source = CertificateSource | Acquired | 'local';

/** Whoever gets certificates by itself. */
export interface Acquirer {
  readonly domains: readonly string[];
  /** PEM, with its key: the one that there is from before. */
  kept(domain: string): string | undefined;
}

export interface StoreOptions {
  readonly native: Pick<NativeBinding, 'readCertificate'>;
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
export interface CertificateNotice {
  readonly level: 'error' | 'warn' | 'info';
  readonly message: string;
  readonly error?: GwanmunError;
}

/** Between two looks at the dates. */
const DATES_MS = 60_000;
const MOST_PAUSE_S = 60;

export class CertificateStore {
  readonly #options: StoreOptions;
  readonly #files: CertificateFiles;
  #entries: readonly Entry[] = [];
  #dates: NodeJS.Timeout | undefined;
  /** One change at a time. */
  #working: Promise<void> = Promise.resolve();
  /** Paths of files that have changed and are not read yet. */
  readonly #changed = new Set<string>();
  readonly #expired = new WeakSet<Pair>();
  #hasEnded = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#files = options.files((paths) => this.#onChange(paths));
  }

  /**
   * Reads all certificates of a configuration, and those that were got by themselves. Rejects with a GwanmunError that names all that cannot be used;
   * then nothing has changed.
   */
  async load(tls: ResolvedTls | undefined, acquirer?: Acquirer): Promise<Loaded> {
    if (tls === undefined) return { entries: [], states: new Map() };
    if (tls.certificates === 'local') {
      return { entries: [{ source: 'local', pair: await this.#local() }], states: new Map() };
    }
    const readings = await this.#read(tls.certificates);
    const states = new Map<string, string>();
    const faults: GwanmunError[] = [];
    const entries = tls.certificates.flatMap((source): Entry[] => {
      for (const path of pathsOf(source)) states.set(path, readings.get(path)?.state ?? '');
      try {
        const pair = this.#pairOf(source, readings);
        const known = this.#entries.find((entry) => isSame(entry.source, source));
        if (known !== undefined && isExpired(pair) && !isExpired(known.pair)) throw expiredInstead(source, pair);
        return [{ source, pair }];
      } catch (error) {
        faults.push(fromCore(error));
        return [];
      }
    });
    if (faults.length > 0) throw together(faults);
    const acquired = (acquirer?.domains ?? []).flatMap((domain): Entry[] => {
      const pem = acquirer?.kept(domain);
      if (pem === undefined) return [];
      const source = { acme: domain };
      return [{ source, pair: this.#judge(source, pem, pem, false) }];
    });
    return { entries: [...entries, ...acquired], states };
  }

  /** A certificate was got: it is used from now on. */
  acquired(domain: string, pem: string): void {
    if (this.#hasEnded) return;
    const source: Acquired = { acme: domain };
    const pair = this.#judge(source, pem, pem, false);
    const known = this.#entries.find((entry) => isSame(entry.source, source));
    if (known !== undefined) return this.#use([{ entry: known, pair }]);
    const before = this.#entries;
    const entry: Entry = { source, pair };
    this.#entries = [...before, entry];
    try {
      this.#options.apply(toCoreTls(this));
    } catch (error) {
      this.#entries = before;
      throw error;
    }
    this.#remark(source, pair, this.#warningsOf(this.#entries.indexOf(entry), pair));
    this.#lookAtDatesFromNowOn();
  }

  /** What is in use. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** What was loaded is in use. */
  adopt({ entries, states }: Loaded): void {
    if (this.#hasEnded) return;
    const before = this.#entries;
    for (const { failure } of before) clearTimeout(failure?.timer);
    this.#entries = entries;
    for (const [index, { source, pair }] of entries.entries()) {
      const known = before.find((entry) => isSame(entry.source, source));
      if (known?.pair.cert === pair.cert && known.pair.keyIsOpen === pair.keyIsOpen) continue;
      this.#remark(source, pair, this.#warningsOf(index, pair));
    }
    this.#files.watch(states);
    clearInterval(this.#dates);
    this.#dates = undefined;
    if (entries.length > 0) this.#lookAtDatesFromNowOn();
  }

  #lookAtDatesFromNowOn(): void {
    this.#dates ??= setInterval(() => this.#lookAtDates(), DATES_MS).unref();
  }

  /** For operators. */
  status(): CertificateStatus[] {
    return this.#entries.map(({ source, pair, failure }, index) => {
      const { names, issuer, notBefore, notAfter, keyType } = pair.record;
      const warnings = this.#warningsOf(index, pair);
      const [cert, key] = namesOf(source);
      const dates = dateWarning(source, pair);
      const open = pair.keyIsOpen ? [openKey(key)] : [];
      return {
        names,
        issuer,
        notBefore,
        notAfter,
        keyType,
        isDefault: isConfigured(source) && source.isDefault,
        source: cert,
        keySource: key,
        ...(source !== 'local' && 'acme' in source ? { domain: source.acme } : {}),
        readAt: pair.readAt,
        warnings: [...(dates === undefined ? [] : [dates]), ...open, ...warnings],
        ...(failure === undefined ? {} : { fault: failure.fault }),
      };
    });
  }

  end(): void {
    this.#hasEnded = true;
    this.#files.end();
    clearInterval(this.#dates);
    for (const { failure } of this.#entries) clearTimeout(failure?.timer);
    this.#entries = [];
  }

  #onChange(paths: readonly string[]): void {
    for (const path of paths) this.#changed.add(path);
    this.#working = this.#working.then(() => this.#refresh());
  }

  /** Reads the certificates anew whose files have changed, and has them used. */
  async #refresh(): Promise<void> {
    const entries = this.#entries;
    const concerned = entries.filter(({ source }) => pathsOf(source).some((path) => this.#changed.has(path)));
    this.#changed.clear();
    if (concerned.length === 0) return;
    const readings = await this.#read(concerned.flatMap(({ source }) => (isConfigured(source) ? [source] : [])));
    // A reload has read them too, meanwhile.
    if (entries !== this.#entries) return;
    const renewed: { entry: Entry; pair: Pair }[] = [];
    for (const entry of concerned) {
      if (!isConfigured(entry.source)) continue;
      try {
        const pair = this.#pairOf(entry.source, readings);
        const fault = whyNotInstead(entry, pair);
        if (fault !== undefined) throw fault;
        renewed.push({ entry, pair });
      } catch (error) {
        this.#fail(entry, fromCore(error));
      }
    }
    this.#use(renewed);
  }

  #use(renewed: readonly { readonly entry: Entry; readonly pair: Pair }[]): void {
    if (renewed.length === 0) return;
    const old = renewed.map(({ entry }) => entry.pair);
    for (const { entry, pair } of renewed) entry.pair = pair;
    try {
      this.#options.apply(toCoreTls(this));
    } catch (error) {
      for (const [index, { entry }] of renewed.entries()) {
        entry.pair = old[index] as Pair;
        this.#fail(entry, fromCore(error));
      }
      return;
    }
    for (const [index, { entry, pair }] of renewed.entries()) {
      clearTimeout(entry.failure?.timer);
      const hadFailed = entry.failure !== undefined;
      delete entry.failure;
      const isAsBefore = old[index]?.cert === pair.cert && old[index]?.key === pair.key;
      if (isAsBefore && !hadFailed) continue;
      const [name] = namesOf(entry.source);
      const what = isAsBefore ? 'can be read again; it is the one that is in use' : 'has changed and is in use';
      this.#options.tell({ level: 'info', message: `the certificate ${name} ${what}: ${describe(pair)}` });
      this.#remark(entry.source, pair, this.#warningsOf(this.#entries.indexOf(entry), pair));
    }
  }

  #fail(entry: Entry, error: GwanmunError): void {
    const before = entry.failure;
    clearTimeout(before?.timer);
    const attempts = (before?.attempts ?? 0) + 1;
    const pauseMs = Math.min(2 ** (attempts - 1), MOST_PAUSE_S) * 1000;
    const now = Date.now();
    const isKnown = before?.fault.error.message === error.message;
    const timer = setTimeout(() => this.#onChange(pathsOf(entry.source)), pauseMs).unref();
    const fault = {
      error: error.toJSON(),
      since: isKnown ? before.fault.since : now,
      nextAttempt: now + pauseMs,
    };
    entry.failure = { fault, attempts, timer };
    if (isKnown) return;
    const message = `a certificate has changed and cannot be used; the one before stays in use, ${until(entry.pair)}`;
    this.#options.tell({ level: 'error', message, error });
  }

  async #local(): Promise<Pair> {
    const { cert, key } = await this.#options.makeLocal();
    const pair = this.#judge('local', cert, key, false);
    // That its root is known to nobody yet is said otherwise.
    return { ...pair, record: { ...pair.record, warnings: [] } };
  }

  async #renewLocal(entry: Entry): Promise<void> {
    try {
      const pair = await this.#local();
      if (pair.cert !== entry.pair.cert && this.#entries.includes(entry)) this.#use([{ entry, pair }]);
    } catch (error) {
      this.#fail(entry, fromCore(error));
    }
  }

  #lookAtDates(): void {
    for (const entry of this.#entries) {
      const { source, pair } = entry;
      if (source === 'local') void this.#renewLocal(entry);
      else if (isExpired(pair) && !this.#expired.has(pair)) {
        this.#expired.add(pair);
        const [name] = namesOf(source);
        const message = `the certificate ${name} has expired; clients refuse it. ${isConfigured(source) ? RENEW : STATE}`;
        this.#options.tell({ level: 'error', message });
      }
    }
  }

  /** What should be known of a certificate that is used from now on. */
  #remark(source: Source, pair: Pair, warnings: readonly string[]): void {
    if (source === 'local') {
      const root = displayPath(rootFile());
      const message = `the certificate is for this machine, by a local authority; have clients trust it: gwanmun trust, or curl --cacert ${root}, NODE_EXTRA_CA_CERTS=${root}`;
      this.#options.tell({ level: 'info', message });
    }
    const [name, key] = namesOf(source);
    const dates = dateWarning(source, pair);
    if (isExpired(pair)) this.#expired.add(pair);
    if (dates !== undefined) {
      this.#options.tell({ level: isUsable(pair) ? 'warn' : 'error', message: `the certificate ${name}: ${dates}` });
    }
    for (const warning of warnings) {
      this.#options.tell({ level: 'warn', message: `the certificate ${name}: ${warning}` });
    }
    if (pair.keyIsOpen) this.#options.tell({ level: 'warn', message: openKey(key) });
  }

  /** What is said of a certificate alone, and beside the others. */
  #warningsOf(index: number, { record }: Pair): string[] {
    const isLocal = this.#entries[index]?.source === 'local';
    return isLocal ? [] : [...new Set([...record.warnings, ...(this.#options.served()[index]?.warnings ?? [])])];
  }

  async #read(sources: readonly CertificateSource[]): Promise<Map<string, FileText | FileFault>> {
    const paths = [...new Set(sources.flatMap(pathsOf))];
    const readings = paths.length === 0 ? [] : await this.#files.read(paths);
    return new Map(paths.map((path, index) => [path, readings[index] as FileText | FileFault]));
  }

  #pairOf(source: CertificateSource, readings: ReadonlyMap<string, FileText | FileFault>): Pair {
    const cert = contentOf(source, 'cert', readings);
    const key = contentOf(source, 'key', readings);
    return this.#judge(source, cert.text, key.text, key.isOpen);
  }

  /** A pair that can be served, or the GwanmunError that says why not. */
  #judge(source: Source, cert: string, key: string, keyIsOpen: boolean): Pair {
    try {
      return { cert, key, record: this.#options.native.readCertificate(cert, key), readAt: Date.now(), keyIsOpen };
    } catch (error) {
      const fault = fromCore(error);
      const part = fault.code === 'GWM_CERT_KEY' ? 'key' : 'cert';
      const [certName, keyName] = namesOf(source);
      // A key that does not fit is a matter of both files.
      const names = part === 'cert' ? certName : certName === keyName ? keyName : `${keyName} (for ${certName})`;
      const where = isConfigured(source) ? source.where[part] : undefined;
      throw fault.with({ message: `${names}: ${fault.message}`, where });
    }
  }
}

/** The core's form of what was loaded. */
export function toCoreTls({ entries }: Pick<Loaded, 'entries'>): CoreTls {
  return {
    certificates: entries.map(({ source, pair: { cert, key } }) => ({
      label: labelOf(source),
      cert,
      key,
      isDefault: isConfigured(source) && source.isDefault,
    })),
  };
}

function isConfigured(source: Source): source is CertificateSource {
  return source !== 'local' && 'cert' in source;
}

function pathsOf(source: Source): string[] {
  if (!isConfigured(source)) return [];
  return [source.cert, source.key].flatMap((one) => ('file' in one ? [one.file] : []));
}

/** Whether both are from the same place. */
function isSame(one: Source, other: Source): boolean {
  const placeOf = (source: Source): string => {
    if (source === 'local') return source;
    if ('acme' in source) return `acme ${source.acme}`;
    return [source.cert, source.key].map((own) => ('file' in own ? own.file : '')).join('\n');
  };
  return placeOf(one) === placeOf(other);
}

/** What an operator knows the certificate and its key by. */
function namesOf(source: Source): [cert: string, key: string] {
  if (source === 'local') return ['local authority', 'local authority'];
  if ('acme' in source) return [`for ${source.acme} (ACME)`, `for ${source.acme} (ACME)`];
  const name = (part: 'cert' | 'key'): string => {
    const one = source[part];
    return 'file' in one ? displayPath(one.file) : (source.where[part].key ?? part);
  };
  return [name('cert'), name('key')];
}

function labelOf(source: Source): string {
  return namesOf(source)[0];
}

function contentOf(
  source: CertificateSource,
  part: 'cert' | 'key',
  readings: ReadonlyMap<string, FileText | FileFault>,
): { text: string; isOpen: boolean } {
  const one = source[part];
  if ('text' in one) return { text: one.text, isOpen: false };
  const reading = readings.get(one.file);
  if (reading !== undefined && 'text' in reading) return { text: reading.text, isOpen: reading.isOpenToAll };
  const code: ErrorCode = part === 'cert' ? 'GWM_CERT_INVALID' : 'GWM_CERT_KEY';
  const what = part === 'cert' ? 'certificate' : 'private key';
  throw new GwanmunError(code, `the ${what} ${displayPath(one.file)} ${reading?.fault ?? 'was not read'}`, {
    where: source.where[part],
    remedy: `check the path, and that the server may read the file: sudo ls -lL ${one.file}`,
  });
}

/** Why a changed file does not take the place of what is in use. */
function whyNotInstead({ source, pair: old }: Entry, pair: Pair): GwanmunError | undefined {
  if (!isConfigured(source)) return undefined;
  if (isExpired(pair) && !isExpired(old)) return expiredInstead(source, pair);
  const lost = old.record.names.filter((name) => !covers(pair.record.names, name));
  if (lost.length === 0) return undefined;
  const [name] = namesOf(source);
  return new GwanmunError('GWM_CERT_INVALID', `${name} is not for ${lost.join(', ')} any more`, {
    where: source.where.cert,
    remedy: 'have it issued for all its names, or say that this is meant: gwanmun reload',
  });
}

function together(faults: readonly GwanmunError[]): GwanmunError {
  const [first] = faults as [GwanmunError];
  if (faults.length === 1) return first;
  const problems = faults.map(({ message, where }) => ({ message, where }));
  return new GwanmunError(first.code, `${faults.length} certificates cannot be used`, { problems });
}

function covers(names: readonly string[], name: string): boolean {
  const wildcard = name.replace(/^[^.]+/, '*');
  return names.includes(name) || names.includes(wildcard);
}

function expiredInstead(source: Source, pair: Pair): GwanmunError {
  const where: Where | undefined = isConfigured(source) ? source.where.cert : undefined;
  const [name] = namesOf(source);
  const message = `${name} expired on ${day(pair.record.notAfter)}, and the one in use has not`;
  return new GwanmunError('GWM_CERT_INVALID', message, { where, remedy: 'restore the newer certificate, or renew it' });
}

const RENEW = 'Renew it; the new files are taken over by themselves.';
const STATE = 'Why it is not renewed: gwanmun certificates';

function isExpired({ record }: Pair): boolean {
  return record.notAfter < Date.now();
}

function isUsable({ record }: Pair): boolean {
  return record.notBefore <= Date.now() && Date.now() <= record.notAfter;
}

const DAY_MS = 86_400_000;
/** From then on the date is said; of a short lifetime, when a third is left. */
const SOON_MS = 14 * DAY_MS;

function dateWarning(source: Source, { record: { notBefore, notAfter } }: Pair): string | undefined {
  const now = Date.now();
  if (now < notBefore)
    return `it is not valid before ${day(notBefore)}; clients refuse it until then. Is the clock right?`;
  if (now > notAfter)
    return `it expired on ${day(notAfter)}; clients refuse it. ${isConfigured(source) ? RENEW : STATE}`;
  // Those that are renewed by themselves are so when a third is left.
  const soon = isConfigured(source) ? Math.min(SOON_MS, (notAfter - notBefore) / 3) : (notAfter - notBefore) / 6;
  const days = Math.floor((notAfter - now) / DAY_MS);
  return notAfter - now < soon
    ? `it expires in ${days === 1 ? '1 day' : `${days} days`}, on ${day(notAfter)}`
    : undefined;
}

function openKey(path: string): string {
  return `every user of this machine may read the private key ${path}; chmod 600 ${path}`;
}

function until({ record }: Pair): string {
  return record.notAfter < Date.now()
    ? `which expired on ${day(record.notAfter)}`
    : `valid until ${day(record.notAfter)}`;
}

function describe({ record: { names, issuer, notAfter } }: Pair): string {
  const shown = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
  return `for ${shown}, from ${issuer}, until ${day(notAfter)}`;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
