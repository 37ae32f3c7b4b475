// Ranges of bytes, RFC 9110 §14.

import { utimesSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const MODIFIED = 'Tue, 15 Nov 1994 12:45:26 GMT';
const CONTENTS = { '/small.bin': pattern(1000), '/large.bin': pattern(300_000) };

const folder = new Folder();
let server: Gwanmun;

beforeAll(async () => {
  for (const [name, content] of Object.entries(CONTENTS)) {
    utimesSync(folder.write(`site${name}`, content), new Date(MODIFIED), new Date(MODIFIED));
  }
  folder.write('site/empty.bin', '');
  server = await Gwanmun.start(folder, { mounts: [{ path: '/', files: './site' }] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** Bytes that tell where they are. */
function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255));
}

describe.each(Object.entries(CONTENTS))('%s', (path, content) => {
  const size = content.length;
  const ask = (range: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    get(server.port, path, { method, headers: { Range: range, ...headers } });

  test.each([
    ['the first byte', 'bytes=0-0', 0, 1],
    ['the last byte', `bytes=${size - 1}-${size - 1}`, size - 1, size],
    ['some in the middle', 'bytes=100-199', 100, 200],
    ['all from one on', 'bytes=500-', 500, size],
    ['the last ones', 'bytes=-10', size - 10, size],
    ['more than there is at the end', `bytes=${size - 5}-${size * 9}`, size - 5, size],
    ['a suffix longer than the file', `bytes=-${size + 1}`, 0, size],
    ['an end beyond all numbers', `bytes=1-${'9'.repeat(30)}`, 1, size],
    ['the whole', 'bytes=0-', 0, size],
  ])('%s', async (_name, range, start, end) => {
    const { status, headers, body } = await ask(range);
    expect(status).toBe(206);
    expect(headers['content-range']).toBe(`bytes ${start}-${end - 1}/${size}`);
    expect(headers['content-length']).toBe(String(end - start));
    expect(headers.etag).toBeDefined();
    expect(body.equals(content.subarray(start, end))).toBe(true);
  });

  test.each([`bytes=${size}-`, `bytes=${size}-${size + 9}`, 'bytes=-0', `bytes=${'9'.repeat(30)}-`])(
    '%s is not satisfiable',
    async (range) => {
      const { status, headers, body } = await ask(range);
      expect([status, headers['content-range']]).toEqual([416, `bytes */${size}`]);
      expect(headers['content-length']).toBe(String(body.length));
    },
  );

  // H54
  test.each([
    `bytes=${'0-,'.repeat(500)}0-`,
    `bytes=${Array.from({ length: 17 }, (_, index) => `${index * 2}-${index * 2}`).join()}`,
    'bytes=0-1,5-2',
    'bytes=5-2',
    'bytes=-',
    'bytes=x-y',
    'bytes=0x1-2',
    'items=0-5',
    'bytes 0-5',
    '0-5',
  ])('%.20s is answered with the whole file', async (range) => {
    const { status, headers, body } = await ask(range);
    expect(status).toBe(200);
    expect(headers).not.toHaveProperty('content-range');
    expect(body.equals(content)).toBe(true);
  });

  test('RFC 9110 §14.6: several ranges come as parts, in the order asked for; those that touch are one', async () => {
    const { status, headers, body } = await ask(`bytes=${size - 3}-,0-1,2-4,100-109`);
    expect(status).toBe(206);
    const [, boundary] = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(headers['content-type'] ?? '') ?? [];
    expect(headers).not.toHaveProperty('content-range');
    expect(headers['content-length']).toBe(String(body.length));
    const part = (start: number, end: number): string =>
      `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n${content.toString('latin1', start, end)}`;
    expect(body.toString('latin1')).toBe(
      `${part(size - 3, size)}${part(0, 5)}${part(100, 110)}\r\n--${boundary}--\r\n`,
    );
    const { headers: one } = await ask('bytes=0-1,2-4');
    expect(one['content-range']).toBe(`bytes 0-4/${size}`);
    expect((await ask(`bytes=${size}-,${size + 1}-`)).status).toBe(416);
  });

  test('RFC 9110 §14.2: a range means nothing for HEAD', async () => {
    for (const range of ['bytes=0-0', `bytes=${size}-`]) {
      const { status, headers } = await ask(range, {}, 'HEAD');
      expect([status, headers['content-length']]).toEqual([200, String(size)]);
      expect(headers).not.toHaveProperty('content-range');
    }
  });

  test('If-Range with this version gets the part', async () => {
    const etag = (await ask('bytes=0-0')).headers.etag ?? '';
    for (const validator of [etag, MODIFIED]) {
      const { status, body } = await ask('bytes=1-2', { 'If-Range': validator });
      expect([validator, status, body.length]).toEqual([validator, 206, 2]);
    }
  });

  test('If-Range with any other version gets the whole', async () => {
    const etag = (await ask('bytes=0-0')).headers.etag ?? '';
    const others = ['"other"', `W/${etag}`, '*', 'Tue, 15 Nov 1994 12:45:25 GMT', 'Tue, 15 Nov 1994 12:45:27 GMT'];
    for (const validator of others) {
      const { status, body } = await ask('bytes=1-2', { 'If-Range': validator });
      expect([validator, status, body.length]).toEqual([validator, 200, size]);
      expect((await ask(`bytes=${size}-`, { 'If-Range': validator })).status).toBe(200);
    }
  });

  test('parts put together are the file', async () => {
    const step = Math.ceil(size / 7);
    const parts: Buffer[] = [];
    for (let start = 0; start < size; start += step) parts.push((await ask(`bytes=${start}-${start + step - 1}`)).body);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
  });
});

test('an empty file has no range', async () => {
  for (const range of ['bytes=0-', 'bytes=-1', 'bytes=0-0']) {
    const { status, body } = await get(server.port, '/empty.bin', { headers: { Range: range } });
    expect([range, status, body.length]).toEqual([range, 200, 0]);
  }
});
