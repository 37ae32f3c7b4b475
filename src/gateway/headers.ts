import { describe } from './describe.js';
import { FORM_REASON, KIND_BLOCK, LOG_WARNING, MAX_PAYLOAD, RESPONSE_HEAD } from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import type { Header } from './types.js';

/** Header lines must leave room for the response head and a Content-Length in one frame. */
const MAX_LINES = MAX_PAYLOAD - RESPONSE_HEAD - 64;
/** How many different responses a link remembers. Applications answer with few kinds of headers. */
const REMEMBERED = 8;

/** A checked status and its headers, as lines. */
export class HeaderBlock {
  readonly status: string;
  readonly code: number;
  /** The line of the application's own reason, CR LF included (W36); empty if it is the usual one. */
  readonly reason: string;
  /** How a head with this reason is written. */
  readonly form: number;
  /** `Name: value` CR LF, repeated headers separate and in order (W41). Those of the connection are left out (W38). */
  readonly lines: string;
  /** Names of the headers that are left out; null if all are there. */
  readonly leftOut: readonly string[] | null;
  /** The application's Content-Length, -1 if it gave none. */
  readonly contentLength: number;
  /** Names and values by turns. */
  readonly pairs: readonly string[];
  /** The id under which the core knows the lines; 0 if it does not. */
  id = 0;
  /** Seen more than once. */
  recurring = false;

  /** @throws TypeError if something is not allowed in a response (W36, W37) */
  constructor(status: string, headers: readonly Header[]) {
    this.status = status;
    this.code = checkStatus(status);
    this.contentLength = checkHeaders(headers);
    const pairs: string[] = [];
    let lines = '';
    let leftOut: string[] | null = null;
    for (const [name, value] of headers) {
      pairs.push(name, value);
      if (isOfConnection(name)) (leftOut ??= []).push(name);
      else lines += `${name}: ${value}\r\n`;
    }
    const usual = status === '200 OK';
    this.reason = usual ? '' : `${status.slice(4)}\r\n`;
    this.form = usual ? 0 : FORM_REASON;
    const length = this.reason.length + lines.length;
    if (length > MAX_LINES) {
      throw new TypeError(`the headers have ${length} bytes together; the limit is ${MAX_LINES}`);
    }
    this.pairs = pairs;
    this.lines = lines;
    this.leftOut = leftOut;
  }

  /** What a head that names the block by `id` has of it: of one that does not, 0, the header lines too. */
  text(id: number): string {
    return id === 0 ? this.reason + this.lines : this.reason;
  }

  /** Whether this is what was checked already. */
  matches(status: string, headers: readonly Header[]): boolean {
    const { pairs } = this;
    if (this.status !== status || headers.length * 2 !== pairs.length) return false;
    for (let i = 0, at = 0; i < headers.length; i++, at += 2) {
      const header = headers[i];
      if (!Array.isArray(header) || header.length !== 2 || header[0] !== pairs[at] || header[1] !== pairs[at + 1])
        return false;
    }
    return true;
  }
}

/**
 * The header blocks of one link. Those that recur are sent once and named by a number afterwards. A block that is no longer remembered
 * gives its number to another: headers that clients have a say in, as in a redirect, use up nothing.
 */
export class HeaderBlocks {
  private readonly writer: FrameWriter;
  private readonly recent: HeaderBlock[] = [];
  private readonly free = Array.from({ length: REMEMBERED }, (_, index) => REMEMBERED - index);

  constructor(writer: FrameWriter) {
    this.writer = writer;
  }

  /** Checks a status and headers, or finds that the same were checked lately. */
  get(status: string, headers: readonly Header[]): HeaderBlock {
    const { recent } = this;
    if (Array.isArray(headers)) {
      for (let i = 0; i < recent.length; i++) {
        const block = recent[i];
        if (block === undefined || !block.matches(status, headers)) continue;
        block.recurring = true;
        if (i > 0) this.moveToFront(i, block);
        return block;
      }
    }
    const block = new HeaderBlock(status, headers);
    if (recent.length < REMEMBERED) recent.push(block);
    else this.forget(recent[REMEMBERED - 1]);
    this.moveToFront(recent.length - 1, block);
    return block;
  }

