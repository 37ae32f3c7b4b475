// Who vouches for clients: certificates of authorities, and the lists of what these have revoked.

import type { CoreClients } from '../config/core.js';
import type { ClientSource } from '../config/tls.js';
import { fromCore, GwanmunError, type Where } from '../errors.js';
import type { AuthoritiesRecord, AuthorityRecord, NativeBinding } from '../native.js';
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

/** What clients are asked for, for operators. Times are milliseconds since 1970. */
export interface ClientCertificatesStatus {
  readonly mode: 'require' | 'optional';
  readonly authorities: readonly AuthorityRecord[];
  /** By the authority that issued it; `notAfter` is when the next one should be there. */
  readonly revocations: readonly AuthorityRecord[];
  /** How many certificates are revoked. */
  readonly revoked: number;
  /** Where it is from: the path of its file, or `tls.clientCertificates.ca`. */
  readonly source: string;
  readonly crlSource?: string;
  /** When it was last read. */
  readonly readAt: number;
  readonly warnings: readonly string[];
  /** Why what its files hold by now is not used. */
  readonly fault?: Fault;
}

/** Authorities and lists as they are in use. */
interface Held {
  readonly ca: string;
  readonly crl: string | undefined;
  readonly record: AuthoritiesRecord;
  readonly readAt: number;
}

export class KeptClients implements Kept {
  readonly source: ClientSource;
  readonly paths: readonly string[];
  held: Held;
  readonly #native: Pick<NativeBinding, 'readAuthorities'>;

  /** Throws a GwanmunError that says why clients cannot be asked. */
  constructor(native: Pick<NativeBinding, 'readAuthorities'>, source: ClientSource, readings: Readings) {
    this.#native = native;
    this.source = source;
    this.paths = pathsOf(source);
    this.held = this.#judge(readings);
  }

  get title(): string {
    const { ca, crl } = this.#names();
    return `who vouches for clients (${crl === undefined ? ca : `${ca}, ${crl}`})`;
  }

  /** Whether both are from the same files. */
  isFromSame(other: KeptClients): boolean {
    return this.paths.join('\n') === other.paths.join('\n');
  }

  isSameAs({ held }: KeptClients): boolean {
    return this.held.ca === held.ca && this.held.crl === held.crl;
  }

  /** The core's form of it. */
  core(): CoreClients {
    const { ca, crl } = this.held;
    return { ca, ...(crl === undefined ? {} : { crl }), isRequired: this.source.isRequired };
  }

  /** Throws a GwanmunError if a list is out of date, and `before` has one that is not. */
  refuseExpiredInstead(before: KeptClients): void {
    const fault = expiredInstead(this.source, before.held, this.held);
    if (fault !== undefined) throw fault;
  }

  change(readings: Readings): Change {
    const { held: before } = this;
    const held = this.#judge(readings);
    const fault = whyNotInstead(this.source, before, held);
    if (fault !== undefined) throw fault;
    return {
      kept: this,
      isAsBefore: before.ca === held.ca && before.crl === held.crl,
      use: () => (this.held = held),
      undo: () => (this.held = before),
    };
  }

  describe(): string {
    const { authorities, revocations, revoked } = this.held.record;
    const names = authorities.map(({ name }) => name);
    const shown = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
    return revocations.length === 0 ? shown : `${shown}; ${revoked} revoked`;
  }

  staying(): string {
    const { authorities, revocations } = this.held.record;
    const first = Math.min(...[...authorities, ...revocations].map(({ notAfter }) => notAfter));
    const until = first < Date.now() ? `of which something expired on ${day(first)}` : `valid until ${day(first)}`;
    return `who vouches for clients has changed and cannot be used; what was before stays in use, ${until}`;
  }

  remarks(): Remark[] {
    return [
      ...this.expired().map(({ message }): Remark => ({ level: 'error', message })),
      ...this.#warnings().map((warning): Remark => ({ level: 'warn', message: `${this.title}: ${warning}` })),
    ];
  }

  expired(): Expired[] {
    return expiredOf(this.held.record).map(({ text, key }) => ({ key, message: `${this.title}: ${text}` }));
  }

  status(fault: Fault | undefined): ClientCertificatesStatus {
    const { record, readAt } = this.held;
    const { ca, crl } = this.#names();
    return {
      mode: this.source.isRequired ? 'require' : 'optional',
      authorities: record.authorities,
      revocations: record.revocations,
      revoked: record.revoked,
      source: ca,
      ...(crl === undefined ? {} : { crlSource: crl }),
      readAt,
      warnings: [...expiredOf(record).map(({ text }) => text), ...this.#warnings()],
      ...(fault === undefined ? {} : { fault }),
    };
  }

  /** But for what has expired. */
  #warnings(): string[] {
    const { authorities, revocations, warnings } = this.held.record;
    const now = Date.now();
    const soon = (one: AuthorityRecord): number | undefined =>
      one.notAfter < now ? undefined : daysLeft(one.notBefore, one.notAfter);
    return [
      ...authorities.flatMap((one) => {
        const days = soon(one);
        return days === undefined ? [] : [`"${one.name}" expires in ${inDays(days)}, on ${day(one.notAfter)}`];
      }),
      ...revocations.flatMap((one) => {
        const days = soon(one);
        return days === undefined
          ? []
          : [`the revocation list of "${one.name}" has to be renewed within ${inDays(days)}, by ${day(one.notAfter)}`];
      }),
      ...warnings,
    ];
  }

