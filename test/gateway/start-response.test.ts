/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import type { Header, StartResponse, Write } from '../../src/gateway/types.js';
import { request, worker } from './fake-link.js';

/** The answer to one request whose application calls `use`. */
function answer(use: (startResponse: StartResponse) => string | string[]) {
  const { link } = worker((_environ, startResponse) => use(startResponse));
  link.deliver(request());
  return { ...link.answer(), logs: link.logs() };
}

describe('startResponse', () => {
  test('W30 returns write, and takes excInfo as an optional third argument', () => {
    let write: Write | undefined;
    const { status } = answer((startResponse) => {
      write = startResponse('200 OK', []);
      return '';
    });
    expect(status).toBe(200);
    expect(write).toBeTypeOf('function');
  });

  test('W31 headers wait for the first non-empty chunk: until then they can be replaced', () => {
    const { link } = worker(function* app(_environ, startResponse) {
      startResponse('200 OK', [['X-First', '1']]);
      yield '';
      yield new Uint8Array(0);
      startResponse('503 Service Unavailable', [['X-Second', '2']], new Error('late'));
      yield 'sorry';
    });
    link.deliver(request());
    expect(link.answer()).toMatchObject({ status: 503, headers: ['X-Second: 2'] });
    expect(link.answer().body.toString()).toBe('sorry');
  });

  test('W31 headers are sent when the body is exhausted without a byte', () => {
    const { link } = worker(function* app(_environ, startResponse) {
      startResponse('200 OK', [['X-A', 'b']]);
      yield '';
    });
    link.deliver(request());
    expect(link.answer()).toMatchObject({ status: 200, headers: ['X-A: b'], ended: true, reset: undefined });
  });

  test('W32 may be called during the first iteration', () => {
    const { link } = worker(function* app(_environ, startResponse) {
      yield '';
      startResponse('201 Created', []);
      yield 'made';
    });
    link.deliver(request());
    expect(link.answer().status).toBe(201);
  });

  test('W33 a second call without excInfo throws, also if the first one failed', () => {
    const twice = answer((startResponse) => {
      startResponse('200 OK', []);
      startResponse('200 OK', []);
      return 'x';
    });
    expect(twice).toMatchObject({ status: 0, reset: 1 });
    expect(twice.logs[0]).toContain('called twice');
    const afterFailure = answer((startResponse) => {
      try {
        startResponse('bad', []);
      } catch {
        // As an application that hides the first failure.
      }
      startResponse('200 OK', []);
      return 'x';
    });
    expect(afterFailure).toMatchObject({ status: 0, reset: 1 });
  });

  test('W34 with excInfo it replaces headers that are not sent', () => {
    const replaced = answer((startResponse) => {
      startResponse('200 OK', [['X-A', '1']]);
      startResponse('500 Oh', [['X-B', '2']], new Error('cause'));
      return 'error page';
    });
    expect(replaced).toMatchObject({ status: 500, headers: ['X-B: 2'], reset: undefined });
  });

  test('W34 with excInfo it throws that very error once headers are sent', async () => {
    const cause = new Error('the cause');
    let thrown: unknown;
    const { link } = worker(function* app(_environ, startResponse) {
      startResponse('200 OK', []);
      yield 'part';
      try {
        startResponse('500 Oh', [], cause);
      } catch (error) {
        thrown = error;
        throw error;
      }
    });
    link.deliver(request());
    const { status, body, reset } = await link.ended();
    expect(thrown).toBe(cause);
    expect([status, body.toString(), reset]).toEqual([200, 'part', 1]);
    expect(link.logs()[0]).toContain('the cause');
  });

  test('W35 an application that never calls it gets a 500 and a message', () => {
    for (const result of ['', 'text', [], ['a', 'b']]) {
      const never = answer(() => result);
      expect(never).toMatchObject({ status: 0, reset: 1 });
      expect(never.logs[0]).toContain('without calling startResponse');
    }
  });

  test('W35 an iterable that never calls it, as well', () => {
    for (const chunks of [[], ['text']]) {
      const { link } = worker(() => chunks.values());
      link.deliver(request());
      expect(link.answer()).toMatchObject({ status: 0, reset: 1 });
      expect(link.logs()[0]).toContain('without calling startResponse');
    }
  });

  test.each([
    ['200'],
    ['200OK'],
    ['2000 x'],
    ['200 OK\r\nX: y'],
    ['20 OK'],
    ['200 \u2603'],
    ['199 x'],
    ['600 x'],
    ['abc OK'],
    [''],
    [200],
  ])('W36 the status %j is refused', (status) => {
    const refused = answer((startResponse) => {
      startResponse(status as string, []);
      return '';
    });
    expect(refused).toMatchObject({ status: 0, reset: 1 });
    expect(refused.logs[0]).toContain("must look like '200 OK'");
  });

  test('W36 an empty reason and a latin-1 one are allowed', () => {
    for (const status of ['204 ', '404 Pas trouv\u00e9', '599 x']) {
      expect(answer((startResponse) => (startResponse(status, []), '')).status).toBe(Number(status.slice(0, 3)));
    }
  });

  test('W59 a 1xx status is refused', () => {
    expect(answer((startResponse) => (startResponse('100 Continue', []), '')).reset).toBe(1);
  });

  test.each([
    ['a name with a colon', [['X:Y', 'v']]],
    ['an empty name', [['', 'v']]],
    ['a name with a space', [['X Y', 'v']]],
    ['a name with CR LF', [['X\r\nY', 'v']]],
    ['a value with CR LF', [['X', 'a\r\nSet-Cookie: b']]],
    ['a value with LF', [['X', 'a\nb']]],
    ['a value with NUL', [['X', 'a\0']]],
    ['a value with a tab', [['X', 'a\tb']]],
    ['a value with DEL', [['X', '\u007f']]],
    ['a value beyond latin-1', [['X', '\u2603']]],
    ['a number as value', [['X', 1]]],
    ['bytes as name', [[Buffer.from('X'), 'v']]],
    ['a header with one element', [['X']]],
    ['a header with three elements', [['X', 'a', 'b']]],
    ['a string as header', ['XY']],
    ['an object', { 'Content-Type': 'text/plain' }],
    ['nothing', undefined],
    ['null as header', [null]],
    ['a Content-Length that is no number', [['Content-Length', 'five']]],
    [
      'two different lengths',
      [
        ['Content-Length', '5'],
        ['content-length', '6'],
      ],
    ],
  ])('W37 %s is refused at call time', (_what, headers) => {
    let thrown: unknown;
    const refused = answer((startResponse) => {
      try {
        startResponse('200 OK', headers as unknown as Header[]);
      } catch (error) {
        thrown = error;
        throw error;
      }
      return '';
    });
    expect(thrown).toBeInstanceOf(TypeError);
    expect(refused).toMatchObject({ status: 0, reset: 1 });
  });

  test('W37 a refused header is refused again, however often it comes', () => {
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', [['X', 'a\nb']]);
      return '';
    });
    for (let sequence = 1; sequence <= 4; sequence++) {
      link.deliver(request({ sequence }));
      expect(link.answer().reset).toBe(1);
      link.forget();
    }
  });

  test.each([
    'Connection',
    'keep-alive',
    'Proxy-Authenticate',
    'proxy-connection',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'UPGRADE',
  ])('W38 the hop-by-hop header %s is left out', (name) => {
    const kept = answer((startResponse) => {
      startResponse('200 OK', [
        ['X-A', '1'],
        [name, 'x'],
        ['X-B', '2'],
      ]);
      return '';
    });
    expect(kept).toMatchObject({ status: 200, headers: ['X-A: 1', 'X-B: 2'], reset: undefined });
  });

  test('W38 of names that are made up only some are told', () => {
    const { link } = worker((environ, startResponse) => {
      startResponse('200 OK', [[`Proxy-${environ.QUERY_STRING}`, 'x']]);
      return '';
    });
    for (let i = 0; i < 100; i++) {
      link.deliver(request({ query: String(i), sequence: i + 1 }));
    }
    expect(link.logs(f.LOG_WARNING).length).toBeGreaterThan(20);
    expect(link.logs(f.LOG_WARNING).length).toBeLessThanOrEqual(50);
  });

  test('W37 headers that do not fit into a frame are refused', () => {
    expect(answer((startResponse) => (startResponse('200 OK', [['X', 'a'.repeat(65_500)]]), '')).reset).toBe(1);
    expect(
      answer((startResponse) => (startResponse('200 OK', [['X', 'a'.repeat(65_000)]]), 'body')).body.toString(),
    ).toBe('body');
  });

  test('W39 what the application does to its list afterwards changes nothing', () => {
    const changed = answer((startResponse) => {
      const headers: [string, string][] = [['X-A', '1']];
      startResponse('200 OK', headers);
      headers[0]![1] = 'a\r\nb';
      headers.push(['X-B', '2']);
      return 'x';
    });
    expect(changed.headers).toEqual(['X-A: 1']);
  });

  test('W41 headers of one name stay separate and in order, also when they recur', () => {
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', [
        ['Set-Cookie', 'a=1'],
        ['X', '\u00e9'],
        ['Set-Cookie', 'b=2'],
      ]);
      return '';
    });
    for (let sequence = 1; sequence <= 4; sequence++) {
      link.deliver(request({ sequence }));
      expect(link.answer().headers).toEqual(['Set-Cookie: a=1', 'X: \u00e9', 'Set-Cookie: b=2']);
      link.frames.splice(0);
    }
  });

  test('W42 anything that is not nothing counts as excInfo', () => {
    for (const excInfo of ['', 0, false, new Error('x')]) {
      expect(
        answer((startResponse) => (startResponse('200 OK', []), startResponse('500 Oh', [], excInfo), '')).status,
      ).toBe(500);
    }
    for (const nothing of [undefined, null]) {
      expect(
        answer((startResponse) => (startResponse('200 OK', []), startResponse('500 Oh', [], nothing), '')).reset,
      ).toBe(1);
    }
  });
});

