// W30 to W42 and W64: startResponse, its write(), status and headers.

import { expect, test } from 'vitest';
import { header, inEachHost } from './hosts.js';

const query = (value: string): string => encodeURIComponent(value);

inEachHost('startResponse', (host) => {
  /** What startResponse said to these headers; empty if it took them. */
  const refusal = async (headers: unknown): Promise<string> =>
    (await host().ask(`GET /header?${query(JSON.stringify(headers))}`)).body.toString();

  test('W30 W64 it returns write(), whose bytes come before those of the iterable', async () => {
    expect((await host().ask('GET /write')).body.toString()).toBe('written, also bytes, then the iterable');
  });

  test('W64 what write() was given is on its way when it returns', async () => {
    const client = await host().connect();
    await client.send('GET /write-slowly?w64 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('first');
    await host().ask('GET /release?w64');
    expect((await client.chunk()).toString()).toBe('second');
    client.close();
  });

  test('W31 headers wait for the first piece that is not empty, and may be replaced until then', async () => {
    const response = await host().ask('GET /replaced');
    expect([response.status, header(response, 'x-case')]).toEqual([503, 'second']);
    expect(response.body.toString()).toBe('sorry');
  });

  test('W32 it may be called in the first step of the iteration', async () => {
    expect(await host().ask('GET /start-in-iteration')).toMatchObject({ status: 202 });
  });

  test.each(['start-twice', 'start-twice-after-fault'])(
    'W33 a second call without an error is a fault: %s',
    async (name) => {
      expect(await host().ask(`GET /${name}`)).toMatchObject({ status: 500 });
      await host().logged('startResponse was called twice');
    },
  );

  test('W34 an error that is reported after the headers is thrown, and the response breaks off', async () => {
    const client = await host().connect();
    await client.send('GET /exc-info-late HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('sent already');
    expect(await client.closed()).toBeDefined();
    await host().logged('RangeError: the reason of W34');
  });

  test('W35 an application that never calls it is a 500', async () => {
    expect(await host().ask('GET /no-start')).toMatchObject({ status: 500 });
    await host().logged('without calling startResponse');
  });

  test.each([
    ['200 OK', 200, 'OK'],
    ['200 Fine', 200, 'Fine'],
    ['404 Nicht gefunden', 404, 'Nicht gefunden'],
    ['404 ', 404, ''],
    ['299 ', 299, ''],
    ['500 caf\u00e9  ~', 500, 'caf\u00e9  ~'],
  ])('W36 the status %o is sent, with its reason', async (status, code, reason) => {
    // The third time its header lines are known by a number.
    for (let i = 0; i < 3; i++) {
      expect(await host().ask(`GET /status?${query(status)}`)).toMatchObject({ status: code, reason });
    }
  });

  test('W36 the reason of a body that comes in pieces, and of a file', async () => {
    expect(await host().ask('GET /reason-of-pieces')).toMatchObject({ status: 299, reason: 'In Pieces' });
    expect(await host().ask('GET /reason-of-file')).toMatchObject({ status: 200, reason: 'A File' });
  });

  test.each(['200', '200OK', '2000 x', '200 a\r\nX: y', '20 OK', 'OK', '', '600 no'])(
    'W36 the status %o is a fault',
    async (status) => {
      expect(await host().ask(`GET /status?${query(status)}`)).toMatchObject({ status: 500 });
    },
  );

  test.each([
    ['a name with a space', [['Bad name', 'x']]],
    ['a name with a line end', [['X\r\nY', 'x']]],
    ['an empty name', [['', 'x']]],
    ['a value with a line end', [['X', 'a\r\nSet-Cookie: b']]],
    ['a value with NUL', [['X', 'a\0']]],
    ['a value beyond latin-1', [['X', '☃']]],
    ['a value that is no string', [['X', 5]]],
    ['a header that is no pair', [['X']]],
    ['headers that are no list', { X: 'y' }],
    [
      'two lengths',
      [
        ['Content-Length', '1'],
        ['Content-Length', '2'],
      ],
    ],
    ['a length that is no number', [['Content-Length', '-1']]],
  ])('W37 %s is refused when it is given', async (_name, headers) => {
    expect(await refusal(headers)).not.toBe('');
  });

  test('W37 latin-1 is sent as it is', async () => {
    const response = await host().ask(`GET /header?${query(JSON.stringify([['X-Name', 'caf\u00e9']]))}`);
    expect(header(response, 'x-name')).toBe('caf\u00e9');
  });

  test.each(['null', 'undefined'])('W42 %s as excInfo means that there is no error', async (value) => {
    expect((await host().ask(`GET /exc-info-nothing?${value}`)).body.toString()).toBe('no error');
  });

  test.each([
    'Connection',
    'keep-alive',
    'Proxy-Authenticate',
    'Proxy-Authorization',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
  ])("W38 %s is the connection's: it is left out, and the log says so once", async (name) => {
    const line = `GET /header?${query(
      JSON.stringify([
        ['X-Kept', '1'],
        [name, 'x-x'],
      ]),
    )}`;
    // Also once its header lines are known by a number, and in another case.
    for (let i = 0; i < 3; i++) {
      const response = await host().ask(line);
      expect([response.status, response.body.toString(), header(response, 'x-kept')]).toEqual([200, '', '1']);
      expect(response.headers.filter(([, value]) => value === 'x-x')).toEqual([]);
    }
    await host().ask(`GET /header?${query(JSON.stringify([[name.toUpperCase(), 'x']]))}`);
    // What is told of the next request comes behind.
    await host().ask('GET /no-start');
    const log = await host().logged('without calling startResponse');
    const lines = log.split('\n').filter((text) => text.includes(' has the header '));
    const told = lines.filter((text) => text.toLowerCase().includes(` ${name.toLowerCase()}. `));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/ warn worker 1 \(GET \/header\?/);
  });

  test('W39 what happens to the list afterwards changes nothing', async () => {
    const response = await host().ask('GET /header-list-changed');
    expect([header(response, 'x-case'), header(response, 'x-late')]).toEqual(['as given', undefined]);
  });

  test('W40 Date and Server are added', async () => {
    const response = await host().ask('GET /one');
    expect(header(response, 'date')).toMatch(/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/);
    expect(header(response, 'server')).toMatch(/^gwanmun\//);
  });

  test("W40 the application's own are kept, and not doubled", async () => {
    const response = await host().ask('GET /date-and-server');
    const named = (name: string): string[] =>
      response.headers.filter(([own]) => own === name).map(([, value]) => value);
    expect(named('date')).toEqual(['Sun, 06 Nov 1994 08:49:37 GMT']);
    expect(named('server')).toEqual(['mine']);
  });

  test('W41 headers of one name stay apart and in order', async () => {
    const { headers } = await host().ask('GET /cookies');
    expect(headers.filter(([name]) => name === 'set-cookie' || name === 'x-between')).toEqual([
      ['set-cookie', 'a=1'],
      ['x-between', 'x'],
      ['set-cookie', 'b=2'],
    ]);
  });
});
