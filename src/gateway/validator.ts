// Middleware that checks both sides of the contract, as Python's wsgiref.validate does.

import { GwanmunError } from '../errors.js';
import { describe } from './describe.js';
import { checkHeaders, checkStatus, isOfConnection } from './headers.js';
import { isBytes } from './response.js';
import type {
  Application,
  ApplicationBody,
  ApplicationResult,
  BodyChunk,
  Environ,
  Header,
  InputStream,
  StartResponse,
} from './types.js';

/**
 * Checks everything that passes between a server and `application`, and throws an error with code `GWM_CONTRACT` that names the
 * row of the contract at the first fault of either side:
 *
 *     export const application = validator(myApplication);
 *
 * For development and tests: it costs a few microseconds a request, and a file that it wraps is sent piece by piece. That a server
 * never closed a body (W52) shows only when the body is collected as garbage, and goes to `wsgi.errors`.
 */
export function validator(application: Application): Application {
  require(typeof application === 'function', 'W01', `an application is a function, got ${describe(application)}`);
  return (...args: unknown[]): ApplicationResult => {
    require(args.length === 2, 'W01', `an application is called with two arguments, got ${args.length}`);
    const [environ, startResponse] = args as [Environ, StartResponse];
    require(typeof startResponse === 'function', 'W30', `startResponse is a function, got ${describe(startResponse)}`);
    checkEnviron(environ);
    const response = new Checked(environ, startResponse);
    environ['wsgi.input'] = checkedInput(environ['wsgi.input']);
    return response.take(application(environ, response.startResponse));
  };
}

function fault(row: string, message: string): GwanmunError {
  return new GwanmunError('GWM_CONTRACT', `${row}: ${message}`);
}

function require(holds: boolean, row: string, message: string): asserts holds {
  if (!holds) throw fault(row, message);
}

/** What the error of another check says, under the row that it broke. */
function checking(row: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw fault(row, error instanceof Error ? error.message : String(error));
  }
}

const NEEDED = ['REQUEST_METHOD', 'SERVER_NAME', 'SERVER_PORT', 'SERVER_PROTOCOL'] as const;
const WSGI = ['version', 'url_scheme', 'input', 'errors', 'multithread', 'multiprocess', 'run_once'] as const;

/** W02 to W09: the server's side. */
function checkEnviron(environ: unknown): asserts environ is Environ {
  require(typeof environ === 'object' &&
    environ !== null &&
    Object.getPrototypeOf(environ) === Object.prototype, 'W02', `environ is a plain object, got ${describe(environ)}`);
  const values = environ as Record<string, unknown>;
  for (const key of NEEDED) {
    require(typeof values[key] === 'string' && values[key] !== '', 'W03', `environ has no ${key}`);
  }
  require(values['SCRIPT_NAME'] !== '/', 'W03', 'SCRIPT_NAME is "/"; it is empty at the root');
  for (const key of ['SCRIPT_NAME', 'PATH_INFO']) {
    const path = values[key] ?? '';
    require(path === '' ||
      (typeof path === 'string' &&
        path.startsWith('/')), 'W03', `${key} is empty or begins with "/", got ${describe(path)}`);
  }
  require(Boolean(values['SCRIPT_NAME']) || Boolean(values['PATH_INFO']), 'W03', 'SCRIPT_NAME and PATH_INFO are empty');
  const length = values['CONTENT_LENGTH'] ?? '';
  require(/^\d*$/.test(String(length)), 'W03', `CONTENT_LENGTH is a number, got ${describe(length)}`);
  for (const [key, value] of Object.entries(values)) {
    if (key.includes('.')) continue;
    require(typeof value === 'string', 'W04', `${key} is a string, got ${describe(value)}`);
    // oxlint-disable-next-line no-control-regex -- every character of latin-1 is allowed
    require(/^[\u0000-\u00ff]*$/.test(value), 'W04', `${key} has a character beyond U+00FF: ${describe(value)}`);
  }
  for (const key of ['HTTP_CONTENT_TYPE', 'HTTP_CONTENT_LENGTH']) {
    require(!(key in values), 'W06', `environ has ${key}; its name is ${key.slice(5)}`);
  }
  require(!('HTTP_PROXY' in values), 'W12', 'environ has HTTP_PROXY, which other programs take for a setting');
  for (const key of WSGI) require(`wsgi.${key}` in values, 'W09', `environ has no wsgi.${key}`);
  const { 'wsgi.version': version, 'wsgi.url_scheme': scheme } = values;
  require(Array.isArray(version) &&
    version[0] === 1 &&
    version[1] === 0, 'W09', `wsgi.version is [1, 0], got ${describe(version)}`);
  require(scheme === 'http' || scheme === 'https', 'W09', `wsgi.url_scheme is http or https, got ${describe(scheme)}`);
  requireMethods(values['wsgi.input'], ['read', 'readline', 'readlines'], 'W20', 'wsgi.input');
  requireMethods(values['wsgi.errors'], ['flush', 'write', 'writelines'], 'W27', 'wsgi.errors');
}

