// Conditional requests, RFC 9110 §13: over the socket, on connections that go on afterwards.

import { utimesSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, exchange, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const MODIFIED = 'Tue, 15 Nov 1994 12:45:26 GMT';
const BEFORE = 'Tue, 15 Nov 1994 12:45:25 GMT';
const AFTER = 'Tue, 15 Nov 1994 12:45:27 GMT';

const folder = new Folder();
let server: Gwanmun;

/** A small file is answered from memory, a large one from its descriptor. */
const FILES = { '/small.txt': 9, '/large.bin': 100_000 };

beforeAll(async () => {
  for (const [name, size] of Object.entries(FILES)) {
    const path = folder.write(`site${name}`, 'x'.repeat(size));
    utimesSync(path, new Date(MODIFIED), new Date(MODIFIED));
  }
  server = await Gwanmun.start(folder, { mounts: [{ path: '/', files: './site' }] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

describe.each(Object.entries(FILES))('%s', (path, size) => {
  let etag: string;
  const ask = (headers: Record<string, string>, method = 'GET'): Promise<Answer> =>
    get(server.port, path, { method, headers });

  beforeAll(async () => {
    const { headers } = await ask({});
    expect(headers['last-modified']).toBe(MODIFIED);
    etag = headers.etag ?? '';
    expect(etag).toMatch(/^".+"$/);
  });

  test('a matching tag is answered 304 with the validators and no body', async () => {
    for (const tags of ['*', etag, `W/${etag}`, `"other", ${etag}`, `"other" , W/${etag},"more"`]) {
      for (const method of ['GET', 'HEAD']) {
        const { status, headers, body } = await ask({ 'If-None-Match': tags }, method);
        expect([tags, status, body.length]).toEqual([tags, 304, 0]);
        expect(headers.etag).toBe(etag);
        expect(headers['last-modified']).toBe(MODIFIED);
        expect(headers).not.toHaveProperty('transfer-encoding');
        expect(headers['content-length'] ?? String(size)).toBe(String(size));
      }
    }
  });

  test('another tag gets the file', async () => {
    for (const tags of ['"other"', 'W/"other"', etag.slice(1, -1), '']) {
      expect((await ask({ 'If-None-Match': tags })).status).toBe(200);
    }
  });

  test('a date from the modification on is answered 304', async () => {
    expect((await ask({ 'If-Modified-Since': MODIFIED })).status).toBe(304);
    expect((await ask({ 'If-Modified-Since': AFTER })).status).toBe(304);
    expect((await ask({ 'If-Modified-Since': 'Tuesday, 15-Nov-94 12:45:26 GMT' })).status).toBe(304);
    expect((await ask({ 'If-Modified-Since': 'Tue Nov 15 12:45:26 1994' })).status).toBe(304);
    expect((await ask({ 'If-Modified-Since': BEFORE })).status).toBe(200);
    expect((await ask({ 'If-Modified-Since': 'yesterday' })).status).toBe(200);
  });

  test('RFC 9110 §13.2.2: a tag takes precedence over a date', async () => {
    expect((await ask({ 'If-None-Match': '"other"', 'If-Modified-Since': AFTER })).status).toBe(200);
    expect((await ask({ 'If-None-Match': etag, 'If-Modified-Since': BEFORE })).status).toBe(304);
    expect((await ask({ 'If-Match': etag, 'If-Unmodified-Since': BEFORE })).status).toBe(200);
    expect((await ask({ 'If-Match': '"other"', 'If-Unmodified-Since': AFTER })).status).toBe(412);
    expect((await ask({ 'If-Match': '"other"', 'If-None-Match': etag })).status).toBe(412);
    expect((await ask({ 'If-None-Match': etag, Range: 'bytes=0-0' })).status).toBe(304);
  });

  test('a precondition that fails is answered 412 with a length', async () => {
    for (const headers of [{ 'If-Match': '"other"' }, { 'If-Match': `W/${etag}` }, { 'If-Unmodified-Since': BEFORE }]) {
      const answer = await ask(headers);
      expect(answer.status).toBe(412);
      expect(answer.headers['content-length']).toBe(String(answer.body.length));
      expect(answer.headers).not.toHaveProperty('last-modified');
      const head = await ask(headers, 'HEAD');
      expect([head.status, head.body.length]).toEqual([412, 0]);
    }
    expect((await ask({ 'If-Match': etag })).status).toBe(200);
    expect((await ask({ 'If-Match': '*' })).status).toBe(200);
    expect((await ask({ 'If-Unmodified-Since': MODIFIED })).status).toBe(200);
  });

  test('the connection goes on after 304 and 412', async () => {
    const request = (line: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`;
    const raw = await exchange(
      server.port,
      request(`If-None-Match: ${etag}`),
      request('If-Match: "other"'),
      request(`If-None-Match: ${etag}`),
      request(`If-None-Match: ${etag}\r\nConnection: close`),
    );
    expect(
      raw
        .toString('latin1')
        .match(/HTTP\/1\.1 \d{3}/g)
        ?.map((line) => line.slice(9)),
    ).toEqual(['304', '412', '304', '304']);
  });
});
