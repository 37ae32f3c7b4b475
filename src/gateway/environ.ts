/* oxlint-disable typescript/no-non-null-assertion -- reads of typed arrays within their bounds, on the hot path */

import {
  HEAD_COUNT,
  HEAD_FLAG_HTTP10,
  HEAD_FLAG_LENGTH,
  HEAD_FLAG_TLS,
  HEAD_FLAG_VARIABLES,
  HEAD_FLAGS,
  HEAD_LENGTH_HIGH,
  HEAD_LENGTH_LOW,
  HEAD_METHOD,
  HEAD_NAMES,
  HEAD_PAIRS,
  HEAD_PATH_INFO,
  HEAD_PORTS,
  HEAD_QUERY_STRING,
  HEAD_REMOTE_ADDR,
  HEAD_SCRIPT_NAME,
  HEAD_SERVER_NAME,
  HEAD_TARGET,
} from './frame.js';
import { addConnectionVariables } from './connection.js';
import { earlyHints } from './early-hints.js';
import { fileWrapper, type FileWrapper } from './file-body.js';
import type { EarlyHints, Environ, ErrorStream, InputStream } from './types.js';

/** `wsgi.version`; frozen because every request shares it. */
const WSGI_VERSION = Object.freeze([1, 0]) as readonly [1, 0];

/** What is the same for every request of a link. */
export interface EnvironConstants {
  /** Names and values from the core's HELLO and the deployer (W11). */
  readonly pairs: readonly (readonly [name: string, value: string])[];
  readonly multiprocess: boolean;
}

/** Makes an environ from the words of a request head at `at` and its text. */
type Factory = (
  words: Int32Array,
  at: number,
  text: string,
  input: InputStream,
  errors: ErrorStream,
  version: readonly [1, 0],
  wrapper: FileWrapper,
  hints: EarlyHints,
) => Environ;

/**
 * Makes the environ of each request: a plain object with own, enumerable keys (W02).
 *
 * For a known list of header names a factory is compiled, which builds the object in one literal: 0.25 µs for 27 keys where
 * a loop takes 0.57 µs. Header names come from the core and are made of letters, digits and `-`; still they are checked
 * before they become code.
 */
export class EnvironFactories {
  private readonly constants: EnvironConstants;
  private readonly names: (readonly string[])[] = [];
  /** By names id × 8 + variant. */
  private readonly factories: (Factory | undefined)[] = [];

  constructor(constants: EnvironConstants) {
    this.constants = constants;
  }

  /** A names id stands for these lower-case names, until it is given to others. */
  define(id: number, names: readonly string[]): void {
    if (!names.every((name) => /^[a-z0-9-]+$/.test(name))) throw new Error(`names ${id} has a name that may not cross`);
    if (this.names[id] !== undefined) this.factories.fill(undefined, id << 3, (id + 1) << 3);
    this.names[id] = names;
  }

  /** @throws if the head names an id that was not defined */
  make(words: Int32Array, at: number, text: string, input: InputStream, errors: ErrorStream): Environ {
    const environ = this.ofHead(words, at, text, input, errors);
    const tail = connectionTail(words, at, text);
    if (tail !== undefined) addConnectionVariables(environ, tail);
    return environ;
  }

  private ofHead(words: Int32Array, at: number, text: string, input: InputStream, errors: ErrorStream): Environ {
    const id = words[at + HEAD_NAMES]!;
    if (id === 0) return this.read(words, at, text, input, errors);
    const variant =
      (id << 3) |
      (words[at + HEAD_FLAGS]! & (HEAD_FLAG_TLS | HEAD_FLAG_LENGTH)) |
      ((words[at + HEAD_PORTS]! & 0xffff) === 0 ? 0 : 1);
    const factory = this.factories[variant] ?? this.compile(id, variant);
    return factory(words, at, text, input, errors, WSGI_VERSION, fileWrapper, earlyHints);
  }

  /** The value of the first header of this lower-case name. */
  header(words: Int32Array, at: number, text: string, name: string): string | undefined {
    const known = this.names[words[at + HEAD_NAMES]!];
    const count = words[at + HEAD_COUNT]!;
    for (let i = 0, pair = at + HEAD_PAIRS; i < count; i++, pair += 2) {
      const found = known === undefined ? cut(text, words[pair]!).toLowerCase() : known[i];
      if (found === name) return cut(text, words[pair + 1]!);
    }
    return undefined;
  }

