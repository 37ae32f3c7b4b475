// W50 to W67: the body, its framing, its end, and errors.

import { expect, test } from 'vitest';
import { header, inEachHost } from './hosts.js';

inEachHost('body', (host) => {
  test.each(['string', 'bytes', 'array', 'set', 'generator', 'async-generator', 'promise'])(
    'W50 a body may be a %s',
    async (kind) => {
      expect((await host().ask(`GET /body?${kind}`)).body.toString()).toBe('abç');
    },
  );

  test('W50 a body that is none of these is a 500', async () => {
    expect(await host().ask('GET /body?number')).toMatchObject({ status: 500 });
    await host().logged('the application returned 5');
  });

  test('W51 the client has a piece before the next is asked for', async () => {
    const client = await host().connect();
    await client.send('GET /stepwise?w51 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('first');
    await host().ask('GET /release?w51');
    expect((await client.chunk()).toString()).toBe('second');
    client.close();
  });

  test('W52 close() is called once: after a whole response', async () => {
    expect((await host().ask('GET /closed')).body.toString()).toBe('ab');
    expect(await host().noted('normal closed')).toBe(1);
  });

  test('W52 close() is called once: after a fault', async () => {
    const client = await host().connect();
    await client.send('GET /closed-after-fault HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.closed().catch(() => undefined);
    expect(await host().noted('faulty closed')).toBe(1);
  });

  test('W52 W57 close() is called once: for HEAD', async () => {
    const response = await host().ask('HEAD /closed-head');
    expect([response.status, response.body.length]).toEqual([200, 0]);
    expect(await host().noted('head closed')).toBe(1);
  });

  test('W52 close() is called once: when the client has left', async () => {
    const client = await host().connect();
    await client.send('GET /closed-abort HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    client.reset();
    expect(await host().noted('aborted closed')).toBe(1);
  });

  test('W52 W55 close() is called once, and nothing more is asked for: beyond Content-Length', async () => {
    expect((await host().ask('GET /closed-surplus')).body.toString()).toBe('ab');
    expect(await host().noted('surplus closed')).toBe(1);
  });

  test('W52 a close() that fails is logged, and the response is whole', async () => {
    expect((await host().ask('GET /close-fails')).body.toString()).toBe('whole');
    await host().logged('close() failed for W52');
  });

  test('W53 of the body nothing but its iteration and close() is touched', async () => {
    const text = (await host().ask('GET /touched')).body.toString();
    const allowed = ['Symbol(Symbol.asyncIterator)', 'Symbol(Symbol.iterator)', 'then', 'close', 'next', 'return'];
    for (const key of text.slice('body; touched: '.length).match(/Symbol\([^)]*\)|\w+/g) ?? [])
      expect(allowed).toContain(key);
  });

  test('W54 a body of one piece has a Content-Length', async () => {
    expect(header(await host().ask('GET /one'), 'content-length')).toBe('9');
  });

  test('W55 more than Content-Length is never sent', async () => {
    expect((await host().ask('GET /too-much')).body.toString()).toBe('abcd');
    expect((await host().ask('GET /write-too-much')).body.toString()).toBe('abcd');
    expect(await host().noted('refused: write was given more bytes than')).toBe(1);
  });

  test('W55 less than Content-Length is a connection that closes', async () => {
    const client = await host().connect();
    await client.send('GET /too-little HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.rest(true)).toString()).toBe('abcd');
    await host().logged('less than its Content-Length');
  });

  test('W56 a body of unknown length is chunked', async () => {
    const response = await host().ask('GET /no-length');
    expect(response.chunks?.join('')).toBe('one two');
    expect((await host().ask('GET /with-length')).framing).toBe('length');
  });

  test('W56 for HTTP/1.0 it ends with the connection', async () => {
    const client = await host().connect();
    await client.send('GET /no-length HTTP/1.0\r\n\r\n');
    const text = (await client.rest()).toString();
    expect(text).not.toMatch(/transfer-encoding/i);
    expect(text.endsWith('\r\n\r\none two')).toBe(true);
  });

  test('W57 HEAD has the Content-Length and no body', async () => {
    const response = await host().ask('HEAD /with-length');
    expect([header(response, 'content-length'), response.body.length]).toEqual(['7', 0]);
  });

  test.each(['204', '304'])('W58 %s has no body, and the connection goes on', async (status) => {
    const client = await host().connect();
    await client.send(`GET /bodiless?${status} HTTP/1.1\r\nHost: a\r\n\r\nGET /one HTTP/1.1\r\nHost: a\r\n\r\n`);
    const response = await client.response();
    expect(response.status).toBe(Number(status));
    expect(header(response, 'transfer-encoding')).toBeUndefined();
    expect(header(response, 'content-length')).toBe(status === '304' ? '5' : undefined);
    expect((await client.response()).body.toString()).toBe('one piece');
    client.close();
  });

  test.each(['100 Continue', '103 Early Hints', '199 x'])('W59 %s is no response', async (status) => {
    expect(await host().ask(`GET /status?${encodeURIComponent(status)}`)).toMatchObject({ status: 500 });
  });

  test('W60 a piece that is neither string nor bytes is a 500 before the headers', async () => {
    expect(await host().ask('GET /wrong-piece')).toMatchObject({ status: 500 });
    await host().logged('a body is made of strings and Uint8Arrays');
  });

  test.each(['wrong-piece?late', 'throws-late'])(
    'W60 W62 after the headers the response breaks off: %s',
    async (name) => {
      const client = await host().connect();
      await client.send(`GET /${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until('\r\n\r\n');
      expect((await client.chunk()).toString()).toMatch(/^s/);
      // No last chunk: the client knows that something is missing.
      expect((await client.rest(true)).toString()).toBe('');
    },
  );

  test.each([
    ['throws', 'secret of the application'],
    ['rejects', 'secret of the promise'],
  ])('W61 an error before the headers is a 500, its text only in the log: %s', async (name, secret) => {
    const response = await host().ask(`GET /${name}`);
    expect(response.status).toBe(500);
    expect(response.body.toString()).not.toContain('secret');
    expect(await host().logged(secret)).toContain('application.ts');
  });

  test('W66 one thread runs all of it', async () => {
    const answers = await Promise.all(Array.from({ length: 16 }, () => host().ask('GET /thread')));
    expect(new Set(answers.map(({ body }) => body.toString())).size).toBe(1);
  });

  test('W67 responses that are made at the same time do not mix', async () => {
    const names = Array.from({ length: 16 }, (_, index) => `q${index}`);
    const responses = await Promise.all(names.map((name) => host().ask(`GET /interleaved?${name}`)));
    for (const [index, response] of responses.entries()) {
      expect(header(response, 'x-query')).toBe(names[index]);
      expect(response.body.toString()).toBe(`${names[index]} `.repeat(5));
    }
  });

  test('W63 a worker that the application ends is replaced; the client has a 502', async () => {
    // In-process the process is the program's own, and so is the decision to end it.
    if (!host().isWorker) return;
    expect(await host().ask('GET /exits')).toMatchObject({ status: 502 });
    expect((await host().ask('GET /one')).body.toString()).toBe('one piece');
    await host().logged('exited with code 3');
  });
});
