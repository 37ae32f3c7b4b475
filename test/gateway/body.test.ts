/* oxlint-disable unicorn/no-thenable, unicorn/no-unnecessary-await -- odd applications are what is tested */
/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import type { Application, ApplicationResult } from '../../src/gateway/types.js';
import { request, reset, worker } from './fake-link.js';

/** An application that returns `body()`. */
const returning =
  (body: () => unknown, headers: [string, string][] = []): Application =>
  (_environ, startResponse) => {
    startResponse('200 OK', headers);
    return body() as ApplicationResult;
  };

async function answer(body: () => unknown, headers: [string, string][] = [], method = 'GET') {
  const { link } = worker(returning(body, headers), { hello: { window: 1_000_000 } });
  link.deliver(request({ method }));
  return { ...(await link.ended()), link };
}

/** An iterable that counts how it is used. */
function counting(chunks: readonly unknown[], close: () => unknown = () => undefined) {
  const counts = { next: 0, close: 0 };
  return {
    counts,
    *[Symbol.iterator](): Generator<unknown> {
      for (const chunk of chunks) {
        counts.next += 1;
        yield chunk;
      }
    },
    close(): unknown {
      counts.close += 1;
      return close();
    },
  };
}

describe('what an application returns', () => {
  const kinds: [string, () => unknown][] = [
    ['a string', () => 'hé☃'],
    ['bytes', () => Buffer.from('hé☃')],
    ['an array', () => ['h', Buffer.from('é'), '', '☃']],
    ['an array of one', () => ['hé☃']],
    ['a set', () => new Set(['h', 'é☃'])],
    ['a generator', () => ['h', 'é', '☃'].values()],
    [
      'an async generator',
      async function* chunks() {
        yield 'h';
        yield '';
        yield Buffer.from('é☃');
      },
    ],
    ['a promise of a string', async () => 'hé☃'],
    ['a promise of a generator', async () => ['hé', '☃'].values()],
    ['a promise of an async iterable', async () => Readable.from([Buffer.from('hé'), Buffer.from('☃')])],
    ['a Node stream', () => Readable.from([Buffer.from('hé☃')])],
    ['a thenable', () => ({ then: (resolve: (value: string) => void) => resolve('hé☃') })],
    [
      'an iterator that is a function',
      () => Object.assign(() => undefined, { [Symbol.iterator]: () => ['hé☃'].values() }),
    ],
  ];
  test.each(kinds)('W50 may be %s', async (_what, body) => {
    const { status, body: bytes, reset } = await answer(body);
    expect([status, bytes.toString(), reset]).toEqual([200, 'hé☃', undefined]);
  });

  test('W54 a whole body is one frame, which tells the core its length', async () => {
    for (const body of [
      '',
      'text',
      Buffer.alloc(0),
      Buffer.alloc(60_000, 'x'),
      [],
      ['a'],
      ['a', Buffer.from('b')],
      'x'.repeat(60_000),
      '☃'.repeat(15_000),
    ]) {
      const { link, kinds } = await answer(() => body);
      expect(kinds).toEqual([f.KIND_HEAD]);
      expect(link.frames[0]!.flags).toBe(f.FLAG_END);
    }
  });

  test('W54 a whole body of several frames has a Content-Length', async () => {
    const bytes = Buffer.alloc(300_001, 'abc');
    for (const body of [bytes, bytes.toString(), [bytes], ['x', bytes.subarray(1)], '☃'.repeat(40_000)]) {
      const got = await answer(() => body, [['X', 'y']]);
      const length = Array.isArray(body) ? 300_001 : Buffer.byteLength(body as string);
      expect(got.headers).toEqual(['X: y', `Content-Length: ${length}`]);
      expect(got.body.length).toBe(length);
    }
    expect((await answer(() => bytes)).body.equals(bytes)).toBe(true);
    expect((await answer(() => bytes, [['content-length', '300001']])).headers).toEqual(['content-length: 300001']);
  });

  test('a lone surrogate becomes a replacement character', async () => {
    expect((await answer(() => ['\ud800', 'x'])).body.toString()).toBe('\ufffdx');
  });

  test('many requests of one batch leave in one flush', () => {
    const { link } = worker(returning(() => 'ok'));
    link.deliver(...Array.from({ length: 32 }, (_, index) => request({ stream: index + 1, sequence: index + 1 })));
    expect(link.flushes).toEqual([32]);
    for (let stream = 1; stream <= 32; stream++) expect(link.answer(stream).body.toString()).toBe('ok');
  });

  test('applications that answer in one turn share a flush', async () => {
    const { link } = worker(
      returning(async () => {
        await null;
        return 'ok';
      }),
    );
    link.deliver(...Array.from({ length: 8 }, (_, index) => request({ stream: index + 1, sequence: index + 1 })));
    expect(link.flushes).toEqual([]);
    await link.ended(8);
    expect(link.flushes).toHaveLength(1);
  });

  test('more than the outgoing buffer holds is sent in several flushes, in order', () => {
    const { link } = worker(
      returning(() => Buffer.alloc(50_000, 'x')),
      { hello: { window: 100_000 } },
    );
    link.deliver(...Array.from({ length: 20 }, (_, index) => request({ stream: index + 1, sequence: index + 1 })));
    for (let stream = 1; stream <= 20; stream++) expect(link.answer(stream).body.length).toBe(50_000);
    expect(link.flushes.length).toBeGreaterThan(3);
  });
});

