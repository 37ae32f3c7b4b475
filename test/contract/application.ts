// One application for every row of the contract: the first segment of the path names the case.

import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { Application, BodyChunk, Environ, Header } from '../../dist/index.js';

const TEXT: readonly Header[] = [['Content-Type', 'text/plain; charset=utf-8']];
const JSON_TYPE: readonly Header[] = [['Content-Type', 'application/json']];

/** What cases have noted, and who waits for it. */
const counts = new Map<string, number>();
const waiting = new Map<string, (() => void)[]>();

function note(event: string): void {
  counts.set(event, (counts.get(event) ?? 0) + 1);
  for (const wake of waiting.get(event)?.splice(0) ?? []) wake();
}

/** A body whose iteration and close() are noted under `name`. */
function watched(name: string, pieces: () => Iterator<BodyChunk>): Iterable<BodyChunk> & { close(): void } {
  return { [Symbol.iterator]: pieces, close: () => note(`${name} closed`) };
}

const plain = (environ: Environ): Record<string, unknown> =>
  Object.fromEntries(Object.entries(environ).filter(([, value]) => typeof value !== 'object'));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

class Instance {
  private readonly greeting = 'an instance';
  readonly call: Application = (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return this.greeting;
  };
}

/** A file of 100 000 bytes: each line is the offset at which it begins, in ten bytes. */
const FILE = join(mkdtempSync(join(tmpdir(), 'gwanmun-contract-file-')), 'file');
writeFileSync(FILE, Array.from({ length: 10_000 }, (_, line) => `${String(line * 10).padStart(9, '0')}\n`).join(''));
process.on('exit', () => rmSync(dirname(FILE), { recursive: true }));