  #names(): { ca: string; crl: string | undefined } {
    const { ca, crl, where } = this.source;
    return {
      ca: nameOf(ca, where.ca, 'ca'),
      crl: crl === undefined ? undefined : nameOf(crl, where.crl, 'crl'),
    };
  }

  #judge(readings: Readings): Held {
    const { source } = this;
    const ca = contentOf(placeOf(source, 'ca'), readings).text;
    const crl = source.crl === undefined ? undefined : contentOf(placeOf(source, 'crl'), readings).text;
    const names = this.#names();
    // Which of the two is at fault is seen by asking twice.
    const record = this.#read(names.ca, source.where.ca, () => this.#native.readAuthorities(ca));
    return {
      ca,
      crl,
      record:
        crl === undefined
          ? record
          : this.#read(names.crl ?? 'crl', source.where.crl, () => this.#native.readAuthorities(ca, crl)),
      readAt: Date.now(),
    };
  }

  #read(name: string, where: Where, read: () => AuthoritiesRecord): AuthoritiesRecord {
    try {
      return read();
    } catch (error) {
      const fault = fromCore(error);
      const remedy =
        where === this.source.where.ca
          ? "name the PEM file with the certificates of your clients' authorities: ca: './clients-ca.pem'"
          : "name the PEM file with the authorities' revocation lists: crl: './clients-crl.pem'";
      throw fault.with({ message: `${name}: ${fault.message}`, where, remedy });
    }
  }
}

function pathsOf({ ca, crl }: ClientSource): string[] {
  return [ca, crl].flatMap((one) => (one === undefined ? [] : fileOf(one)));
}

export function clientPaths(source: ClientSource | undefined): string[] {
  return source === undefined ? [] : pathsOf(source);
}

function placeOf(source: ClientSource, part: 'ca' | 'crl'): Place {
  const what = part === 'ca' ? "file of clients' authorities" : 'revocation list';
  return { pem: source[part] ?? { text: '' }, where: source.where[part], what, code: 'GWM_CERT_INVALID' };
}

/** What has expired, for people. */
function expiredOf({ authorities, revocations }: AuthoritiesRecord): { text: string; key: string }[] {
  const now = Date.now();
  return [
    ...authorities
      .filter(({ notAfter }) => notAfter < now)
      .map(({ name, notAfter }) => ({
        key: `ca ${name} ${notAfter}`,
        text: `"${name}" expired on ${day(notAfter)}; its clients are refused. Put its successor into the file`,
      })),
    ...revocations
      .filter(({ notAfter }) => notAfter < now)
      .map(({ name, notAfter }) => ({
        key: `crl ${name} ${notAfter}`,
        text: `the revocation list of "${name}" was to be renewed by ${day(notAfter)}; clients of that authority are refused until it is`,
      })),
  ];
}

/** Why changed files do not take the place of what is in use. That an authority is not there any more is meant: its clients go. */
function whyNotInstead(source: ClientSource, before: Held, held: Held): GwanmunError | undefined {
  const expired = expiredInstead(source, before, held);
  if (expired !== undefined) return expired;
  const name = source.crl === undefined ? '' : nameOf(source.crl, source.where.crl, 'crl');
  for (const old of before.record.revocations) {
    const lists = held.record.revocations.filter((list) => list.name === old.name);
    const isVouching = held.record.authorities.length >= before.record.authorities.length;
    if (lists.length === 0 && isVouching)
      return refusal(`${name} has no revocation list of "${old.name}" any more`, source);
    if (lists.length > 0 && lists.every((list) => list.notBefore < old.notBefore)) {
      return refusal(`${name} has an older revocation list of "${old.name}" than the one in use`, source);
    }
  }
  return undefined;
}

/** A list that is out of date in the place of one that is not. */
function expiredInstead(source: ClientSource, before: Held, held: Held): GwanmunError | undefined {
  const now = Date.now();
  const old = held.record.revocations.find(
    (list) =>
      list.notAfter < now &&
      before.record.revocations.some((other) => other.name === list.name && other.notAfter >= now),
  );
  if (old === undefined) return undefined;
  const name = source.crl === undefined ? '' : nameOf(source.crl, source.where.crl, 'crl');
  const message = `${name}: the revocation list of "${old.name}" was to be renewed by ${day(old.notAfter)}, and the one in use is good`;
  return refusal(message, source, 'restore the newer list, or get the next one');
}

function refusal(
  message: string,
  source: ClientSource,
  remedy = 'restore it, or say that this is meant: gwanmun reload',
): GwanmunError {
  return new GwanmunError('GWM_CERT_INVALID', message, { where: source.where.crl, remedy });
}
