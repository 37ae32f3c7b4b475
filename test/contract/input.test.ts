// W20 to W28: wsgi.input and wsgi.errors.

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { header, inEachHost, request } from './hosts.js';

const LINES = 'one\ntwo\nthree';

inEachHost('wsgi.input and wsgi.errors', (host) => {
  const ask = async (calls: string, body = LINES): Promise<unknown[]> => {
    const answer = (await host().json(`POST /input?${calls}`, [], body)) as { given: unknown[] };
    return answer.given;
  };

  test.each([
    ['read', [LINES]],
    ['read=-1', [LINES]],
    ['read=null', [LINES]],
    ['read=0', ['']],
    ['read=5,read', ['one\nt', 'wo\nthree']],
    ['readline,readline,readline,readline', ['one\n', 'two\n', 'three', '']],
    ['readlines', [['one\n', 'two\n', 'three']]],
    ['readlines=5,read', [['one\n', 'two\n'], 'three']],
    ['iterate', [['one\n', 'two\n', 'three']]],
    ['readline,read=2,iterate', ['one\n', 'tw', ['o\n', 'three']]],
  ])('W20 %s', async (calls, given) => {
    expect(await ask(calls)).toEqual(given);
  });

  test('W21 readline(size) gives no more than that', async () => {
    expect(await ask('readline=2,readline=2,readline=9')).toEqual(['on', 'e\n', 'two\n']);
  });

  test('W22 the end of the body is the end, also with a request behind it', async () => {
    const client = await host().connect();
    await client.send(
      request('POST /input?read=1000,read,read=5,readline', [], 'first') +
        request('POST /input?read=1000', [], 'second'),
    );
    expect(JSON.parse((await client.response()).body.toString())).toEqual({
      given: ['first', '', '', ''],
      length: '5',
    });
    expect(JSON.parse((await client.response()).body.toString())).toEqual({ given: ['second'], length: '6' });
    client.close();
  });

  test('W23 a body that the application does not read does no harm to the next request', async () => {
    const client = await host().connect();
    await client.send(request('POST /unread', [], 'x'.repeat(1_000_000)) + request('GET /one'));
    expect((await client.response()).body.toString()).toBe('unread');
    expect((await client.response()).body.toString()).toBe('one piece');
    client.close();
  });

  test('W24 a chunked body has a CONTENT_LENGTH', async () => {
    const client = await host().connect();
    await client.send(
      'POST /input?read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n',
    );
    expect(JSON.parse((await client.response()).body.toString())).toEqual({ given: ['abcde'], length: '5' });
    client.close();
  });

  test('W24 a large body comes whole', async () => {
    const body = 'abcdefg\n'.repeat(250_000);
    const digest = createHash('sha256').update(body).digest('hex');
    expect((await host().ask('POST /hash', [], body)).body.toString()).toBe(`${body.length} ${digest}`);
  });

  test('W25 a client that leaves in the middle of a body is no short body: the application is not called', async () => {
    const client = await host().connect();
    await client.send('POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    client.reset();
    expect((await host().ask('POST /once', [], 'x')).status).toBe(204);
    // The request that came whole is the only one that the application has seen.
    expect(await host().noted('once called')).toBe(1);
  });

  test('W26 Expect: 100-continue is the server’s', async () => {
    const client = await host().connect();
    await client.send('POST /input?read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n');
    expect((await client.until('\r\n\r\n')).toString()).toMatch(/^HTTP\/1\.1 100 /);
    await client.send('abc');
    expect(JSON.parse((await client.response()).body.toString())).toMatchObject({ given: ['abc'] });
    client.close();
  });

  test('W27 wsgi.errors takes any text and writes it into the log', async () => {
    expect((await host().ask('GET /errors')).status).toBe(200);
    const log = await host().logged('not text at all');
    for (const text of ['one word', 'first of several', 'second of several', '☃']) expect(log).toContain(text);
    expect(log).not.toContain('\u0007');
  });

  test('W27 what is written in close(), and the error of that, have the request', async () => {
    expect((await host().ask('GET /errors-in-close?w27')).body.toString()).toBe('a piece');
    const log = await host().logged('close itself fails');
    expect(log).toMatch(/ info worker 1 \(GET \/errors-in-close\?w27\): written in close\n/);
    expect(log).toMatch(/ error worker 1 \(GET \/errors-in-close\?w27\): Error: close itself fails\n/);
  });

  test('W28 all that input gives is bytes', async () => {
    expect(await ask('types')).toEqual([true]);
  });

  test('a GET has an empty body and no CONTENT_LENGTH', async () => {
    expect(await host().json('GET /input?read,readline,readlines')).toEqual({ given: ['', '', []] });
    expect(header(await host().ask('GET /one'), 'content-length')).toBe('9');
  });
});
