/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

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

  test('blocks without credit until there is some; other streams wait their turn', () => {
    const order: string[] = [];
    const { link } = worker(
      (environ, startResponse) => {
        const path = environ.PATH_INFO;
        order.push(`${path} begins`);
        const write = startResponse('200 OK', []);
        if (path === '/write') write('0123456789');
        order.push(`${path} ends`);
        return path;
      },
      { hello: { window: 4 } },
    );
    link.waits = [
      Buffer.concat([request({ stream: 2, sequence: 2, pathInfo: '/n' }), credit(1, 3)]),
      credit(1, 1),
      Buffer.concat([request({ stream: 3, sequence: 3, pathInfo: '/m' }), credit(1, 100)]),
    ];
    link.deliver(request({ pathInfo: '/write' }));
    expect(order).toEqual(['/write begins', '/write ends', '/n begins', '/n ends', '/m begins', '/m ends']);
    expect(link.answer(1).body.toString()).toBe('0123456789/write');
    expect([link.answer(2).ended, link.answer(3).ended]).toEqual([true, true]);
  });

  test('credit that was received behind the frame in dispatch is taken first', () => {
    const writes: Write[] = [];
    const { link } = worker(
      (environ, startResponse) => {
        const write = startResponse('200 OK', []);
        if (environ.PATH_INFO === '/keep') {
          writes.push(write);
          return new Promise(() => {});
        }
        writes[0]!('012345');
        return 'ok';
      },
      { hello: { window: 4 } },
    );
    link.deliver(request({ pathInfo: '/keep' }));
    link.deliver(request({ stream: 2, sequence: 2 }), credit(1, 50));
    expect(link.waited).toBe(0);
    expect(link.answer(1).body.toString()).toBe('012345');
  });

  test('frames that came during a wait outside of a batch are dispatched afterwards', async () => {
    let write: Write | undefined;
    const { link } = worker(
      (environ, startResponse) => {
        const given = startResponse('200 OK', []);
        if (environ.PATH_INFO !== '/keep') return 'ok';
        write = given;
        return new Promise(() => {});
      },
      { hello: { window: 4 } },
    );
    link.deliver(request({ pathInfo: '/keep' }));
    link.waits = [Buffer.concat([request({ stream: 2, sequence: 2 }), credit(1, 50)])];
    write!('012345');
    expect(link.answer(2).ended).toBe(false);
    expect((await link.ended(2)).body.toString()).toBe('ok');
  });

  test('frames of a wait come before those of the next batch', () => {
    let write: Write | undefined;
    const order: string[] = [];
    const { link } = worker(
      (environ, startResponse) => {
        order.push(environ.PATH_INFO);
        const given = startResponse('200 OK', []);
        if (environ.PATH_INFO !== '/keep') return 'ok';
        write = given;
        return new Promise(() => {});
      },
      { hello: { window: 4 } },
    );
    link.deliver(request({ pathInfo: '/keep' }));
    link.waits = [Buffer.concat([request({ stream: 2, sequence: 2, pathInfo: '/2' }), credit(1, 50)])];
    write!('012345');
    link.deliver(request({ stream: 3, sequence: 3, pathInfo: '/3' }));
    expect(order).toEqual(['/keep', '/2', '/3']);
  });

  test('a client that goes while it blocks ends the wait, and close() is called', () => {
    let closed = 0;
    const { link } = worker(
      writing((write) => {
        write('0123456789');
        write('more');
        return Object.assign([], { close: () => void (closed += 1) });
      }),
      { hello: { window: 4 } },
    );
    link.waits = [reset(1)];
    link.deliver(request());
    expect(link.answer()).toMatchObject({ ended: true, reset: f.RESET_CLIENT_GONE });
    expect([closed, link.waited]).toEqual([1, 1]);
    // The stream's number can be used again.
    link.forget();
    link.waits = [reset(1)];
    link.deliver(request({ sequence: 2 }));
    expect(link.answer()).toMatchObject({ ended: true });
  });

  test('a generator whose write() is cut off is closed', () => {
    const events: string[] = [];
    const { link } = worker(
      function* app(_environ, startResponse) {
        const write = startResponse('200 OK', []);
        try {
          write('0123456789');
          events.push('written');
          yield 'x';
          events.push('asked again');
        } finally {
          events.push('finally');
        }
      },
      { hello: { window: 4 } },
    );
    link.waits = [reset(1)];
    link.deliver(request());
    expect(events).toEqual(['written', 'finally']);
    expect(link.answer().reset).toBe(f.RESET_CLIENT_GONE);
  });

  test('the end of the link while it blocks ends the wait', async () => {
    const { link, drained } = worker(
      writing((write) => (write('0123456789'), [])),
      { hello: { window: 4 } },
    );
    link.waits = [null];
    link.deliver(request());
    expect(link.answer().ended).toBe(true);
    await drained;
    expect(link.closed).toBe(true);
  });

  test('throws instead of blocking in the process of the server, before anything is sent', () => {
    let thrown: unknown;
    const { link } = worker(
      writing((write) => {
        write('0123');
        try {
          write('456789');
        } catch (error) {
          thrown = error;
        }
        return [];
      }),
      { hello: { window: 6 }, inProcess: true },
    );
    link.deliver(request());
    expect(thrown).toMatchObject({ code: 'GWM_WRITE_WOULD_BLOCK' });
    expect((thrown as Error).message).toContain('return or yield the body');
    expect(link.answer().body.toString()).toBe('0123');
    expect(link.waited).toBe(0);
  });
});
