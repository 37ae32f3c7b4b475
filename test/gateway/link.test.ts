/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { fstatSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Dispatcher } from '../../src/gateway/dispatcher.js';
import * as f from '../../src/gateway/frame.js';
import type { Application, ApplicationResult } from '../../src/gateway/types.js';
import { FakeLink, frame, hello, request, requestFrames, reset, worker } from './fake-link.js';

const ok: Application = (_environ, startResponse) => {
  startResponse('200 OK', []);
  return 'ok';
};

/** A promise and its ends. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

describe('handshake', () => {
  test('the worker says HELLO at once and READY when its applications are loaded', () => {
    const links: FakeLink[] = [];
    class Link extends FakeLink {
      constructor(...args: ConstructorParameters<typeof FakeLink>) {
        super(...args);
        links.push(this);
      }
    }
    const dispatcher = new Dispatcher({
      applications: [ok],
      name: 'node ☃',
      concurrency: 7,
      onDrained() {},
      native: { Link },
    });
    const memory = new ArrayBuffer(f.MARK_PAGE + 2 * f.SHARED_BUFFERS * f.SHARED_BUFFER);
    dispatcher.addLink(4, memory, 0);
    const [greeting] = links[0]!.frames;
    expect(greeting).toMatchObject({ kind: f.KIND_HELLO, stream: 0, extra: 0 });
    expect([0, 4, 8, 12].map((at) => greeting!.payload.readUInt32LE(at))).toEqual([
      1,
      1,
      7,
      f.CAPABILITY_CLOSED | f.CAPABILITY_SHARED,
    ]);
    expect(greeting!.payload.subarray(16).toString()).toBe('node ☃');
    links[0]!.deliver(hello());
    expect(links[0]!.frames).toHaveLength(1);
    dispatcher.ready();
    expect(links[0]!.frames.map((one) => one.kind)).toEqual([f.KIND_HELLO, f.KIND_READY]);
    dispatcher.addLink(5, memory, 1);
    expect(links[1]!.frames.map((one) => one.kind)).toEqual([f.KIND_HELLO, f.KIND_READY]);
  });

  test('ref and unref reach every link', () => {
    const { dispatcher, links } = worker(ok, { links: 2 });
    dispatcher.unref();
    expect(links.map((link) => link.referenced)).toEqual([false, false]);
    dispatcher.ref();
    expect(links.map((link) => link.referenced)).toEqual([true, true]);
  });
});

describe('requests', () => {
  test('go to the application of their index', () => {
    const say =
      (text: string): Application =>
      (_environ, startResponse) => {
        startResponse('200 OK', []);
        return text;
      };
    const { link } = worker(ok, { applications: [say('zero'), say('one')] });
    link.deliver(request({ stream: 1, application: 1 }), request({ stream: 2, application: 0, sequence: 2 }));
    expect([link.answer(1).body.toString(), link.answer(2).body.toString()]).toEqual(['one', 'zero']);
  });

  test('links are independent of each other', () => {
    const { links, marks } = worker(ok, { links: 2 });
    links[1]!.deliver(request({ sequence: 5 }));
    expect([marks[0], marks[16]]).toEqual([0, 5]);
    expect([links[0]!.frames.length, links[1]!.answer().ended]).toEqual([0, true]);
  });

  test('W67 a stream number is used again after both sides have ended', () => {
    const { link } = worker((environ, startResponse) => {
      startResponse('200 OK', []);
      return environ.PATH_INFO;
    });
    for (let sequence = 1; sequence <= 5; sequence++) {
      link.deliver(request({ sequence, pathInfo: `/${sequence}` }));
      expect(link.answer().body.toString()).toBe(`/${sequence}`);
      link.forget();
    }
  });
});

describe('the started mark', () => {
  test('is stored before the application is called', () => {
    const seen: number[] = [];
    const { link, marks } = worker((_environ, startResponse) => {
      seen.push(marks[0]!);
      startResponse('200 OK', []);
      return '';
    });
    link.deliver(request({ stream: 1, sequence: 1 }), request({ stream: 2, sequence: 2 }));
    expect(seen).toEqual([1, 2]);
  });

  test('does not go back when a body completes after a later request', () => {
    const { link, marks } = worker(ok);
    const [head, data] = requestFrames({ stream: 1, sequence: 1, body: 'x' });
    link.deliver(head!);
    expect(marks[0]).toBe(0);
    link.deliver(request({ stream: 2, sequence: 2 }));
    expect(marks[0]).toBe(2);
    link.deliver(data!);
    expect(link.answer(1).ended).toBe(true);
    expect(marks[0]).toBe(2);
  });

  test('goes on over the end of the 32 bits', () => {
    const { link, marks } = worker(ok);
    marks[0] = 0xffff_fffe | 0;
    link.deliver(
      request({ sequence: 0xffff_ffff }),
      request({ stream: 2, sequence: 0 }),
      request({ stream: 3, sequence: 1 }),
    );
    expect(marks[0]).toBe(1);
  });
});

describe('a client that has gone', () => {
  test('before the body is complete: the application is not called, the stream is ended', () => {
    let called = 0;
    const { link } = worker((...args) => ((called += 1), ok(...args)));
    const [head] = requestFrames({ body: 'abc' });
    link.deliver(head!, reset(1));
    expect([called, link.answer().reset]).toEqual([0, f.RESET_CLIENT_GONE]);
    link.forget();
    link.deliver(request({ sequence: 2 }));
    expect(link.answer().status).toBe(200);
  });

  test('while the application works: the stream is ended when it has returned, and close() is called', async () => {
    const result = deferred<ApplicationResult>();
    let closed = 0;
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return result.promise as Promise<string>;
    });
    link.deliver(request());
    link.deliver(reset(1));
    expect(link.answer().ended).toBe(false);
    result.resolve(Object.assign(['late'], { close: () => void (closed += 1) }) as never);
    expect(await link.ended()).toMatchObject({ status: 0, reset: f.RESET_CLIENT_GONE });
    expect(closed).toBe(1);
  });

  test('while the application works and then fails: the error is logged', async () => {
    const result = deferred<string>();
    const { link } = worker(() => result.promise);
    link.deliver(request());
    link.deliver(reset(1));
    result.reject(new Error('after the client'));
    expect((await link.ended()).ended).toBe(true);
    expect(link.logs()[0]).toContain('after the client');
  });

  test('W52 while the body streams: its generator is returned from, close() is called once', async () => {
    for (const isAsync of [false, true]) {
      const events: string[] = [];
      const first = deferred<void>();
      const iterate = isAsync
        ? async function* chunks(): AsyncGenerator<string> {
            try {
              yield 'a';
              first.resolve();
              await new Promise((resolve) => setImmediate(resolve));
              yield 'b';
            } finally {
              events.push('finally');
            }
          }
        : function* chunks(): Generator<string> {
            try {
              yield 'a';
              yield 'b';
            } finally {
              events.push('finally');
              first.resolve();
            }
          };
      const { link } = worker((_environ, startResponse) => {
        startResponse('200 OK', []);
        return Object.assign(iterate(), { close: () => void events.push('close') });
      });
      link.deliver(request());
      if (isAsync) await first.promise;
      link.deliver(reset(1), reset(1));
      expect(link.answer()).toMatchObject({ status: 200, reset: f.RESET_CLIENT_GONE });
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      expect(events.toSorted()).toEqual(['close', 'finally']);
      expect(link.logs()).toEqual([]);
    }
  });

  test('a RESET for a stream that has ended is no fault', () => {
    const { link, faults } = worker(ok);
    link.deliver(request(), reset(1), reset(78));
    expect([link.answer().body.toString(), faults]).toEqual(['ok', []]);
  });
});

describe('protocol errors', () => {
  const broken: [string, Buffer[]][] = [
    ['stream 0', [request({ stream: 0 })]],
    ['an unknown kind', [frame(99, 0, 0, 0)]],
    ['a reserved kind', [frame(8, 0, 1, 0)]],
    ['a stream that is open', [requestFrames({ body: 'x' })[0]!, request()]],
    ['an application that is not there', [request({ application: 3 })]],
    [
      'a body that is too long',
      [requestFrames({ body: 'x' })[0]!, frame(f.KIND_DATA, f.FLAG_END, 1, 0, Buffer.from('xy'))],
    ],
    [
      'a body that is too short',
      [requestFrames({ body: 'xyz' })[0]!, frame(f.KIND_DATA, f.FLAG_END, 1, 0, Buffer.from('xy'))],
    ],
    ['an END without the body', [requestFrames({ body: 'xyz' })[0]!, frame(f.KIND_END, f.FLAG_END, 1, 0)]],
    ['a descriptor that is missing', [request({ fd: 5, fileLength: 5 })]],
    ['another version', [frame(f.KIND_HELLO, 0, 0, 0, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))]],
    ['a shared buffer that is not there', [frame(f.KIND_DATA, f.FLAG_SHARED, 1, f.SHARED_BUFFERS * 65_536 + 1)]],
    ['a piece that is longer than its shared buffer', [frame(f.KIND_DATA, f.FLAG_SHARED, 1, 65_521)]],
    ['a frame without a size', [Buffer.alloc(16)]],
  ];
  test.each(broken)('%s closes the link and is reported', async (_what, frames) => {
    const { link, faults, drained } = worker(ok);
    link.deliver(...frames, request({ stream: 6, sequence: 9 }));
    await drained;
    expect(link.closed).toBe(true);
    expect(faults).toHaveLength(1);
    expect(link.logs()[0]).toContain('gateway protocol');
    expect(link.answer(6).status).toBe(0);
  });
});

describe('the end', () => {
  test('without open streams the link closes at once', async () => {
    const { link, drained, faults } = worker(ok);
    link.onClose(null);
    await drained;
    expect([link.closed, faults]).toEqual([true, []]);
  });

  test('open streams are finished first', async () => {
    const result = deferred<string>();
    const { link, drained } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return result.promise;
    });
    link.deliver(request());
    link.onClose(null);
    expect(link.closed).toBe(false);
    result.resolve('finished');
    await drained;
    expect(link.answer().body.toString()).toBe('finished');
  });

  test('a body that streams within its credit is finished', async () => {
    const { link, drained } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return ['a', 'b', 'c'].values();
    });
    link.deliver(request());
    link.onClose(null);
    await drained;
    expect(link.answer()).toMatchObject({ ended: true, reset: undefined });
    expect(link.answer().body.toString()).toBe('abc');
  });

  test('a body beyond its credit is given up: credit cannot come', async () => {
    for (const when of ['blocked already', 'blocked later']) {
      const later = deferred<void>();
      const { link, drained } = worker(
        (_environ, startResponse) => {
          startResponse('200 OK', []);
          return (async function* chunks() {
            yield '0123';
            if (when === 'blocked later') await later.promise;
            yield '456';
          })();
        },
        { hello: { window: 5 } },
      );
      link.deliver(request());
      await link.until(() => link.answer().body.length === (when === 'blocked later' ? 4 : 5));
      link.onClose(null);
      later.resolve();
      await drained;
      expect(link.answer()).toMatchObject({ status: 200, reset: f.RESET_CLIENT_GONE });
    }
  });

  test('a request whose body is incomplete is dropped', async () => {
    const { link, drained } = worker(ok);
    link.deliver(requestFrames({ body: 'abc' })[0]!);
    link.onClose(null);
    await drained;
    expect(link.answer().reset).toBe(f.RESET_CLIENT_GONE);
  });

  test('drained comes after the last link', async () => {
    const { links, drained } = worker(ok, { links: 2 });
    let isDrained = false;
    void drained.then(() => {
      isDrained = true;
    });
    links[0]!.onClose(null);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    links[1]!.onClose(null);
    await drained;
  });

  test('what the kernel has not taken is waited for', async () => {
    const { link, drained } = worker(ok);
    let queued = 3;
    const send = link.send.bind(link);
    link.send = (length) => (send(length), --queued);
    link.deliver(request());
    link.onClose(null);
    await drained;
    expect(queued).toBe(0);
  });

  test('a link that fails abandons its streams', async () => {
    const result = deferred<string>();
    const { link, drained, faults } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return result.promise;
    });
    link.deliver(request());
    link.onClose('Connection reset by peer');
    await drained;
    expect(faults).toEqual([]);
    result.resolve('late');
    await result.promise;
    expect(link.closed).toBe(true);
  });

  test('a link that closes closes the file of a body, even if its application never returns', async () => {
    const { link, dispatcher } = worker(() => new Promise(() => {}));
    const fd = openSync(fileURLToPath(import.meta.url), 'r');
    link.fds.push(fd);
    link.deliver(request({ fd, fileLength: 10 }));
    expect(fstatSync(fd).isFile()).toBe(true);
    dispatcher.close();
    expect(() => fstatSync(fd)).toThrow(/EBADF/);
  });

  test('close() ends everything at once', async () => {
    let closed = 0;
    const { link, dispatcher, drained } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return Object.assign(['a', 'b'].values(), { close: () => void (closed += 1) });
    });
    link.deliver(request());
    dispatcher.close();
    dispatcher.close();
    await drained;
    expect([link.closed, closed]).toEqual([true, 1]);
  });
});