  /** The block's id, which is defined first if it is worth it; 0 if its lines must be sent. */
  id(block: HeaderBlock): number {
    if (block.id === 0 && block.recurring && block.lines !== '') {
      block.id = this.free.pop() ?? 0;
      if (block.id !== 0) this.writer.lines(KIND_BLOCK, 0, block.id, block.lines);
    }
    return block.id;
  }

  /** A response may still hold it; its lines are sent then. */
  private forget(block: HeaderBlock | undefined): void {
    if (block === undefined) return;
    if (block.id !== 0) this.free.push(block.id);
    block.id = 0;
    block.recurring = false;
  }

  private moveToFront(from: number, block: HeaderBlock): void {
    this.recent.copyWithin(1, 0, from);
    this.recent[0] = block;
  }
}

/**
 * The code of a status, which is three digits, a space, a reason without control characters (W36); 1xx is not a response (W59).
 * @throws TypeError
 */
export function checkStatus(status: string): number {
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused
  if (typeof status !== 'string' || !/^[2-5]\d\d [^\u0000-\u001f\u007f\u0100-\uffff]*$/.test(status)) {
    throw new TypeError(`the status must look like '200 OK', from 200 to 599; got ${describe(status)}`);
  }
  return Number(status.slice(0, 3));
}

/**
 * Checks the headers of a response; gives their Content-Length, -1 if there is none.
 * @throws TypeError if something is not allowed in a response (W37)
 */
export function checkHeaders(headers: readonly Header[]): number {
  if (!Array.isArray(headers)) {
    throw new TypeError(`headers must be an array of [name, value] pairs, got ${describe(headers)}`);
  }
  let contentLength = -1;
  for (const header of headers as readonly Header[]) {
    if (!Array.isArray(header) || header.length !== 2) {
      throw new TypeError(`a header must be an array [name, value], got ${describe(header)}`);
    }
    const [name, value] = header as unknown as [string, string];
    checkHeader(name, value);
    if (name.length === 14 && name.toLowerCase() === 'content-length') {
      contentLength = checkedLength(value, contentLength);
    }
  }
  return contentLength;
}

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const FORBIDDEN_IN_VALUE = /[\u0000-\u001f\u007f\u0100-\uffff]/;
/** RFC 9110 section 7.6.1. */
const OF_CONNECTION = /^(?:connection|keep-alive|proxy-.*|te|trailers?|transfer-encoding|upgrade)$/i;

/** W38: whether a header belongs to the connection, which is the server's. */
export function isOfConnection(name: string): boolean {
  return OF_CONNECTION.test(name);
}

/** What this process has warned of. Names can be a client's, so they are of a bounded number. */
const warned = new Set<string>();
const MOST_WARNED = 50;

/** Says of each header that is left out, once in a process, that it is (W38). `stream`: of the response that gave them. */
export function warnOfLeftOut(writer: FrameWriter, stream: number, names: readonly string[]): void {
  for (const name of names) {
    const key = name.toLowerCase();
    if (warned.has(key) || warned.size === MOST_WARNED) continue;
    warned.add(key);
    writer.log(
      LOG_WARNING,
      stream,
      `A response has the header ${name}. It concerns the connection, which is the server's, and is left out. Later ones are left out without a word.`,
    );
  }
}

/** W37. */
function checkHeader(name: unknown, value: unknown): void {
  if (typeof name !== 'string' || !TOKEN.test(name)) {
    throw new TypeError(`a header's name must be a token such as 'Content-Type', got ${describe(name)}`);
  }
  if (typeof value !== 'string') {
    throw new TypeError(`the value of the header ${name} must be a string, got ${describe(value)}`);
  }
  if (FORBIDDEN_IN_VALUE.test(value)) {
    throw new TypeError(
      `the value of the header ${name} has a control character or one beyond U+00FF, which cannot be sent: ${describe(value)}`,
    );
  }
}

/** RFC 9110 section 8.6. */
function checkedLength(value: string, before: number): number {
  const length = /^\d{1,15}$/.test(value) ? Number(value) : -1;
  if (length < 0) throw new TypeError(`Content-Length must be a number of bytes, got ${describe(value)}`);
  if (before >= 0 && before !== length) throw new TypeError(`Content-Length is given twice: ${before} and ${length}`);
  return length;
}