const cases: Record<string, Application> = {
  // wsgi.file_wrapper
  'file-path': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return environ['wsgi.file_wrapper'](FILE);
  },
  'file-part': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    const [offset, length] = environ.QUERY_STRING.split('-').map(Number);
    return environ['wsgi.file_wrapper'](FILE, { offset, length });
  },
  'file-handle': async (environ, startResponse) => {
    const handle = await open(FILE);
    startResponse('200 OK', TEXT);
    const noted = { fd: handle.fd, close: async () => handle.close().then(() => note('handle closed')) };
    return environ['wsgi.file_wrapper'](noted, { offset: 10 });
  },
  'file-descriptor': (environ, startResponse) => {
    const fd = openSync(FILE, 'r');
    readSync(fd, Buffer.alloc(20));
    startResponse('200 OK', TEXT);
    const body = environ['wsgi.file_wrapper'](fd, 1000);
    note(`descriptor close ${typeof body.close}`);
    // It is the application's: closed when the response is over.
    return { [Symbol.iterator]: () => body[Symbol.iterator](), close: () => closeSync(fd) };
  },
  'file-position': (environ, startResponse) => {
    const fd = openSync(FILE, 'r');
    readSync(fd, Buffer.alloc(20));
    startResponse('200 OK', TEXT);
    return Object.assign(environ['wsgi.file_wrapper'](fd), { close: () => closeSync(fd) });
  },
  'file-length': (environ, startResponse) => {
    startResponse('200 OK', [...TEXT, ['Content-Length', environ.QUERY_STRING]]);
    return environ['wsgi.file_wrapper'](FILE);
  },
  'file-object': (environ, startResponse) => {
    let left = 3;
    const object = {
      read: (size: number) => Buffer.alloc(left-- > 0 ? size : 0, 'x'),
      close: () => note('object closed'),
    };
    startResponse('200 OK', TEXT);
    return environ['wsgi.file_wrapper'](object, 1000);
  },
  'file-wrapped': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    const body = environ['wsgi.file_wrapper'](FILE, { offset: 99_980, blockSize: 8 });
    return (function* upper() {
      try {
        for (const chunk of body) yield `[${Buffer.from(chunk).toString('latin1')}]`;
      } finally {
        body.close?.();
      }
    })();
  },
  'file-after-write': (environ, startResponse) => {
    startResponse('200 OK', TEXT)('first ');
    return environ['wsgi.file_wrapper'](FILE, { offset: 99_990 });
  },
  'file-none': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return environ['wsgi.file_wrapper'](`${FILE}-none`);
  },
  'file-folder': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return environ['wsgi.file_wrapper'](dirname(FILE));
  },

  // Waits until a case has noted the event of the query, and gives how often it has.
  noted: async (environ, startResponse) => {
    const event = decodeURIComponent(environ.QUERY_STRING);
    startResponse('200 OK', TEXT);
    if (!counts.has(event)) {
      await new Promise<void>((resolve) => waiting.set(event, [...(waiting.get(event) ?? []), resolve]));
    }
    // What would come too often comes now at the latest.
    await new Promise(setImmediate);
    return String(counts.get(event));
  },

  // Calling and environ
  arguments: ((...args: unknown[]) => {
    (args[1] as Parameters<Application>[1])('200 OK', TEXT);
    return String(args.length);
  }) as Application,
  instance: new Instance().call,
  async: async (_environ, startResponse) => {
    await Promise.resolve();
    startResponse('200 OK', TEXT);
    return 'async';
  },
  environ: (environ, startResponse) => {
    startResponse('200 OK', JSON_TYPE);
    return JSON.stringify({
      ...plain(environ),
      isPlain: Object.getPrototypeOf(environ) === Object.prototype,
      keys: Object.keys(environ),
      version: environ['wsgi.version'],
    });
  },
  mutate: (environ, startResponse) => {
    const before = { marked: 'test.mark' in environ, method: environ.REQUEST_METHOD ?? null };
    environ['test.mark'] = true;
    delete (environ as Partial<Environ>).REQUEST_METHOD;
    environ['HTTP_X_MARK'] = 'set by the request before';
    startResponse('200 OK', JSON_TYPE);
    return JSON.stringify(before);
  },

  // wsgi.input and wsgi.errors
  input: (environ, startResponse) => {
    const input = environ['wsgi.input'];
    const given = environ.QUERY_STRING.split(',').map((call) => {
      const [method = '', size] = call.split('=');
      const argument = size === undefined ? undefined : size === 'null' ? null : Number(size);
      if (method === 'read') return hex(input.read(argument));
      if (method === 'readline') return hex(input.readline(argument));
      if (method === 'readlines') return input.readlines(argument).map(hex);
      if (method === 'iterate') return Array.from(input, hex);
      if (method === 'types') {
        return [input.read(1), input.readline(1), ...input.readlines()].every((bytes) => bytes instanceof Uint8Array);
      }
      throw new Error(`no such call: ${method}`);
    });
    startResponse('200 OK', JSON_TYPE);
    return JSON.stringify({ given, length: environ.CONTENT_LENGTH });
  },
  unread: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return 'unread';
  },
  once: (_environ, startResponse) => {
    note('once called');
    startResponse('204 No Content', []);
    return [];
  },
  hash: (environ, startResponse) => {
    const body = environ['wsgi.input'].read();
    startResponse('200 OK', TEXT);
    return `${environ.CONTENT_LENGTH} ${createHash('sha256').update(body).digest('hex')}`;
  },
  errors: (environ, startResponse) => {
    const errors = environ['wsgi.errors'];
    errors.write('one word');
    errors.writelines(['first of several\n', 'second of several\n']);
    errors.write('\udc80☃ \u0007 not text at all');
    errors.flush();
    startResponse('200 OK', TEXT);
    return 'written';
  },

  // startResponse
  write: (_environ, startResponse) => {
    const write = startResponse('200 OK', TEXT);
    write('written, ');
    write(Buffer.from('also bytes, '));
    return ['then the iterable'];
  },
  'write-slowly': async (environ, startResponse) => {
    const write = startResponse('200 OK', TEXT);
    write('first');
    await until(`release ${environ.QUERY_STRING}`);
    write('second');
    return [];
  },
  release: (environ, startResponse) => {
    note(`release ${environ.QUERY_STRING}`);
    startResponse('204 No Content', []);
    return [];
  },
  replaced: (_environ, startResponse) => {
    startResponse('200 OK', [['X-Case', 'first']]);
    return (function* () {
      yield '';
      startResponse('503 Service Unavailable', [['X-Case', 'second']], new Error('found out late'));
      yield 'sorry';
    })();
  },
  'start-in-iteration': function* (_environ, startResponse) {
    startResponse('202 Accepted', TEXT);
    yield 'started while iterating';
  },
  'start-twice': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    startResponse('200 OK', TEXT);
    return 'never sent';
  },
  'start-twice-after-fault': (_environ, startResponse) => {
    try {
      startResponse('200 OK', [['Bad name', 'x']]);
    } catch {
      // As an application that swallows errors would.
    }
    startResponse('200 OK', TEXT);
    return 'never sent';
  },
  'exc-info-late': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return (function* () {
      yield 'sent already';
      try {
        throw new RangeError('the reason of W34');
      } catch (error) {
        startResponse('500 Internal Server Error', TEXT, error);
      }
      yield 'never sent';
    })();
  },
  'exc-info-nothing': (environ, startResponse) => {
    startResponse('200 OK', TEXT, environ.QUERY_STRING === 'null' ? null : undefined);
    return 'no error';
  },
  'no-start': () => 'never sent',
  'reason-of-pieces': function* pieces(_environ, startResponse) {
    startResponse('299 In Pieces', TEXT);
    yield 'a';
    yield 'b';
  },
  'reason-of-file': (environ, startResponse) => {
    startResponse('200 A File', TEXT);
    return environ['wsgi.file_wrapper'](FILE);
  },
  'errors-in-close': (environ, startResponse) => {
    const errors = environ['wsgi.errors'];
    startResponse('200 OK', TEXT);
    return {
      *[Symbol.iterator]() {
        yield 'a piece';
      },
      close: () => {
        errors.write('written in close\n');
        throw new Error('close itself fails');
      },
    };
  },
  status: (environ, startResponse) => {
    startResponse(decodeURIComponent(environ.QUERY_STRING), [['Content-Length', '0']]);
    return [];
  },
  header: (environ, startResponse) => {
    const headers = JSON.parse(decodeURIComponent(environ.QUERY_STRING)) as Header[];
    let refusal = '';
    try {
      startResponse('200 OK', headers);
    } catch (error) {
      refusal = (error as Error).message;
      // The call failed, and that is reported to the client of the test.
      startResponse('200 OK', TEXT, error);
    }
    return refusal;
  },
  'header-list-changed': (_environ, startResponse) => {
    const headers: Header[] = [['X-Case', 'as given']];
    startResponse('200 OK', headers);
    headers[0] = ['X-Case', 'changed'];
    headers.push(['X-Late', 'added']);
    return 'sent';
  },
  cookies: (_environ, startResponse) => {
    startResponse('200 OK', [
      ['Set-Cookie', 'a=1'],
      ['X-Between', 'x'],
      ['Set-Cookie', 'b=2'],
    ]);
    return '';
  },
  'date-and-server': (_environ, startResponse) => {
    startResponse('200 OK', [
      ['date', 'Sun, 06 Nov 1994 08:49:37 GMT'],
      ['SERVER', 'mine'],
    ]);
    return '';
  },

  // Bodies
  body: (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    const pieces = ['a', Buffer.from('b'), '', 'ç'];
    switch (environ.QUERY_STRING) {
      case 'string':
        return 'abç';
      case 'bytes':
        return Buffer.from('abç');
      case 'array':
        return pieces;
      case 'set':
        return new Set(pieces);
      case 'generator':
        return (function* () {
          yield* pieces;
        })();
      case 'async-generator':
        return (async function* () {
          yield* pieces;
        })();
      case 'promise':
        return Promise.resolve(pieces);
      default:
        return 5 as unknown as string;
    }
  },
  stepwise: (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return (async function* () {
      yield 'first';
      await until(`release ${environ.QUERY_STRING}`);
      yield 'second';
    })();
  },
  closed: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return watched('normal', ['a', 'b'][Symbol.iterator].bind(['a', 'b']));
  },
  'closed-after-fault': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return watched('faulty', function* () {
      yield 'a';
      throw new Error('the fault of W52');
    });
  },
  'closed-head': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return watched('head', function* () {
      yield 'a';
      yield 'b';
    });
  },
  'closed-abort': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return watched('aborted', function* () {
      for (;;) yield 'x'.repeat(65_536);
    });
  },
  'closed-surplus': (_environ, startResponse) => {
    startResponse('200 OK', [['Content-Length', '2']]);
    return watched('surplus', function* () {
      yield 'ab';
      note('surplus asked for more');
      yield 'cd';
    });
  },
  'close-fails': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return {
      *[Symbol.iterator]() {
        yield 'whole';
      },
      close() {
        throw new Error('close() failed for W52');
      },
    };
  },
  touched: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    const touched: string[] = [];
    const body = (function* () {
      yield 'body; touched: ';
      yield touched.join(' ');
    })();
    return new Proxy(body, {
      get(target, key) {
        touched.push(String(key));
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  },
  one: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return ['one piece'];
  },
  'too-much': (_environ, startResponse) => {
    startResponse('200 OK', [['Content-Length', '4']]);
    return ['abcd', 'efgh'];
  },
  'write-too-much': (_environ, startResponse) => {
    const write = startResponse('200 OK', [['Content-Length', '4']]);
    try {
      write('abcdef');
    } catch (error) {
      note(`refused: ${(error as Error).message.slice(0, 31)}`);
    }
    return [];
  },
  'too-little': (_environ, startResponse) => {
    startResponse('200 OK', [['Content-Length', '10']]);
    return ['abcd'];
  },
  'no-length': function* (_environ, startResponse) {
    startResponse('200 OK', TEXT);
    yield 'one ';
    yield 'two';
  },
  'with-length': (_environ, startResponse) => {
    startResponse('200 OK', [['Content-Length', '7']]);
    return (function* () {
      yield 'abc';
      yield 'defg';
    })();
  },
  bodiless: (environ, startResponse) => {
    startResponse(environ.QUERY_STRING === '204' ? '204 No Content' : '304 Not Modified', [['Content-Length', '5']]);
    return 'hello';
  },
  'wrong-piece': (environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return (function* () {
      if (environ.QUERY_STRING === 'late') yield 'sent';
      yield 5 as unknown as string;
    })();
  },
  throws: () => {
    throw new Error('secret of the application');
  },
  rejects: async () => {
    throw new Error('secret of the promise');
  },
  'throws-late': (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return (function* () {
      yield 'so far';
      throw new Error('secret of the generator');
    })();
  },
  exits: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    process.exit(3);
  },
  thread: (_environ, startResponse) => {
    startResponse('200 OK', TEXT);
    return `${process.pid} ${threadId}`;
  },
  interleaved: (environ, startResponse) => {
    startResponse('200 OK', [['X-Query', environ.QUERY_STRING]]);
    return (async function* () {
      for (let i = 0; i < 5; i++) {
        yield `${environ.QUERY_STRING} `;
        await new Promise(setImmediate);
      }
    })();
  },
};

/** Waits until an event is noted. */
function until(event: string): Promise<void> {
  if (counts.has(event)) return Promise.resolve();
  return new Promise((resolve) => waiting.set(event, [...(waiting.get(event) ?? []), resolve]));
}

export const application: Application = (environ, startResponse) => {
  const [, name = ''] = environ.PATH_INFO.split('/');
  const found = Object.hasOwn(cases, name) ? cases[name] : undefined;
  if (found === undefined) {
    startResponse('404 Not Found', TEXT);
    return `no case ${name}`;
  }
  return found(environ, startResponse);
};
