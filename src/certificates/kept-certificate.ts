// A certificate with its key: judged before it is used, and what an operator is told of it.

import { displayPath } from '../config/display-path.js';
import type { CertificateSource } from '../config/tls.js';
import { fromCore, GwanmunError, type Where } from '../errors.js';
import type { CertificateRecord, NativeBinding } from '../native.js';
import { rootFile } from './authority-folder.js';
import {
  contentOf,
  day,
  daysLeft,
  fileOf,
  inDays,
  nameOf,
  type Change,
  type Expired,
  type Fault,
  type Kept,
  type Place,
  type Readings,
  type Remark,
} from './kept.js';

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

/** A certificate made on this machine, which is made anew in time. */
export interface MadeCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate and its key as they are in use. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly record: CertificateRecord;
  readonly readAt: number;
  readonly keyIsOpen: boolean;
}

/** A certificate that was got for a name by itself. */
interface Acquired {
  readonly acme: string;
}

export type Source = CertificateSource | Acquired | 'local';

function isConfigured(source: Source): source is CertificateSource {
  return source !== 'local' && 'cert' in source;
}

type Reader = Pick<NativeBinding, 'readCertificate'>;

export class KeptCertificate implements Kept {
  readonly source: Source;
  readonly paths: readonly string[];
  pair: Pair;
  /** What the core says of it beside the others. */
  besides: () => readonly string[] = () => [];
  readonly #native: Reader;

  private constructor(native: Reader, source: Source, pair: Pair) {
    this.#native = native;
    this.source = source;
    this.paths = isConfigured(source) ? [...fileOf(source.cert), ...fileOf(source.key)] : [];
    this.pair = pair;
  }

  /** Throws a GwanmunError that says why it cannot be used. */
  static read(native: Reader, source: CertificateSource, readings: Readings): KeptCertificate {
    return new KeptCertificate(native, source, pairOf(native, source, readings));
  }

  static local(native: Reader, made: MadeCertificate): KeptCertificate {
    return new KeptCertificate(native, 'local', localPair(native, made));
  }

  static acquired(native: Reader, domain: string, pem: string): KeptCertificate {
    const source = { acme: domain };
    return new KeptCertificate(native, source, judge(native, source, pem, pem, false));
  }

  /** What an operator knows it by. */
  get label(): string {
    return namesOf(this.source)[0];
  }

  get isDefault(): boolean {
    return isConfigured(this.source) && this.source.isDefault;
  }

  get title(): string {
    return `the certificate ${this.label}`;
  }

  /** Whether both are from the same place. */
  isFromSame(other: KeptCertificate): boolean {
    const placeOf = ({ source }: KeptCertificate): string => {
      if (source === 'local') return source;
      if ('acme' in source) return `acme ${source.acme}`;
      return [source.cert, source.key].map((own) => ('file' in own ? own.file : '')).join('\n');
    };
    return placeOf(this) === placeOf(other);
  }

  isSameAs({ pair }: KeptCertificate): boolean {
    return this.pair.cert === pair.cert && this.pair.keyIsOpen === pair.keyIsOpen;
  }

  /** Throws a GwanmunError if it has expired, and `before` has not. */
  refuseExpiredInstead(before: KeptCertificate): void {
    if (isExpired(this.pair) && !isExpired(before.pair)) throw expiredInstead(this.source, this.pair);
  }

  change(readings: Readings): Change {
    const { source, pair: before } = this;
    if (!isConfigured(source)) return this.#changeTo(before);
    const pair = pairOf(this.#native, source, readings);
    const fault = whyNotInstead(source, before, pair);
    if (fault !== undefined) throw fault;
    return this.#changeTo(pair);
  }

  /** To one that has been made anew. */
  changeToMade(made: MadeCertificate): Change {
    const { source } = this;
    if (source === 'local') return this.#changeTo(localPair(this.#native, made));
    return this.#changeTo(judge(this.#native, source, made.cert, made.key, false));
  }

  #changeTo(pair: Pair): Change {
    const { pair: before } = this;
    return {
      kept: this,
      isAsBefore: before.cert === pair.cert && before.key === pair.key,
      use: () => (this.pair = pair),
      undo: () => (this.pair = before),
    };
  }

  describe(): string {
    const { names, issuer, notAfter } = this.pair.record;
    const shown = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
    return `for ${shown}, from ${issuer}, until ${day(notAfter)}`;
  }

  staying(): string {
    const { notAfter } = this.pair.record;
    const until = notAfter < Date.now() ? `which expired on ${day(notAfter)}` : `valid until ${day(notAfter)}`;
    return `a certificate has changed and cannot be used; the one before stays in use, ${until}`;
  }