  /** Reads everything from the table, names included. */
  private read(words: Int32Array, at: number, text: string, input: InputStream, errors: ErrorStream): Environ {
    const flags = words[at + HEAD_FLAGS]!;
    const tls = (flags & HEAD_FLAG_TLS) !== 0;
    const ports = words[at + HEAD_PORTS]!;
    const environ: Environ = {
      REQUEST_METHOD: cut(text, words[at + HEAD_METHOD]!),
      SCRIPT_NAME: cut(text, words[at + HEAD_SCRIPT_NAME]!),
      PATH_INFO: cut(text, words[at + HEAD_PATH_INFO]!),
      QUERY_STRING: cut(text, words[at + HEAD_QUERY_STRING]!),
      REQUEST_URI: cut(text, words[at + HEAD_TARGET]!),
      SERVER_NAME: cut(text, words[at + HEAD_SERVER_NAME]!),
      SERVER_PORT: serverPort(ports >>> 16, tls),
      SERVER_PROTOCOL: flags & HEAD_FLAG_HTTP10 ? 'HTTP/1.0' : 'HTTP/1.1',
      REMOTE_ADDR: cut(text, words[at + HEAD_REMOTE_ADDR]!),
      'wsgi.version': WSGI_VERSION,
      'wsgi.url_scheme': tls ? 'https' : 'http',
      'wsgi.input': input,
      'wsgi.errors': errors,
      'wsgi.multithread': false,
      'wsgi.multiprocess': this.constants.multiprocess,
      'wsgi.run_once': false,
      'wsgi.input_terminated': true,
      'wsgi.file_wrapper': fileWrapper,
      'gwanmun.early_hints': earlyHints,
    };
    if (ports & 0xffff) environ.REMOTE_PORT = String(ports & 0xffff);
    if (tls) environ.HTTPS = 'on';
    if (flags & HEAD_FLAG_LENGTH) environ.CONTENT_LENGTH = String(bodyLength(words, at));
    // Id 0 has no names; other ids come here where code cannot be compiled.
    const known = this.names[words[at + HEAD_NAMES]!];
    const count = words[at + HEAD_COUNT]!;
    for (let i = 0, pair = at + HEAD_PAIRS; i < count; i++, pair += 2) {
      const key = environKey(known === undefined ? cut(text, words[pair]!) : known[i]!);
      if (key === 'CONTENT_LENGTH') continue;
      const value = cut(text, words[pair + 1]!);
      if (!(key in environ)) environ[key] = value;
      else if (key !== 'CONTENT_TYPE') environ[key] = `${environ[key] as string}${separator(key)}${value}`;
    }
    for (const [name, value] of this.constants.pairs) environ[name] = value;
    return environ;
  }

  private compile(id: number, variant: number): Factory {
    const names = this.names[id];
    if (names === undefined) throw new Error(`the request refers to names ${id}, which were not defined`);
    let factory: Factory;
    try {
      factory = compiled(factorySource(names, variant, this.constants));
    } catch (error) {
      // --disallow-code-generation-from-strings: the loop does it as well, only slower.
      if (!(error instanceof EvalError)) throw error;
      factory = (words, at, text, input, errors) => this.read(words, at, text, input, errors);
    }
    this.factories[variant] = factory;
    return factory;
  }
}

/** The length of the request's body. */
export function bodyLength(words: Int32Array, at: number): number {
  return words[at + HEAD_LENGTH_HIGH]! * 4_294_967_296 + (words[at + HEAD_LENGTH_LOW]! >>> 0);
}

/** A piece of a head's text. `pair`: where it begins and ends, from the head's table. */
export function cut(text: string, pair: number): string {
  return text.substring(pair >>> 16, pair & 0xffff);
}

/** What the core says of the connection, as it crosses. Undefined: nothing. */
export function connectionTail(words: Int32Array, at: number, text: string): string | undefined {
  if ((words[at + HEAD_FLAGS]! & HEAD_FLAG_VARIABLES) === 0) return undefined;
  return text.substring(words[at + HEAD_REMOTE_ADDR]! & 0xffff);
}

/** W03: never empty, also behind a Unix socket. */
function serverPort(port: number, tls: boolean): string {
  return port === 0 ? (tls ? '443' : '80') : String(port);
}