describe('streaming', () => {
  test('W51 a chunk is on its way before the next is asked for', async () => {
    const seen: string[] = [];
    for (const isAsync of [false, true]) {
      const { link } = worker((_environ, startResponse) => {
        startResponse('200 OK', []);
        const state = (): void => void seen.push(link.answer().body.toString());
        if (isAsync)
          return (async function* chunks() {
            yield 'a';
            state();
            yield 'b';
            state();
          })();
        return (function* chunks() {
          yield 'a';
          state();
          yield 'b';
          state();
        })();
      });
      link.deliver(request());
      await link.ended();
    }
    expect(seen).toEqual(['a', 'ab', 'a', 'ab']);
  });

  test('W51 a body that never ends leaves the event loop to others', async () => {
    for (const endless of [
      function* endless() {
        for (;;) yield 'x';
      },
      async function* endless() {
        for (;;) yield 'x';
      },
    ]) {
      const { link } = worker(returning(endless), { hello: { window: 2 ** 30 } });
      link.deliver(request());
      await new Promise((resolve) => setTimeout(resolve, 1));
      link.deliver(reset(1));
      expect(link.answer()).toMatchObject({ status: 200, ended: true });
      expect(link.answer().body.length).toBeGreaterThan(0);
    }
  });

  test('streams of several requests share their flushes', async () => {
    const { link } = worker(returning(() => ['a', 'b', 'c'].values()));
    link.deliver(...Array.from({ length: 10 }, (_, index) => request({ stream: index + 1, sequence: index + 1 })));
    await link.ended(10);
    for (let stream = 1; stream <= 10; stream++) expect(link.answer(stream).body.toString()).toBe('abc');
    expect(link.flushes).toHaveLength(4);
  });

  test('a long body of an iterator is split into frames', async () => {
    const { body, kinds } = await answer(() => [Buffer.alloc(200_000, 'ab')].values());
    expect(body.length).toBe(200_000);
    expect(kinds).toEqual([f.KIND_HEAD, f.KIND_DATA, f.KIND_DATA, f.KIND_DATA, f.KIND_DATA, f.KIND_END]);
  });
});

