/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { AsyncLocalStorage } from 'node:async_hooks';
import { buffer, json, text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { StreamedInput } from '../../src/gateway/streamed-input.js';
import type { Application, ApplicationResult, InputStream } from '../../src/gateway/types.js';
import { credit, frame, request, reset, streamedRequest, worker, WINDOW, type FakeLink } from './fake-link.js';

const reading =
  (use: (input: InputStream) => ApplicationResult): Application =>
  (environ, startResponse) => {
    startResponse('200 OK', []);
    return use(environ['wsgi.input']);
  };

const data = (body: string, stream = 1): Buffer => frame(f.KIND_DATA, 0, stream, 0, Buffer.from(body));
const last = (body: string, stream = 1): Buffer => frame(f.KIND_DATA, f.FLAG_END, stream, 0, Buffer.from(body));
const granted = (link: FakeLink, stream = 1): number[] =>
  link.frames.filter((one) => one.kind === f.KIND_CREDIT && one.stream === stream).map(({ extra }) => extra);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('a streamed wsgi.input', () => {
  test('the application is called at once; environ says that there is an end', () => {
    let seen: unknown[] = [];
    const { link, marks } = worker((environ, startResponse) => {
      seen = [environ.CONTENT_LENGTH, environ['wsgi.input_terminated']];
      startResponse('200 OK', []);
      return '';
    });
    link.deliver(streamedRequest({ length: 12 }));
    expect([seen, marks[0]]).toEqual([['12', true], 1]);
    link.deliver(streamedRequest({ stream: 2, sequence: 2 }), request({ stream: 3, sequence: 3 }));
    expect(seen).toEqual([undefined, true]);
    expect(granted(link)).toEqual([]);
  });

  test.each<[string, (input: InputStream) => Promise<string>]>([
    [
      'for await',
      async (input) => {
        let all = '';
        for await (const chunk of input) all += Buffer.from(chunk).toString();
        return all;
      },
    ],
    ['readAsync()', async (input) => Buffer.from(await input.readAsync()).toString()],
    [
      'readAsync(size)',
      async (input) => {
        let all = '';
        for (let piece = await input.readAsync(3); piece.length > 0; piece = await input.readAsync(3)) {
          expect(piece.length).toBeLessThanOrEqual(3);
          all += Buffer.from(piece).toString();
        }
        return all;
      },
    ],
    ['consumers.text', (input) => text(input)],
    ['consumers.json', async (input) => JSON.stringify(await json(input))],
    ['consumers.buffer', async (input) => (await buffer(input)).toString()],
  ])('is read by %s, in-process too', async (_how, use) => {
    for (const inProcess of [false, true]) {
      const { link } = worker(reading(use), { inProcess });
      link.deliver(streamedRequest());
      await turn();
      expect(granted(link)).toEqual([f.MAX_PAYLOAD]);
      link.deliver(data('{"a":'), data('[1,'));
      await turn();
      link.deliver(data('2]'));
      await turn();
      link.deliver(last('}'));
      expect((await link.ended()).body.toString()).toBe('{"a":[1,2]}');
      expect(link.logs()).toEqual([]);
    }
  });

  test('END may come alone', async () => {
    const { link } = worker(reading((input) => text(input)));
    link.deliver(streamedRequest());
    await turn();
    link.deliver(data('x'));
    await turn();
    link.deliver(last(''));
    expect((await link.ended()).body.toString()).toBe('x');
  });

  test('what has been read is granted again, and no more than a window is ever on its way', async () => {
    const { link } = worker(
      reading(async (input) => {
        let length = 0;
        for await (const chunk of input) length += chunk.length;
        return String(length);
      }),
      { hello: { window: 1000 } },
    );
    link.deliver(streamedRequest());
    await turn();
    let sent = 0;
    for (let round = 0; round < 100; round += 1) {
      const total = granted(link).reduce((sum, bytes) => sum + bytes, 0);
      expect(total - sent).toBeLessThanOrEqual(1000);
      expect(total - sent).toBeGreaterThan(0);
      const piece = Math.min(total - sent, 7 + round);
      link.deliver(data('x'.repeat(piece)));
      sent += piece;
      await turn();
    }
    link.deliver(last(''));
    expect((await link.ended()).body.toString()).toBe(String(sent));
  });

  test('a client that sends byte by byte fills no more memory than its bytes', () => {
    const input = new StreamedInput({ inProcess: true, grant: () => {}, waitForInput: () => {} }, WINDOW);
    const byte = Buffer.from('x');
    for (let sent = 0; sent < 100_000; sent += 1) input.push(byte, 0, 1);
    input.finish();
    let pieces = 0;
    let length = 0;
    for (let piece = input.pull(); piece !== null; piece = input.pull(), pieces += 1) length += piece.length;
    expect([length, input.ended]).toEqual([100_000, true]);
    expect(pieces).toBeLessThan(50);
  });

  test('each application goes on in its own asynchronous context', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const { link } = worker((environ, startResponse) => {
      storage.enterWith(environ.PATH_INFO);
      startResponse('200 OK', []);
      const input = environ['wsgi.input'] as StreamedInput;
      input.onReadable = () => seen.push(`${environ.PATH_INFO} ${storage.getStore()}`);
      return (async () => {
        await input.readAsync();
        return storage.getStore() ?? 'none';
      })();
    }, {});
    link.deliver(streamedRequest({ pathInfo: '/a' }), streamedRequest({ pathInfo: '/b', stream: 2, sequence: 2 }));
    await turn();
    link.deliver(data('1', 2), last('1', 1), last('2', 2));
    expect((await link.ended(1)).body.toString()).toBe('/a');
    expect((await link.ended(2)).body.toString()).toBe('/b');
    // The callback runs in the context of its request, not of another one of the batch.
    expect(new Set(seen)).toEqual(new Set(['/a /a', '/b /b']));
  });
});