/** W06: the environ key of a header. */
function environKey(name: string): string {
  const known = keys.get(name);
  if (known !== undefined) return known;
  const upper = name.toUpperCase().replaceAll('-', '_');
  const key = upper === 'CONTENT_TYPE' || upper === 'CONTENT_LENGTH' ? upper : `HTTP_${upper}`;
  // Clients choose the names: what is remembered is bounded.
  if (keys.size < 512 && name.length <= 64) keys.set(name, key);
  return key;
}

/** Environ keys by header name as received: making one anew costs 0.3 µs. */
const keys = new Map<string, string>();

/** RFC 9110 section 5.3; cookie pairs are separated by semicolons (RFC 6265 section 5.4). */
function separator(key: string): string {
  return key === 'HTTP_COOKIE' ? '; ' : ', ';
}

/** Code that cuts the piece which a pair marks. */
function piece(word: number): string {
  return `s.substring((p = w[a + ${word}]) >>> 16, p & 0xffff)`;
}

/** Factories by their source: the links of a worker share them. */
const cache = new Map<string, Factory>();

function compiled(source: string): Factory {
  let factory = cache.get(source);
  if (factory === undefined) {
    if (cache.size >= 1024) cache.clear();
    // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- names are checked by define(), values are JSON
    factory = new Function('w', 'a', 's', 'input', 'errors', 'version', 'wrapper', 'hints', source) as Factory;
    cache.set(source, factory);
  }
  return factory;
}

function factorySource(names: readonly string[], variant: number, constants: EnvironConstants): string {
  const tls = (variant & HEAD_FLAG_TLS) !== 0;
  const entries = new Map<string, string>([
    ['REQUEST_METHOD', piece(HEAD_METHOD)],
    ['SCRIPT_NAME', piece(HEAD_SCRIPT_NAME)],
    ['PATH_INFO', piece(HEAD_PATH_INFO)],
    ['QUERY_STRING', piece(HEAD_QUERY_STRING)],
    ['REQUEST_URI', piece(HEAD_TARGET)],
    ['SERVER_NAME', piece(HEAD_SERVER_NAME)],
    ['SERVER_PORT', `(p = w[a + ${HEAD_PORTS}] >>> 16) === 0 ? '${tls ? 443 : 80}' : '' + p`],
    ['SERVER_PROTOCOL', `w[a + ${HEAD_FLAGS}] & ${HEAD_FLAG_HTTP10} ? 'HTTP/1.0' : 'HTTP/1.1'`],
    ['REMOTE_ADDR', piece(HEAD_REMOTE_ADDR)],
    ['wsgi.version', 'version'],
    ['wsgi.url_scheme', tls ? "'https'" : "'http'"],
    ['wsgi.input', 'input'],
    ['wsgi.errors', 'errors'],
    ['wsgi.multithread', 'false'],
    ['wsgi.multiprocess', String(constants.multiprocess)],
    ['wsgi.run_once', 'false'],
    ['wsgi.input_terminated', 'true'],
    ['wsgi.file_wrapper', 'wrapper'],
    ['gwanmun.early_hints', 'hints'],
  ]);
  if (variant & 1) entries.set('REMOTE_PORT', `'' + (w[a + ${HEAD_PORTS}] & 0xffff)`);
  if (tls) entries.set('HTTPS', "'on'");
  if (variant & HEAD_FLAG_LENGTH) {
    entries.set('CONTENT_LENGTH', `'' + (w[a + ${HEAD_LENGTH_HIGH}] * 4294967296 + (w[a + ${HEAD_LENGTH_LOW}] >>> 0))`);
  }
  for (const [index, name] of names.entries()) {
    const key = environKey(name);
    if (key === 'CONTENT_LENGTH') continue;
    const value = piece(HEAD_PAIRS + 2 * index + 1);
    const before = entries.get(key);
    if (before === undefined) entries.set(key, value);
    else if (key !== 'CONTENT_TYPE') entries.set(key, `${before} + '${separator(key)}' + ${value}`);
  }
  for (const [name, value] of constants.pairs) entries.set(name, JSON.stringify(value));
  const lines = [...entries].map(([key, value]) => `${JSON.stringify(key)}: ${value}`);
  return `let p; return {\n${lines.join(',\n')}\n};`;
}