describe('close()', () => {
  test('W52 is called once at the end, for any kind of result', async () => {
    for (const chunks of [[], ['a'], ['a', '', 'b']]) {
      const body = counting(chunks);
      await answer(() => body);
      expect(body.counts).toEqual({ next: chunks.length, close: 1 });
    }
    let closed = 0;
    await answer(() => Object.assign(['a', 'b'], { close: () => void (closed += 1) }));
    await answer(async () => Object.assign(['a', 'b'], { close: () => void (closed += 1) }));
    await answer(() =>
      Object.assign(
        (async function* chunks() {
          yield 'x';
        })(),
        { close: () => void (closed += 1) },
      ),
    );
    expect(closed).toBe(3);
  });

  test('W52 is called once when iteration fails', async () => {
    const body = counting(['a', 5]);
    expect((await answer(() => body)).reset).toBe(1);
    expect(body.counts.close).toBe(1);
    let closed = 0;
    const failing = (): unknown => ({
      [Symbol.iterator]: () => ({
        next: () => {
          throw new Error('in next');
        },
      }),
      close: () => void (closed += 1),
    });
    expect((await answer(failing)).reset).toBe(1);
    expect(closed).toBe(1);
  });

  test('an iterator that threw is over: it is not returned from', async () => {
    let returned = 0;
    for (const isAsync of [false, true]) {
      const iterator = {
        next: (): never => {
          throw new Error('in next');
        },
        return: () => ({ value: void (returned += 1), done: true }),
      };
      const { reset: reason } = await answer(() => ({
        [isAsync ? Symbol.asyncIterator : Symbol.iterator]: () => iterator,
      }));
      expect(reason).toBe(1);
    }
    expect(returned).toBe(0);
  });

  test('W52 is called once when the result cannot even be iterated', async () => {
    let closed = 0;
    const close = (): void => void (closed += 1);
    expect((await answer(() => ({ close }))).reset).toBe(1);
    expect(
      (
        await answer(() => ({
          [Symbol.iterator]: () => {
            throw new Error('no');
          },
          close,
        }))
      ).reset,
    ).toBe(1);
    expect((await answer(() => Object.assign([5], { close }))).reset).toBe(1);
    expect(closed).toBe(3);
  });

  test('W52 is called when startResponse was not', async () => {
    const body = counting(['a']);
    const { link } = worker(() => body as unknown as Iterable<string>);
    link.deliver(request());
    expect(link.answer().reset).toBe(1);
    expect(body.counts.close).toBe(1);
  });

  test('W52 what close() throws or rejects with is logged and changes nothing', async () => {
    for (const close of [
      () => {
        throw new Error('close failed');
      },
      async () => {
        throw new Error('close failed');
      },
    ]) {
      const { reset, body, link } = await answer(() => counting(['a'], close));
      const logs = (): string[] => link.logs(f.LOG_ERROR + f.LOG_NAMED);
      await link.until(() => logs().length > 0);
      expect([reset, body.toString()]).toEqual([undefined, 'a']);
      expect(logs()[0]).toMatch(/^GET \/\nError: close failed/);
    }
  });

  test('W52 a generator that is not read to its end is returned from', async () => {
    let finished = 0;
    const chunks = function* chunks(): Generator<string> {
      try {
        yield 'abc';
        yield 'def';
      } finally {
        finished += 1;
      }
    };
    const { body } = await answer(chunks, [['Content-Length', '3']]);
    expect([body.toString(), finished]).toEqual(['abc', 1]);
  });

  test('W53 nothing but iteration, then and close is asked of a result', async () => {
    const asked = new Set<PropertyKey>();
    const body = new Proxy(counting(['a']), {
      get(target, key, receiver) {
        asked.add(key);
        return Reflect.get(target, key, receiver);
      },
    });
    await answer(() => body);
    asked.delete('counts');
    expect(asked).toEqual(new Set(['then', Symbol.asyncIterator, Symbol.iterator, 'close']));
  });
});

describe('Content-Length', () => {
  const surplus: [string, () => unknown][] = [
    ['a string', () => 'abcdef'],
    ['bytes', () => Buffer.from('abcdef')],
    ['an array', () => ['ab', 'cdef']],
    ['an iterator', () => ['ab', 'cdef', 'never'].values()],
    [
      'an async iterator',
      async function* chunks() {
        yield Buffer.from('ab');
        yield Buffer.from('cdef');
      },
    ],
  ];
  test.each(surplus)('W55 what %s has beyond it is not sent', async (_what, body) => {
    const { body: bytes, reset } = await answer(body, [['Content-Length', '3']]);
    expect([bytes.toString(), reset]).toEqual(['abc', undefined]);
  });

  test('W55 iteration stops there', async () => {
    const body = counting(['ab', 'cd', 'ef']);
    await answer(() => body, [['Content-Length', '4']]);
    expect(body.counts).toEqual({ next: 2, close: 1 });
  });

  test('W55 of 0 sends no body', async () => {
    const body = counting(['ab', 'cd']);
    const { body: bytes, headers } = await answer(() => body, [['Content-Length', '0']]);
    expect([bytes.length, headers, body.counts.close]).toEqual([0, ['Content-Length: 0'], 1]);
  });
});

describe('responses without a body', () => {
  test('W57 HEAD: an iterable is not iterated, but closed, and its headers are sent', async () => {
    const body = counting(['a', 'b']);
    const { status, body: bytes, headers, kinds } = await answer(() => body, [['X', 'y']], 'HEAD');
    expect([status, bytes.length, headers]).toEqual([200, 0, ['X: y']]);
    expect(body.counts).toEqual({ next: 0, close: 1 });
    // Not a whole response: the core must not conclude that a GET has no bytes.
    expect(kinds).toEqual([f.KIND_HEAD, f.KIND_END]);
  });

  test('W57 HEAD: a generator is asked until it has called startResponse', async () => {
    let asked = 0;
    for (const isAsync of [false, true]) {
      const { link } = worker((_environ, startResponse) => {
        if (isAsync)
          return (async function* chunks() {
            asked += 1;
            startResponse('404 Not Found', []);
            yield 'a';
            asked += 1;
            yield 'b';
          })();
        return (function* chunks() {
          asked += 1;
          startResponse('404 Not Found', []);
          yield 'a';
          asked += 1;
          yield 'b';
        })();
      });
      link.deliver(request({ method: 'HEAD' }));
      expect(await link.ended()).toMatchObject({ status: 404, reset: undefined });
    }
    expect(asked).toBe(2);
  });

  test('W57 HEAD: a whole body goes to the core, which counts and drops it', async () => {
    expect((await answer(() => 'four', [], 'HEAD')).body.length).toBe(4);
    const long = await answer(() => Buffer.alloc(200_000), [], 'HEAD');
    expect([long.headers, long.body.length]).toEqual([['Content-Length: 200000'], 0]);
  });

  test('W58 204 and 304: an iterable is not iterated', async () => {
    for (const status of ['204 No Content', '304 Not Modified']) {
      const body = counting(['a']);
      const { link } = worker((_environ, startResponse) => {
        startResponse(status, []);
        return body as unknown as Iterable<string>;
      });
      link.deliver(request());
      expect((await link.ended()).body.length).toBe(0);
      expect(body.counts).toEqual({ next: 0, close: 1 });
    }
  });
});