describe('a synchronous read of a streamed wsgi.input', () => {
  test.each<[string, (input: InputStream) => string]>([
    ['read()', (input) => Buffer.from(input.read()).toString()],
    ['text()', (input) => input.text()],
    ['lines', (input) => [...input].map((line) => Buffer.from(line).toString()).join('')],
    [
      'read(1) again and again',
      (input) => {
        let all = '';
        for (let piece = input.read(1); piece.length > 0; piece = input.read(1)) all += Buffer.from(piece).toString();
        return all;
      },
    ],
  ])('%s blocks until it has come', (_how, use) => {
    const { link } = worker(reading(use));
    link.waits = [data('on'), Buffer.concat([data('e\n'), data('tw')]), last('o')];
    link.deliver(streamedRequest());
    expect(link.answer().body.toString()).toBe('one\ntwo');
    expect([link.waited, link.logs()]).toEqual([3, []]);
  });

  test('takes what came in the same batch, and lets other streams wait in order', async () => {
    const order: string[] = [];
    const { link } = worker((environ, startResponse) => {
      order.push(environ.PATH_INFO);
      const body = Buffer.from(environ['wsgi.input'].read()).toString();
      order.push(`${environ.PATH_INFO} ${body}`);
      startResponse('200 OK', []);
      return body;
    });
    link.waits = [
      Buffer.concat([data('2'), request({ stream: 2, sequence: 2, pathInfo: '/b', body: 'bb' }), data('3')]),
      Buffer.concat([credit(1, 5), last('4')]),
    ];
    link.deliver(streamedRequest({ pathInfo: '/a' }), data('1'), request({ stream: 3, sequence: 3, pathInfo: '/c' }));
    await turn();
    expect(order).toEqual(['/a', '/a 1234', '/c', '/c ', '/b', '/b bb']);
    expect([link.answer(1), link.answer(2), link.answer(3)].map(({ body }) => body.toString())).toEqual([
      '1234',
      'bb',
      '',
    ]);
  });

  test('pieces in shared buffers are read in order, and the buffers given back', async () => {
    const { link, memory } = worker(reading((input) => input.text()));
    const put = (buffer: number, body: string, stream: number, flags = 0): Buffer => {
      const at = f.MARK_PAGE + buffer * f.SHARED_BUFFER;
      new Int32Array(memory, at, 1)[0] = 1;
      Buffer.from(memory, at + f.SHARED_BYTES).write(body);
      return frame(f.KIND_DATA, f.FLAG_SHARED | flags, stream, buffer * 65_536 + body.length);
    };
    const states = (): (number | undefined)[] =>
      [0, 1, 2, 3, 4, 5].map((buffer) => new Int32Array(memory, f.MARK_PAGE + buffer * f.SHARED_BUFFER, 1)[0]);
    link.waits = [
      Buffer.concat([streamedRequest({ stream: 2, sequence: 2 }), put(2, 'two, ', 2), put(3, 'b', 1)]),
      Buffer.concat([data('c'), put(4, 'two', 2, f.FLAG_END), put(5, 'd', 1, f.FLAG_END)]),
    ];
    // Stream 9 has ended on this side.
    link.deliver(streamedRequest(), put(0, 'a', 1), put(1, 'late', 9));
    await turn();
    expect([link.answer(1), link.answer(2)].map(({ body }) => body.toString())).toEqual(['abcd', 'two, two']);
    expect([states(), link.logs()]).toEqual([[0, 0, 0, 0, 0, 0], []]);
  });

  test('in-process throws where it would have to block, and reads what is there', () => {
    const codes: unknown[] = [];
    const { link } = worker(
      reading((input) => {
        try {
          input.read();
        } catch (error) {
          codes.push((error as { code: unknown }).code);
        }
        return '';
      }),
      { inProcess: true },
    );
    link.deliver(streamedRequest());
    expect(codes).toEqual(['GWM_READ_WOULD_BLOCK']);
    link.deliver(streamedRequest({ stream: 2, sequence: 2 }));
    expect(link.answer(2).ended).toBe(true);
  });
});

