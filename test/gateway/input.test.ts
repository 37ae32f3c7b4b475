/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Environ, InputStream } from '../../src/gateway/types.js';
import { request, worker } from './fake-link.js';

const folder = mkdtempSync(join(tmpdir(), 'gwanmun-input-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

/** What an application sees of a body, in memory and in a file that has more behind it. */
function withInput<T>(
  body: string | Buffer,
  use: (input: InputStream, environ: Environ) => T,
  dataSize?: number,
): [T, T] {
  const results: T[] = [];
  const { link } = worker((environ, startResponse) => {
    results.push(use(environ['wsgi.input'], environ));
    startResponse('200 OK', []);
    return '';
  });
  const path = join(folder, String(files++));
  writeFileSync(path, Buffer.concat([Buffer.from(body as string), Buffer.from('\nthe next request')]));
  link.fds.push(openSync(path, 'r'));
  link.deliver(request({ method: 'POST', body, ...(dataSize === undefined ? {} : { dataSize }) }));
  link.deliver(request({ method: 'POST', stream: 2, sequence: 2, fd: 1, fileLength: Buffer.byteLength(body) }));
  expect(link.logs()).toEqual([]);
  expect(results).toHaveLength(2);
  return [results[0]!, results[1]!];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('wsgi.input', () => {
  test('W20 read without a size, with nothing and with a negative size reads everything', () => {
    for (const size of [undefined, null, -1]) {
      for (const all of withInput('one\ntwo', (input) => text(input.read(size)))) expect(all).toBe('one\ntwo');
    }
  });

  test('W20 read(0) reads nothing; sizes and mixed calls continue where the last one stopped', () => {
    const use = (input: InputStream): string[] => [
      text(input.read(0)),
      text(input.read(2)),
      text(input.readline()),
      text(input.read(4)),
      text(input.readline()),
      text(input.read()),
      text(input.read()),
    ];
    for (const parts of withInput('one\ntwo\nthree\nfour', use))
      expect(parts).toEqual(['', 'on', 'e\n', 'two\n', 'three\n', 'four', '']);
  });

  test('W21 readline takes a size', () => {
    const use = (input: InputStream): string[] =>
      [input.readline(2), input.readline(10), input.readline(0), input.readline(-1), input.readline()].map(text);
    for (const lines of withInput('one\ntwo', use)) expect(lines).toEqual(['on', 'e\n', '', 'two', '']);
  });

  test('W20 readlines reads lines, with a hint until they have so many bytes', () => {
    for (const lines of withInput('a\nb\n\nc', (input) => input.readlines().map(text)))
      expect(lines).toEqual(['a\n', 'b\n', '\n', 'c']);
    for (const lines of withInput('a\nb\nc', (input) => input.readlines(3).map(text)))
      expect(lines).toEqual(['a\n', 'b\n']);
    for (const lines of withInput('a\nb\nc', (input) => input.readlines(0).map(text))) expect(lines).toHaveLength(3);
  });

  test('W20 iteration gives lines', () => {
    for (const lines of withInput('a\nbc\n', (input) => [...input].map(text))) expect(lines).toEqual(['a\n', 'bc\n']);
  });

  test('async iteration gives chunks', async () => {
    const body = 'x'.repeat(150_000);
    const chunks: Promise<number[]>[] = withInput(body, async (input) => {
      const sizes: number[] = [];
      for await (const chunk of input) {
        expect(chunk).toBeInstanceOf(Uint8Array);
        sizes.push(chunk.length);
        break;
      }
      return sizes;
    });
    expect(await Promise.all(chunks)).toEqual([[65_536], [65_536]]);
  });

  test('W22 the end is empty, repeatedly, and what follows in the file is not read', () => {
    const use = (input: InputStream): number[] =>
      [input.read(1000), input.read(), input.read(5), input.readline(), input.bytes()].map((bytes) => bytes.length);
    for (const lengths of withInput('seven b', use)) expect(lengths).toEqual([7, 0, 0, 0, 0]);
  });

  test('W22 a request without a body has an empty input', () => {
    const { link } = worker((environ, startResponse) => {
      const input = environ['wsgi.input'];
      expect([
        input.read().length,
        input.read(5).length,
        input.readline().length,
        input.text(),
        [...input].length,
      ]).toEqual([0, 0, 0, '', 0]);
      startResponse('200 OK', []);
      return '';
    });
    link.deliver(request());
    expect(link.answer().status).toBe(200);
  });

  test('W24 a body of many frames and windows arrives whole', () => {
    const body = Buffer.alloc(60_001, 'abcdefghij\n');
    for (const got of withInput(body, (input) => Buffer.from(input.read()), 1000)) expect(got.equals(body)).toBe(true);
    const long = `${'x'.repeat(140_000)}\nend`;
    for (const lines of withInput(long, (input) => [...input].map((line) => line.length)))
      expect(lines).toEqual([140_001, 3]);
  });

  test('W28 reads give bytes; text, json and bytes are there for comfort', () => {
    for (const bytes of withInput('x', (input) => input.read())) expect(bytes).toBeInstanceOf(Uint8Array);
    for (const string of withInput('안녕', (input) => input.text())) expect(string).toBe('안녕');
    for (const json of withInput('{"a":[1]}', (input) => input.json())) expect(json).toEqual({ a: [1] });
    for (const bytes of withInput('ab', (input) => (input.read(1), text(input.bytes())))) expect(bytes).toBe('b');
  });

  test('a size that is not an integer is refused', () => {
    for (const message of withInput('x', (input) => {
      try {
        input.read(1.5);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    }))
      expect(message).toContain('integer');
  });

  test('bytes that were read stay as they are after the request', () => {
    const kept: Uint8Array[] = [];
    const { link } = worker((environ, startResponse) => {
      kept.push(environ['wsgi.input'].read());
      startResponse('200 OK', []);
      return '';
    });
    link.deliver(request({ body: 'first' }));
    link.forget();
    link.deliver(request({ body: 'other', sequence: 2 }));
    expect(kept.map(text)).toEqual(['first', 'other']);
  });

  test("a body's file is closed at the end of the request, and reading says so afterwards", () => {
    let input: InputStream | undefined;
    const { link } = worker((environ, startResponse) => {
      input = environ['wsgi.input'];
      startResponse('200 OK', []);
      return '';
    });
    const path = join(folder, 'closed');
    writeFileSync(path, 'body');
    const fd = openSync(path, 'r');
    link.fds.push(fd);
    link.deliver(request({ fd, fileLength: 4 }));
    expect(link.answer().ended).toBe(true);
    expect(() => fstatSync(fd)).toThrow(/EBADF/);
    expect(() => closeSync(fd)).toThrow(/EBADF/);
    expect(() => input!.read()).toThrow(expect.objectContaining({ code: 'GWM_INPUT_CLOSED' }));
  });

  test('W23 a body that nobody reads does no harm', () => {
    const { link } = worker((_environ, startResponse) => {
      startResponse('200 OK', []);
      return 'ok';
    });
    for (let sequence = 1; sequence <= 3; sequence++) {
      link.deliver(request({ body: 'x'.repeat(10_000), sequence }));
      expect(link.answer().body.toString()).toBe('ok');
      link.forget();
    }
  });

  test('the application is not called before the body is complete', () => {
    const order: string[] = [];
    const { link } = worker((environ, startResponse) => {
      order.push(environ['wsgi.input'].text() || 'none');
      startResponse('200 OK', []);
      return '';
    });
    const whole = request({ body: 'abc', dataSize: 1 });
    const frameSize = 24;
    link.deliver(whole.subarray(0, -frameSize));
    expect(order).toEqual([]);
    link.deliver(request({ stream: 2, sequence: 2 }));
    link.deliver(whole.subarray(-frameSize));
    expect(order).toEqual(['none', 'abc']);
  });
});