describe('failures', () => {
  test.each([
    ['a number', 5],
    ['null', null],
    ['an ArrayBuffer', new ArrayBuffer(2)],
    ['a Uint16Array', new Uint16Array(2)],
    ['a promise', Promise.resolve('x')],
    ['an array', ['x']],
  ])('W60 a chunk that is %s is an error', async (what, chunk) => {
    for (const body of [() => [chunk], () => ['', chunk], () => [chunk].values()]) {
      const { status, reset, link } = await answer(body);
      expect([status, reset]).toEqual([0, 1]);
      expect(link.logs()[0]).toContain(what === 'a number' ? '5' : 'the application gave');
    }
    const late = await answer(() => ['x', chunk].values());
    expect([late.status, late.reset, late.body.toString()]).toEqual([200, 1, 'x']);
  });

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
    ['an object', {}],
  ])('W50 a result that is %s is an error that says what to return', async (_what, result) => {
    for (const body of [() => result, async () => result]) {
      const { reset, link } = await answer(body);
      expect(reset).toBe(1);
      expect(link.logs()[0]).toContain('it must return a string');
    }
  });

  test('W61 an error before the headers: the stack goes to the log, RESET to the core', async () => {
    const fail = (): never => {
      throw new Error('boom', { cause: new Error('root') });
    };
    const rejecting = async (): Promise<never> => fail();
    const generator = function* chunks(): Generator<string> {
      yield '';
      fail();
    };
    for (const body of [fail, rejecting, generator]) {
      const { status, reset, link } = await answer(body as never);
      expect([status, reset]).toEqual([0, f.RESET_APPLICATION_ERROR]);
      expect(link.logs()[0]).toMatch(/boom[^]*body\.test\.ts[^]*root/);
    }
  });

  test('W62 an error after the headers: never a clean end', async () => {
    const { status, reset, body, link } = await answer(async function* chunks() {
      yield 'part';
      throw new Error('boom');
    });
    expect([status, body.toString(), reset]).toEqual([200, 'part', f.RESET_APPLICATION_ERROR]);
    expect(link.logs()[0]).toContain('boom');
  });

  test('W61 anything may be thrown', async () => {
    const evil = {
      get [Symbol.toStringTag](): string {
        throw new Error('no');
      },
    };
    for (const thrown of [undefined, null, 'text', 5, Symbol('s'), evil]) {
      const { link } = worker(() => {
        throw thrown;
      });
      link.deliver(request());
      expect(link.answer().reset).toBe(1);
      expect(link.logs()).toHaveLength(1);
    }
  });

  test('one application that fails does not touch the other requests of the batch', () => {
    const { link } = worker((environ, startResponse) => {
      if (environ.PATH_INFO === '/bad') throw new Error('bad');
      startResponse('200 OK', []);
      return 'ok';
    });
    link.deliver(request({ stream: 1 }), request({ stream: 2, pathInfo: '/bad' }), request({ stream: 3 }));
    expect([1, 2, 3].map((stream) => link.answer(stream).reset)).toEqual([undefined, 1, undefined]);
  });
});

test('W67 AsyncLocalStorage does not leak from one request of a batch into the next', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const { link } = worker((environ, startResponse) => {
    seen.push(storage.getStore());
    storage.enterWith(environ.PATH_INFO);
    startResponse('200 OK', []);
    return (async function* chunks() {
      yield 'a';
      await null;
      yield storage.getStore() ?? 'none';
    })();
  });
  link.deliver(request({ stream: 1, pathInfo: '/0' }), request({ stream: 2, pathInfo: '/1' }));
  await link.ended(1);
  await link.ended(2);
  expect(seen).toEqual([undefined, undefined]);
  expect([link.answer(1).body.toString(), link.answer(2).body.toString()]).toEqual(['a/0', 'a/1']);
});
