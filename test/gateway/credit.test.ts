/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { readdirSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import type { Application, ApplicationResult, Write } from '../../src/gateway/types.js';
import { credit, request, reset, worker } from './fake-link.js';

const returning =
  (body: () => unknown): Application =>
  (_environ, startResponse) => {
    startResponse('200 OK', []);
    return body() as ApplicationResult;
  };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('credit', () => {
  const bodies: [string, () => unknown][] = [
    ['a string', () => '0123456789abcdef'],
    ['bytes', () => Buffer.from('0123456789abcdef')],
    ['an array', () => ['0123', '456789', 'abcdef']],
    ['a generator', () => ['0123', '456789', 'abcdef'].values()],
    [
      'an async generator',
      async function* chunks() {
        yield '0123';
        yield '456789';
        yield 'abcdef';
      },
    ],
    ['a promise', async () => '0123456789abcdef'],
  ];
  test.each(bodies)('%s waits for it and is never sent beyond it', async (_what, body) => {
    const { link } = worker(returning(body), { hello: { window: 7 } });
    link.deliver(request());
    await turn();
    await turn();
    await turn();
    expect(link.answer()).toMatchObject({ status: 200, ended: false });
    expect(link.answer().body.toString()).toBe('0123456');
    link.deliver(credit(1, 0));
    link.deliver(credit(1, 3));
    await turn();
    await turn();
    expect(link.answer().body.toString()).toBe('0123456789');
    link.deliver(credit(1, 100));
    const { body: bytes, reset: reason } = await link.ended();
    expect([bytes.toString(), reason]).toEqual(['0123456789abcdef', undefined]);
  });

  test('a body of exactly the window leaves in one frame', () => {
    const { link } = worker(
      returning(() => '0123456'),
      { hello: { window: 7 } },
    );
    link.deliver(request());
    expect(link.answer()).toMatchObject({ kinds: [f.KIND_HEAD], ended: true });
  });

  test('one stream out of credit does not hold up another', () => {
    const { link } = worker(
      (environ, startResponse) => {
        startResponse('200 OK', []);
        return environ.PATH_INFO === '/long' ? 'x'.repeat(100) : 'ok';
      },
      { hello: { window: 10 } },
    );
    link.deliver(request({ stream: 1, pathInfo: '/long' }), request({ stream: 2, sequence: 2 }));
    expect([link.answer(1).ended, link.answer(2).ended]).toEqual([false, true]);
  });

  test('a generator is not asked for more while a chunk waits', async () => {
    let asked = 0;
    const { link } = worker(
      returning(function* chunks() {
        for (;;) {
          asked += 1;
          yield 'abcd';
        }
      }),
      { hello: { window: 6 } },
    );
    link.deliver(request());
    await turn();
    await turn();
    expect(asked).toBe(2);
    link.deliver(reset(1));
    expect(link.answer().ended).toBe(true);
  });

  test('credit for a stream that has ended is no fault', () => {
    const { link, faults } = worker(returning(() => 'x'));
    link.deliver(request(), credit(1, 5), credit(10, 5));
    expect([link.answer().ended, faults, link.logs()]).toEqual([true, [], []]);
  });
});

describe('write()', () => {
  const writing =
    (use: (write: Write) => ApplicationResult, headers: [string, string][] = []): Application =>
    (_environ, startResponse) =>
      use(startResponse('200 OK', headers));

  test('W64 comes before the iterable and is on its way when it returns', async () => {
    const sent: string[] = [];
    const { link } = worker(
      writing((write) => {
        for (const piece of ['a', Buffer.from('b'), '']) {
          write(piece);
          sent.push(link.answer().body.toString());
        }
        return ['c', 'd'];
      }),
    );
    link.deliver(request());
    expect(sent).toEqual(['a', 'ab', 'ab']);
    expect((await link.ended()).body.toString()).toBe('abcd');
  });

  test('W31 an empty write does not send the headers', () => {
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', [])('');
      startResponse('500 Oh', [], new Error('x'));
      return 'page';
    });
    link.deliver(request());
    expect(link.answer().status).toBe(500);
  });

  test('W60 refuses what is neither string nor bytes', () => {
    const { link } = worker(writing((write) => (write(5 as never), '')));
    link.deliver(request());
    expect(link.answer().reset).toBe(1);
  });

  test('W55 sends no more than Content-Length and says so', () => {
    let thrown: unknown;
    const { link } = worker(
      writing(
        (write) => {
          try {
            write('abcdef');
          } catch (error) {
            thrown = error;
          }
          return [];
        },
        [['Content-Length', '3']],
      ),
    );
    link.deliver(request());
    expect(link.answer()).toMatchObject({ ended: true, reset: undefined });
    expect(link.answer().body.toString()).toBe('abc');
    expect((thrown as Error).message).toContain('Content-Length');
  });

  test('W57 sends no body for HEAD', async () => {
    const { link } = worker(writing((write) => (write('abc'), ['d'])));
    link.deliver(request({ method: 'HEAD' }));
    expect(await link.ended()).toMatchObject({ status: 200, body: Buffer.alloc(0), reset: undefined });
  });

  test('late writes go nowhere', async () => {
    let write: Write | undefined;
    const { link } = worker(writing((given) => ((write = given), 'x')));
    link.deliver(request());
    link.forget();
    write!('late');
    expect(link.frames).toEqual([]);
  });

  test('never waits: what there is no credit for is kept, and goes out before anything else of the response', async () => {
    const order: string[] = [];
    const { link } = worker(
      (environ, startResponse) => {
        const path = environ.PATH_INFO;
        const write = startResponse('200 OK', []);
        if (path === '/write') write('0123456789');
        order.push(path);
        return path;
      },
      { hello: { window: 4 } },
    );
    link.deliver(request({ pathInfo: '/write' }), request({ stream: 2, sequence: 2, pathInfo: '/n' }));
    expect(order).toEqual(['/write', '/n']);
    expect(link.answer(1).body.toString()).toBe('0123');
    expect(link.answer(2).ended).toBe(true);
    link.deliver(credit(1, 3));
    expect(link.answer(1).body.toString()).toBe('0123456');
    link.deliver(credit(1, 100));
    expect((await link.ended(1)).body.toString()).toBe('0123456789/write');
    expect(link.waited).toBe(0);
  });

  test('is the same in the process of the server', async () => {
    const { link } = worker(
      writing((write) => (write('0123'), write('456789'), [])),
      { hello: { window: 6 }, inProcess: true },
    );
    link.deliver(request());
    expect(link.answer().body.toString()).toBe('012345');
    link.deliver(credit(1, 100));
    expect((await link.ended()).body.toString()).toBe('0123456789');
  });

  test('what was written goes out while the application is still at work', () => {
    const { link } = worker(
      (_environ, startResponse) => {
        const write = startResponse('200 OK', []);
        write('01234');
        write('56789');
        return new Promise(() => {});
      },
      { hello: { window: 4 } },
    );
    link.deliver(request());
    link.deliver(credit(1, 100));
    expect(link.answer().body.toString()).toBe('0123456789');
    expect(link.answer().ended).toBe(false);
  });

  test('keeps a copy: the application may use its memory again', async () => {
    const { link } = worker(
      writing((write) => {
        const bytes = Buffer.from('abcdefgh');
        write(bytes);
        bytes.fill('x');
        write(bytes);
        bytes.fill('y');
        return [];
      }),
      { hello: { window: 4 } },
    );
    link.deliver(request());
    link.deliver(credit(1, 100));
    expect((await link.ended()).body.toString()).toBe('abcdefghxxxxxxxx');
  });

  test('beyond a MiB it is kept in a file without a name, of which nothing is left', async () => {
    const piece = Buffer.alloc(700_000, 'abcdefg');
    const { link } = worker(
      writing((write) => {
        for (let n = 0; n < 5; n++) write(piece);
        return ['end'];
      }),
      { hello: { window: 10 } },
    );
    const files = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return /gwanmun-write/.test(readlinkSync(`/proc/self/fd/${fd}`));
        } catch {
          return false;
        }
      }).length;
    link.deliver(request());
    expect(files()).toBe(1);
    for (let n = 0; n < 40; n++) link.deliver(credit(1, 100_000));
    const { body } = await link.ended();
    expect(body.equals(Buffer.concat([piece, piece, piece, piece, piece, Buffer.from('end')]))).toBe(true);
    expect(files()).toBe(0);
    // A client that goes takes it along.
    link.forget();
    link.deliver(request({ sequence: 2 }));
    expect(files()).toBe(1);
    link.deliver(reset(1));
    expect(files()).toBe(0);
  });

  test('comes behind what the body has given before it', async () => {
    let write: Write | undefined;
    const { link } = worker(
      (_environ, startResponse) => {
        write = startResponse('200 OK', []);
        return ['01234567'][Symbol.iterator]();
      },
      { hello: { window: 4 } },
    );
    link.deliver(request());
    write!('ab');
    write!('cd');
    link.deliver(credit(1, 1));
    write!('ef');
    link.deliver(credit(1, 100));
    expect((await link.ended()).body.toString()).toBe('01234567abcdef');
  });

  test('Content-Length counts what is kept', async () => {
    const thrown: unknown[] = [];
    const { link } = worker(
      (_environ, startResponse) => {
        const write = startResponse('200 OK', [['Content-Length', '6']]);
        for (const text of ['0123', '4567', '89']) {
          try {
            write(text);
          } catch (error) {
            thrown.push((error as Error).message);
          }
        }
        return [];
      },
      { hello: { window: 2 } },
    );
    link.deliver(request());
    link.deliver(credit(1, 100));
    expect((await link.ended()).body.toString()).toBe('012345');
    expect(thrown).toEqual([expect.stringContaining('Content-Length'), expect.stringContaining('Content-Length')]);
  });

  test('an application that is too far ahead of its client gets an error', () => {
    let thrown: unknown;
    const piece = Buffer.alloc(32 * 1024 * 1024);
    const { link } = worker(
      writing((write) => {
        try {
          for (let n = 0; n < 9; n++) write(piece);
        } catch (error) {
          thrown = error;
        }
        return [];
      }),
      { hello: { window: 4 } },
    );
    link.deliver(request());
    expect(thrown).toMatchObject({ code: 'GWM_CLIENT_TOO_SLOW' });
    link.deliver(reset(1));
  });

  test('close() is called when the client goes', () => {
    let closed = 0;
    const { link } = worker(
      writing((write) => {
        write('0123456789');
        return Object.assign([], { close: () => void (closed += 1) });
      }),
      { hello: { window: 4 } },
    );
    link.deliver(request());
    expect(closed).toBe(0);
    link.deliver(reset(1));
    expect(link.answer()).toMatchObject({ ended: true, reset: f.RESET_CLIENT_GONE });
    expect(closed).toBe(1);
  });
});
