// What is in use while its files change: a certificate with its key, or who vouches for clients.

import { displayPath } from '../config/display-path.js';
import type { PemSource } from '../config/schema.js';
import { GwanmunError, type ErrorCode, type SerializedError, type Where } from '../errors.js';
import type { FileFault, FileText } from './files.js';

/** What files hold, by their paths. */
export type Readings = ReadonlyMap<string, FileText | FileFault>;

/** Why what the files hold by now is not used. */
export interface Fault {
  readonly error: SerializedError;
  readonly since: number;
  /** When the files are read again even if they do not change. */
  readonly nextAttempt: number;
}

/** What the files hold by now may take the place of what is in use. */
export interface Change {
  readonly kept: Kept;
  readonly isAsBefore: boolean;
  use(): void;
  undo(): void;
}

/** Something of a configuration that is in use until its files hold something that can be used instead. */
export interface Kept {
  /** What an operator knows it by, with what it is. */
  readonly title: string;
  readonly paths: readonly string[];
  /** Judges what the files hold by now. Throws a GwanmunError that says why it is not used. */
  change(readings: Readings): Change;
  /** For whom it is, and until when. */
  describe(): string;
  /** That its files cannot be used, and until when what is in use can. */
  staying(): string;
  /** What should be known of it when it is used from now on. */
  remarks(): Remark[];
  /** What has expired, and is told once. */
  expired(): Expired[];
}

export interface Remark {
  readonly level: 'error' | 'warn' | 'info';
  readonly message: string;
}

export interface Expired {
  /** Equal for what was told already. */
  readonly key: string;
  readonly message: string;
}

/** A PEM file, or the text itself, that a configuration names. */
export interface Place {
  readonly pem: PemSource;
  readonly where: Where;
  /** What it holds, for errors. */
  readonly what: string;
  readonly code: ErrorCode;
}

/** What a place holds. Throws a GwanmunError if its file cannot be read. */
export function contentOf({ pem, where, what, code }: Place, readings: Readings): { text: string; isOpen: boolean } {
  if ('text' in pem) return { text: pem.text, isOpen: false };
  const reading = readings.get(pem.file);
  if (reading !== undefined && 'text' in reading) return { text: reading.text, isOpen: reading.isOpenToAll };
  throw new GwanmunError(code, `the ${what} ${displayPath(pem.file)} ${reading?.fault ?? 'was not read'}`, {
    where,
    remedy: `check the path, and that the server may read the file: sudo ls -lL ${pem.file}`,
  });
}

/** What an operator knows a place by. */
export function nameOf(pem: PemSource, where: Where, otherwise: string): string {
  return 'file' in pem ? displayPath(pem.file) : (where.key ?? otherwise);
}

export function fileOf(pem: PemSource): string[] {
  return 'file' in pem ? [pem.file] : [];
}

const DAY_MS = 86_400_000;
/** From then on the date is said; of a short lifetime, when a third is left. */
const SOON_MS = 14 * DAY_MS;

/** Whole days that are left of what ends soon. What is renewed by itself is so when a third is left. */
export function daysLeft(from: number, to: number, isRenewed = false): number | undefined {
  const left = to - Date.now();
  const soon = isRenewed ? (to - from) / 6 : Math.min(SOON_MS, (to - from) / 3);
  return left < soon ? Math.floor(left / DAY_MS) : undefined;
}

export function inDays(days: number): string {
  return days === 1 ? '1 day' : `${days} days`;
}

export function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