describe('header blocks', () => {
  test('lines that recur are sent once and named by an id', () => {
    let value = 'same';
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', [['X', value]]);
      return 'body';
    });
    const own: number[] = [];
    for (let sequence = 1; sequence <= 5; sequence++) {
      link.deliver(request({ sequence, stream: sequence }));
      own.push(
        link.frames.find((frame) => frame.stream === sequence && frame.kind === f.KIND_HEAD)!.payload.readUInt32LE(0),
      );
      expect(link.answer(sequence)).toMatchObject({ status: 200, headers: ['X: same'] });
    }
    expect(own).toEqual(['X: same\r\n'.length, 0, 0, 0, 0]);
    expect(link.frames.filter((frame) => frame.kind === f.KIND_BLOCK)).toHaveLength(1);
    value = 'other';
    link.deliver(request({ stream: 7, sequence: 6 }));
    expect(link.answer(7).headers).toEqual(['X: other']);
  });

  test('the same headers with another status are another response', () => {
    let status = '200 OK';
    const { link } = worker((_environ, startResponse) => {
      startResponse(status, [['X', 'y']]);
      return '';
    });
    for (let sequence = 1; sequence <= 6; sequence++) {
      status = sequence % 2 ? '200 OK' : '404 Not Found';
      link.deliver(request({ sequence, stream: sequence }));
      expect(link.answer(sequence)).toMatchObject({ status: sequence % 2 ? 200 : 404, headers: ['X: y'] });
    }
  });

  test('headers that differ each time are sent each time; those between them keep their block', () => {
    const { link } = worker((environ, startResponse) => {
      startResponse('200 OK', environ.QUERY_STRING ? [['X', environ.QUERY_STRING]] : [['X', 'fixed']]);
      return '';
    });
    for (let sequence = 1; sequence <= 60; sequence++) {
      const query = sequence % 3 === 0 ? '' : `v${sequence}`;
      link.deliver(request({ sequence, stream: sequence, query }));
      expect(link.answer(sequence).headers).toEqual([query === '' ? 'X: fixed' : `X: ${query}`]);
    }
    expect(link.frames.filter((frame) => frame.kind === f.KIND_BLOCK)).toHaveLength(1);
  });

  test('headers that clients have a say in use up no number: a block that is forgotten gives its own away', () => {
    const { link } = worker((environ, startResponse) => {
      startResponse('302 Found', [['Location', environ.QUERY_STRING as string]]);
      return '';
    });
    const ids = new Set<number>();
    for (let url = 1; url <= 1100; url++) {
      for (const stream of [2, 3, 4]) {
        link.deliver(request({ stream, query: `/${url}` }));
        expect(link.answer(stream).headers).toEqual([`Location: /${url}`]);
      }
      for (const { kind, extra } of link.frames) if (kind === f.KIND_BLOCK) ids.add(extra);
      link.forget();
    }
    expect([...ids].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('a response that is sent after its block was forgotten has its headers', async () => {
    const later: (() => void)[] = [];
    let calls = 0;
    const { link } = worker((environ, startResponse) => {
      startResponse('200 OK', [['X', environ.QUERY_STRING as string]]);
      if (++calls !== 4) return '';
      return new Promise<string>((resolve) => later.push(() => resolve('body')));
    });
    for (const stream of [1, 2, 3]) link.deliver(request({ stream, query: 'kept' }));
    link.deliver(request({ stream: 4, query: 'kept' }));
    for (let n = 1; n <= 10; n++)
      link.deliver(request({ stream: 5, query: `n${n}` }), request({ stream: 6, query: `n${n}` }));
    later[0]?.();
    expect(await link.ended(4)).toMatchObject({ status: 200, headers: ['X: kept'] });
  });
});