  remarks(): Remark[] {
    const { source, pair } = this;
    const remarks: Remark[] = [];
    if (source === 'local') {
      const root = displayPath(rootFile());
      const message = `the certificate is for this machine, by a local authority; have clients trust it: gwanmun trust, or curl --cacert ${root}, NODE_EXTRA_CA_CERTS=${root}`;
      remarks.push({ level: 'info', message });
    }
    const dates = dateWarning(source, pair);
    if (dates !== undefined) {
      remarks.push({ level: isUsable(pair) ? 'warn' : 'error', message: `${this.title}: ${dates}` });
    }
    for (const warning of this.#warnings()) remarks.push({ level: 'warn', message: `${this.title}: ${warning}` });
    if (pair.keyIsOpen) remarks.push({ level: 'warn', message: openKey(namesOf(source)[1]) });
    return remarks;
  }

  expired(): Expired[] {
    if (this.source === 'local' || !isExpired(this.pair)) return [];
    const key = `${this.label} ${this.pair.record.notAfter}`;
    return [{ key, message: `${this.title} has expired; clients refuse it. ${remedyOf(this.source)}` }];
  }

  status(fault: Fault | undefined): CertificateStatus {
    const { pair, source, isDefault } = this;
    const { names, issuer, notBefore, notAfter, keyType } = pair.record;
    const [cert, key] = namesOf(source);
    const dates = dateWarning(source, pair);
    const open = pair.keyIsOpen ? [openKey(key)] : [];
    return {
      names,
      issuer,
      notBefore,
      notAfter,
      keyType,
      isDefault,
      source: cert,
      keySource: key,
      ...(source !== 'local' && 'acme' in source ? { domain: source.acme } : {}),
      readAt: pair.readAt,
      warnings: [...(dates === undefined ? [] : [dates]), ...open, ...this.#warnings()],
      ...(fault === undefined ? {} : { fault }),
    };
  }

  /** What is said of it alone, and beside the others. */
  #warnings(): string[] {
    return this.source === 'local' ? [] : [...new Set([...this.pair.record.warnings, ...this.besides()])];
  }
}

function localPair(native: Reader, { cert, key }: MadeCertificate): Pair {
  const pair = judge(native, 'local', cert, key, false);
  // That its root is known to nobody yet is said otherwise.
  return { ...pair, record: { ...pair.record, warnings: [] } };
}

function pairOf(native: Reader, source: CertificateSource, readings: Readings): Pair {
  const cert = contentOf(placeOf(source, 'cert'), readings);
  const key = contentOf(placeOf(source, 'key'), readings);
  return judge(native, source, cert.text, key.text, key.isOpen);
}

function placeOf(source: CertificateSource, part: 'cert' | 'key'): Place {
  const { [part]: pem, where } = source;
  return part === 'cert'
    ? { pem, where: where.cert, what: 'certificate', code: 'GWM_CERT_INVALID' }
    : { pem, where: where.key, what: 'private key', code: 'GWM_CERT_KEY' };
}

/** A pair that can be served, or the GwanmunError that says why not. */
function judge(native: Reader, source: Source, cert: string, key: string, keyIsOpen: boolean): Pair {
  try {
    return { cert, key, record: native.readCertificate(cert, key), readAt: Date.now(), keyIsOpen };
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

/** What an operator knows the certificate and its key by. */
function namesOf(source: Source): [cert: string, key: string] {
  if (source === 'local') return ['local authority', 'local authority'];
  if ('acme' in source) return [`for ${source.acme} (ACME)`, `for ${source.acme} (ACME)`];
  const { cert, key, where } = source;
  return [nameOf(cert, where.cert, 'cert'), nameOf(key, where.key, 'key')];
}

/** Why a changed file does not take the place of what is in use. */
function whyNotInstead(source: CertificateSource, old: Pair, pair: Pair): GwanmunError | undefined {
  if (isExpired(pair) && !isExpired(old)) return expiredInstead(source, pair);
  const lost = old.record.names.filter((name) => !covers(pair.record.names, name));
  if (lost.length === 0) return undefined;
  const [name] = namesOf(source);
  return new GwanmunError('GWM_CERT_INVALID', `${name} is not for ${lost.join(', ')} any more`, {
    where: source.where.cert,
    remedy: 'have it issued for all its names, or say that this is meant: gwanmun reload',
  });
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

function remedyOf(source: Source): string {
  return isConfigured(source)
    ? 'Renew it; the new files are taken over by themselves.'
    : 'Why it is not renewed: gwanmun certificates';
}

function isExpired({ record }: Pair): boolean {
  return record.notAfter < Date.now();
}

function isUsable({ record }: Pair): boolean {
  return record.notBefore <= Date.now() && Date.now() <= record.notAfter;
}

function dateWarning(source: Source, { record: { notBefore, notAfter } }: Pair): string | undefined {
  const now = Date.now();
  if (now < notBefore)
    return `it is not valid before ${day(notBefore)}; clients refuse it until then. Is the clock right?`;
  if (now > notAfter) return `it expired on ${day(notAfter)}; clients refuse it. ${remedyOf(source)}`;
  const days = daysLeft(notBefore, notAfter, !isConfigured(source));
  return days === undefined ? undefined : `it expires in ${inDays(days)}, on ${day(notAfter)}`;
}

function openKey(path: string): string {
  return `every user of this machine may read the private key ${path}; chmod 600 ${path}`;
}