function requireMethods(value: unknown, methods: readonly string[], row: string, name: string): void {
  for (const method of methods) {
    const found = typeof value === 'object' && value !== null && (value as Record<string, unknown>)[method];
    require(typeof found === 'function', row, `${name} has no method ${method}()`);
  }
}

/** W20, W21, W28: what the application asks of the body, and what it gets. */
function checkedInput(input: InputStream): InputStream {
  const size = (value: unknown): void =>
    require(value === undefined ||
      value === null ||
      Number.isInteger(value), 'W20', `the size to read is an integer, got ${describe(value)}`);
  const bytes = <T>(value: T): T => {
    require(isBytes(value), 'W28', `wsgi.input gives bytes, got ${describe(value)}`);
    return value;
  };
  const checks: Partial<Record<string | symbol, (...args: never[]) => unknown>> = {
    read(most?: number | null) {
      size(most);
      return bytes(input.read(most));
    },
    readline(most?: number | null) {
      size(most);
      return bytes(input.readline(most));
    },
    readlines(hint?: number | null) {
      size(hint);
      return input.readlines(hint).map(bytes);
    },
  };
  // The rest goes to the input itself: it may have more methods than the contract names.
  return new Proxy(input, {
    get(target, key) {
      const own = checks[key];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Bodies that the server has forgotten without closing them. */
const forgotten = new FinalizationRegistry<{ closed: boolean; errors: Environ['wsgi.errors'] }>((body) => {
  if (!body.closed) body.errors.write('GWM_CONTRACT  W52: the server never called close() of the body');
});

/** One response, checked. */
class Checked {
  private readonly environ: Environ;
  private readonly inner: StartResponse;
  private started = false;
  /** A piece that is not empty has gone to the server: headers cannot be replaced any more. */
  private sent = false;
  private code = 0;
  /** What Content-Length promises; -1 if it is not given. */
  private expected = -1;
  private bytes = 0;

  constructor(environ: Environ, startResponse: StartResponse) {
    this.environ = environ;
    this.inner = startResponse;
  }

  readonly startResponse: StartResponse = (...args: unknown[]) => {
    require(args.length === 2 || args.length === 3, 'W30', `startResponse takes 2 or 3 arguments, got ${args.length}`);
    const [status, headers, excInfo] = args as [string, readonly Header[], unknown];
    const late = excInfo !== undefined && excInfo !== null;
    require(!this.started || late, 'W33', 'startResponse was called twice without an error as third argument');
    this.started = true;
    checking('W36', () => (this.code = checkStatus(status)));
    const length = { value: -1 };
    checking('W37', () => (length.value = checkHeaders(headers)));
    for (const [name] of headers) {
      require(!isOfConnection(name), 'W38', `the header ${name} concerns the connection, which is the server's`);
    }
    if (!this.sent) this.expected = length.value;
    const bodiless = this.code === 204 || this.code === 304;
    const typed = headers.some(([name]) => name.toLowerCase() === 'content-type');
    require(!bodiless || !typed, 'W58', `a ${this.code} has no body, so no Content-Type either`);
    const write = this.inner(status, headers, ...(args.length === 3 ? [excInfo] : []));
    require(typeof write === 'function', 'W30', `startResponse returns write(), got ${describe(write)}`);
    return (...data: unknown[]): void => {
      require(data.length === 1, 'W64', `write takes one argument, got ${data.length}`);
      this.chunk(data[0]);
      write(data[0] as BodyChunk);
    };
  };

  /** What the application returned, or promises. */
  take(result: unknown): ApplicationResult {
    const kind = typeof result;
    require(kind === 'string' ||
      (kind === 'object' && result !== null) ||
      kind === 'function', 'W50', `an application returns a string, bytes or an iterable, got ${describe(result)}`);
    if (typeof result === 'string' || isBytes(result)) return this.whole([result], result);
    if (Array.isArray(result) && !('close' in result)) return this.whole(result, result as BodyChunk[]);
    const object = result as Partial<PromiseLike<unknown> & AsyncIterable<unknown> & Iterable<unknown>>;
    if (typeof object.then === 'function') {
      return Promise.resolve(object as PromiseLike<unknown>).then((value) => this.take(value) as ApplicationBody);
    }
    const state = { closed: false, errors: this.environ['wsgi.errors'] };
    const close = (): unknown => {
      require(!state.closed, 'W52', 'the server called close() of the body twice');
      state.closed = true;
      const { close: own } = object as { close?: () => unknown };
      return typeof own === 'function' ? own.call(object) : undefined;
    };
    const body = { close, ...this.iteration(object, state) };
    forgotten.register(body, state);
    return body as unknown as ApplicationBody;
  }

  /** A body that is there already. */
  private whole(pieces: readonly unknown[], result: ApplicationBody): ApplicationBody {
    for (const piece of pieces) this.chunk(piece);
    this.end();
    return result;
  }

  private iteration(
    object: Partial<AsyncIterable<unknown> & Iterable<unknown>>,
    state: { closed: boolean },
  ): Partial<AsyncIterable<BodyChunk> & Iterable<BodyChunk>> {
    let begun = false;
    const begin = (): void => {
      require(!begun, 'W50', 'the server iterated over the body twice');
      begun = true;
    };
    const step = (result: IteratorResult<unknown>): IteratorResult<BodyChunk> => {
      require(!state.closed, 'W52', 'the server asked for more of the body after close()');
      if (result.done === true) this.end();
      else this.chunk(result.value);
      return result as IteratorResult<BodyChunk>;
    };
    if (typeof object[Symbol.asyncIterator] === 'function') {
      return {
        [Symbol.asyncIterator]: () => {
          begin();
          const inner = (object as AsyncIterable<unknown>)[Symbol.asyncIterator]();
          return {
            next: async () => step(await inner.next()),
            return: async (value?: unknown) => {
              await inner.return?.(value);
              return { done: true, value: undefined };
            },
          };
        },
      };
    }
    require(typeof object[Symbol.iterator] ===
      'function', 'W50', `the body is not iterable: ${describe(object)}; return a string, bytes, an iterable or an async iterable`);
    return {
      [Symbol.iterator]: () => {
        begin();
        const inner = (object as Iterable<unknown>)[Symbol.iterator]();
        return {
          next: () => step(inner.next()),
          return: (value?: unknown) => {
            inner.return?.(value);
            return { done: true, value: undefined };
          },
        };
      },
    };
  }

  private chunk(data: unknown): asserts data is BodyChunk {
    require(typeof data === 'string' ||
      isBytes(data), 'W60', `a body is made of strings and Uint8Arrays, got ${describe(data)}`);
    const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    if (length === 0) return;
    require(this.started, 'W35', 'the body began before startResponse was called');
    this.sent = true;
    this.bytes += length;
    if (this.bodiless) return;
    require(this.expected < 0 ||
      this.bytes <= this.expected, 'W55', `the body has more bytes than Content-Length says, ${this.expected}`);
  }

  private end(): void {
    require(this.started, 'W35', 'the application returned without calling startResponse');
    if (this.expected < 0 || this.bodiless) return;
    require(this.bytes ===
      this.expected, 'W55', `the body has ${this.bytes} bytes, but Content-Length says ${this.expected}`);
  }

  private get bodiless(): boolean {
    return this.environ.REQUEST_METHOD === 'HEAD' || this.code === 204 || this.code === 304;
  }
}