describe('W25 a client that leaves in the middle of its body', () => {
  test.each([
    [f.RESET_CLIENT_GONE, 'GWM_CLIENT_DISCONNECTED'],
    [f.RESET_BODY, 'GWM_BODY_REFUSED'],
  ])('raises once what has come is read: reason %i', async (reason, code) => {
    const seen: unknown[] = [];
    const { link } = worker(
      reading(async (input) => {
        try {
          for await (const chunk of input) seen.push(Buffer.from(chunk).toString());
        } catch (error) {
          seen.push((error as { code: unknown }).code);
          throw error;
        }
        return '';
      }),
    );
    link.deliver(streamedRequest());
    await turn();
    link.deliver(data('half'), reset(1, reason));
    await turn();
    expect(seen).toEqual(['half', code]);
    expect(link.answer().ended).toBe(true);
    // The reader's own affair: no error of the application.
    expect(link.logs()).toEqual([]);
  });

  test.each([
    [f.RESET_CLIENT_GONE, 'GWM_CLIENT_DISCONNECTED'],
    [f.RESET_BODY, 'GWM_BODY_REFUSED'],
  ])('raises in a synchronous read: reason %i', (reason, code) => {
    const codes: unknown[] = [];
    const { link } = worker(
      reading((input) => {
        try {
          return input.text();
        } catch (error) {
          codes.push((error as { code: unknown }).code);
          throw error;
        }
      }),
    );
    link.waits = [data('half'), reset(1, reason)];
    link.deliver(streamedRequest());
    expect(codes).toEqual([code]);
    expect(link.answer()).toMatchObject({ ended: true, status: 0 });
  });

  test('raises when the link ends', async () => {
    const seen: unknown[] = [];
    const { link, drained } = worker(
      reading(async (input) => {
        await input.readAsync().catch((error: { code: unknown }) => seen.push(error.code));
        return '';
      }),
    );
    link.deliver(streamedRequest());
    await turn();
    link.onClose(null);
    await drained;
    expect(seen).toEqual(['GWM_CLIENT_DISCONNECTED']);
  });

  test('what is read after the response is an error with a code', async () => {
    let input: InputStream | undefined;
    const { link } = worker(
      reading((given) => {
        input = given;
        return '';
      }),
    );
    link.deliver(streamedRequest());
    link.deliver(data('late'));
    expect(() => input?.read()).toThrow(expect.objectContaining({ code: 'GWM_INPUT_CLOSED' }));
    await expect(input?.readAsync()).rejects.toThrow(expect.objectContaining({ code: 'GWM_INPUT_CLOSED' }));
    expect(granted(link)).toEqual([]);
  });
});
