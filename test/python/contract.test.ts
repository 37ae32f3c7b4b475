// PEP 3333 as real Python applications see it, over real sockets: the rows that are the worker's side.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { header, RawClient } from '../http/raw-client.js';
import type { Gwanmun } from '../workers/gwanmun-process.js';
import { ask, startPython } from './python.js';

let server: Gwanmun;
let port: number;

beforeAll(async () => {
  server = startPython(
    { '/': 'contract', '/below': 'contract', '/class': 'contract:Application', '/instance': 'contract:instance' },
    { config: { environ: { APP_MODE: 'test', HTTP_X_GIVEN: 'by the deployer' } } },
  );
  port = await server.port();
});
afterAll(() => server[Symbol.asyncDispose]());

async function text(line: string, headers: string[] = [], body: string | Uint8Array = ''): Promise<string> {
  const response = await ask(port, line, headers, body);
  expect(response.status).toBe(200);
  return response.body.toString();
}

async function json(line: string, headers: string[] = [], body = ''): Promise<never> {
  return JSON.parse(await text(line, headers, body)) as never;
}

describe('calling and environ', () => {
  test('W01 an application may be a function, a class or an instance', async () => {
    expect(await text('GET /class/')).toBe('from a class');
    expect(await text('GET /instance')).toBe('from an instance');
  });

  test('W02 W03 W04 W09 the environ is a dict of str with everything that CGI and WSGI ask for', async () => {
    const environ: Record<string, unknown> = await json('GET /environ-dump?a=%20b&c', ['X-Two: 1', 'Cookie: a=1']);
    expect(environ).toMatchObject({
      REQUEST_METHOD: 'GET',
      SCRIPT_NAME: '',
      PATH_INFO: '/environ-dump',
      QUERY_STRING: 'a=%20b&c',
      REQUEST_URI: '/environ-dump?a=%20b&c',
      SERVER_NAME: 'example.org',
      SERVER_PORT: String(port),
      SERVER_PROTOCOL: 'HTTP/1.1',
      REMOTE_ADDR: '127.0.0.1',
      REMOTE_PORT: expect.stringMatching(/^\d+$/),
      SERVER_SOFTWARE: expect.stringMatching(/^gwanmun/),
      GATEWAY_INTERFACE: 'CGI/1.1',
      HTTP_HOST: 'example.org',
      HTTP_X_TWO: '1',
      HTTP_COOKIE: 'a=1',
      'wsgi.url_scheme': 'http',
      'wsgi.multithread': false,
      'wsgi.multiprocess': false,
      'wsgi.run_once': false,
      'wsgi.input_terminated': true,
      version: '(1, 0)',
      types: ['str'],
      dict: true,
    });
    expect(environ).not.toHaveProperty('CONTENT_LENGTH');
    expect(environ).not.toHaveProperty('HTTPS');
    // The one before has cleared its own.
    expect(await json('GET /environ-dump')).toHaveProperty('REQUEST_METHOD', 'GET');
  });

  test('W04 W05 bytes are latin-1 characters, the path is decoded once', async () => {
    const environ: Record<string, string> = await json('GET /environ-dump?%C3%A9', ['X-Bytes: \u00c3\u00a9']);
    expect(environ['QUERY_STRING']).toBe('%C3%A9');
    expect(environ['HTTP_X_BYTES']).toBe('\u00c3\u00a9');
    const response = await ask(port, 'GET /instance/caf%C3%A9%2525');
    expect(response.status).toBe(200);
  });

  test('W05 A140 doubled slashes stay, but not where a path begins', async () => {
    for (const [target, script, path] of [
      ['/paths//http%3A%2F%2Fx.y%2Fz', '', '/paths//http://x.y/z'],
      ['//%2Fpaths//', '', '/paths//'],
      ['/below//paths//x', '/below', '/paths//x'],
      ['//below%2F%2Fpaths', '/below', '/paths'],
    ]) {
      expect(await json(`GET ${target}`)).toEqual([script, path, target]);
    }
    expect((await ask(port, 'GET /paths//../x')).status).toBe(400);
  });

  test('W04 a target beyond ASCII is UTF-8, and its bytes are as sent', async () => {
    const environ = await json('GET /environ-dump?caf\u00c3\u00a9');
    expect(environ).toMatchObject({
      QUERY_STRING: 'caf\u00c3\u00a9',
      REQUEST_URI: '/environ-dump?caf\u00c3\u00a9',
    });
    expect((await ask(port, 'GET /environ-dump?caf\u00e9')).status).toBe(400);
  });

  test('W06 headers that come several times are joined', async () => {
    const environ = await json('GET /environ-dump', ['X-A: 1', 'Cookie: a=1', 'x-a: 2', 'cookie: b=2']);
    expect(environ).toMatchObject({ HTTP_X_A: '1, 2', HTTP_COOKIE: 'a=1; b=2' });
  });

  test('W07 W12 names that could be taken for others never come', async () => {
    const environ = await json('GET /environ-dump', ['X_Forwarded_For: 1', 'Proxy: http://evil']);
    expect(Object.keys(environ).filter((key) => /FORWARDED|PROXY|GWANMUN/.test(key))).toEqual([]);
  });

  test('W11 the deployer adds to it, and wins', async () => {
    expect(await json('GET /environ-dump', ['X-Given: by the client'])).toMatchObject({
      APP_MODE: 'test',
      HTTP_X_GIVEN: 'by the deployer',
    });
  });
});

describe('wsgi.input and wsgi.errors', () => {
  const body = 'one\ntwo\n\nlast';

  test.each([
    ['read', ['one\ntwo\n\nlast']],
    ['read,None', ['one\ntwo\n\nlast']],
    ['read,-1;read', ['one\ntwo\n\nlast', '']],
    ['read,0;read,5;read;read;read,3', ['', 'one\nt', 'wo\n\nlast', '', '']],
    ['readline;readline,2;readline,9;readline;readline;readline', ['one\n', 'tw', 'o\n', '\n', 'last', '']],
    ['readlines', [['one\n', 'two\n', '\n', 'last']]],
    ['readlines,4;read', [['one\n'], 'two\n\nlast']],
    ['readline;iterate', ['one\n', ['two\n', '\n', 'last']]],
  ])('W20 W21 W22 %s', async (calls, results) => {
    expect(await json(`POST /reads?${calls}`, [], body)).toEqual(results);
  });

  test('W20 the same from a body that is on disk', { timeout: 30_000 }, async () => {
    const large = `${'x'.repeat(99)}\n`.repeat(3000);
    expect(await text('POST /length', [], large)).toBe('300000 300000');
    const lines: string[] = await json('POST /reads?read,100;readline;readline,5;readlines,150', [], large);
    expect(lines.map((line) => line.length)).toEqual([100, 100, 5, 2]);
    expect(await text('POST /ignores', [], large)).toBe('not read');
  });

  test('W20 the same from a body of several frames', async () => {
    expect(await text('POST /length', [], 'x'.repeat(65_536))).toBe('65536 65536');
  });

  test('W22 without a body there is nothing to read', async () => {
    expect(await json('GET /reads?read;readline;read,5')).toEqual(['', '', '']);
  });

  test('W22 W23 a body that is not read does not reach the next request', async () => {
    const client = await RawClient.connect({ port });
    const post = `POST /ignores HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\nGET /evil HTTP/1.1`;
    await client.send(`${post}${post}GET /instance HTTP/1.1\r\nHost: h\r\n\r\n`);
    const bodies = [];
    for (let i = 0; i < 3; i++) bodies.push((await client.response()).body.toString());
    expect(bodies).toEqual(['not read', 'not read', 'from an instance']);
    client.close();
  });

  test('W24 a chunked body has a length', async () => {
    const client = await RawClient.connect({ port });
    await client.send(
      'POST /length HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    );
    expect((await client.response()).body.toString()).toBe('5 5');
    client.close();
  });

  test('W27 errors takes any text, line by line', async () => {
    expect(await text('GET /errors')).toBe('written');
    await server.says(/GET \/errors.*one \\udc80\u2603 line/);
    await server.says(/GET \/errors.*two lines/);
    await server.says(/GET \/errors.*no endprinted/);
  });
});

describe('start_response', () => {
  test('W31 W34 headers wait, so that an error found in time replaces them', async () => {
    const response = await ask(port, 'GET /replaced');
    expect([response.status, response.body.toString()]).toEqual([500, 'replaced']);
    expect([header(response, 'x-first'), header(response, 'x-second')]).toEqual([undefined, '2']);
  });

  test('W32 it may be called while the body is iterated', async () => {
    expect(await text('GET /late-start')).toBe('late');
  });

  test('W34 W62 an error found later breaks the connection off', async () => {
    const client = await RawClient.connect({ port });
    await client.send('GET /rethrown HTTP/1.1\r\nHost: h\r\n\r\n');
    const rest = (await client.rest()).toString();
    expect(rest).toContain('5\r\nfirst\r\n');
    expect(rest).not.toMatch(/never|\r\n0\r\n/);
    await server.says(/GET \/rethrown[^]*ValueError: after something was sent/);
  });

  test.each([
    ['W33', '/twice', /start_response was called twice/],
    ['W35', '/never', /start_response was not called/],
  ])('%s %s is a 500, and the log says why', async (_row, path, why) => {
    expect((await ask(port, `GET ${path}`)).status).toBe(500);
    await server.says(why);
  });

  test.each([
    ['200%20OK', 200, 'OK'],
    ['200%20Fine', 200, 'Fine'],
    ['404%20Nothing', 404, 'Nothing'],
    ['404%20', 404, ''],
    ['500%20caf%E9', 500, 'caf\u00e9'],
  ])('W36 the status %s is sent, with its reason', async (query, status, reason) => {
    expect(await ask(port, `GET /reason?${query}`)).toMatchObject({ status, reason });
    expect(await ask(port, `GET /reason-of-pieces?${query}`)).toMatchObject({ status, reason });
  });

  test.each(['no-reason', 'no-space', 'four-digits', 'informational', 'line-break', 'bytes-status'])(
    'W36 W59 a status that is none is refused at the call: %s',
    async (name) => {
      expect(await text(`GET /bad-head?${name}`)).toMatch(/^refused: the status must look like/);
    },
  );

  test.each(['injection', 'nul', 'snowman', 'bad-name', 'bytes-name', 'list-pair', 'triple', 'dict', 'tuple'])(
    'W37 headers that are none are refused at the call: %s',
    async (name) => {
      expect(await text(`GET /bad-head?${name}`)).toMatch(/^refused: (?:a header|the headers)/);
    },
  );

  test.each(['Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade'])(
    "W38 %s is the connection's: it is left out, and the log says so once",
    async (name) => {
      for (const given of [name, name, name.toLowerCase()]) {
        const response = await ask(port, `GET /connection-header?${given}`);
        expect([response.status, header(response, 'x-kept'), response.body.toString()]).toEqual([200, '1', 'body']);
        expect(response.headers.filter(([, value]) => value === 'x-x')).toEqual([]);
      }
      const told = new RegExp(` warn worker 1 \\(GET /connection-header\\?${name}\\): .* the header ${name}\\.`, 'i');
      await server.says(told);
      expect(server.stderr.split('\n').filter((line) => told.test(line))).toHaveLength(1);
    },
  );

  test.each(['two-lengths', 'strange-length'])('W55 so is a length that is none: %s', async (name) => {
    expect(await text(`GET /bad-head?${name}`)).toMatch(/^refused: Content-Length/);
  });

  test('W40 W41 W54 headers keep their order; Date, Server and the length are added', async () => {
    const response = await ask(port, 'GET /cookies');
    const names = response.headers.map(([name]) => name.toLowerCase());
    expect(response.headers.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value)).toEqual([
      'a=1',
      'c=2',
    ]);
    expect(names.filter((name) => ['date', 'server'].includes(name))).toHaveLength(2);
    expect(header(response, 'content-length')).toBe('7');
    expect(header(response, 'x-b')).toBe('caf\u00e9');
  });
});

describe('the body', () => {
  test.each(['list', 'tuple', 'generator'])('W50 may be a %s', async (kind) => {
    expect(await text(`GET /body?${kind}`)).toBe('ab');
  });

  test.each(['empty', 'empties'])('W50 may be %s', async (kind) => {
    const response = await ask(port, `GET /body?${kind}`);
    expect([response.status, header(response, 'content-length')]).toEqual([200, '0']);
  });

  test.each(['text', 'texts', 'generated%20text', 'bytes', 'str', 'number', 'none'])(
    'W60 anything else is a 500: %s',
    async (kind) => {
      expect((await ask(port, `GET /body?${kind}`)).status).toBe(500);
    },
  );

  test.each(['large', 'larger'])('is whole when it is %s than what may be sent at once', async (kind) => {
    const { status, body } = await ask(port, `GET /body?${kind}`);
    expect([status, body.length, body.indexOf('y')]).toEqual([200, 1_000_000, 100_000]);
  });

  test('W51 a piece is with the client before the next is asked for', async () => {
    const client = await RawClient.connect({ port });
    await client.send('GET /stepwise HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('first');
    writeFileSync(join(server.folder, 'received'), '');
    expect((await client.chunk()).toString()).toBe('second');
    client.close();
  });

  test.each(['normal', 'fault', 'surplus', 'never', 'broken'])('W52 close() is called once: %s', async (name) => {
    await ask(port, `GET /closing?${name}`).catch(() => undefined);
    expect(await text(`GET /was-closed?${name}`)).toBe('1');
  });

  test('W52 a close() that fails is in the log, and the response is whole', async () => {
    expect(await text('GET /closing?broken')).toBe('a');
    await server.says(/RuntimeError: close itself fails/);
  });

  test('W52 W57 close() is called once for HEAD, and the iteration is given up', async () => {
    expect((await ask(port, 'HEAD /closing?head')).status).toBe(200);
    expect(await text('GET /was-closed?head')).toBe('1');
  });

  test('W52 close() is called once when the client leaves', async () => {
    const client = await RawClient.connect({ port });
    await client.send('GET /closing?abort HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.until('\r\n\r\n');
    client.reset();
    expect(await text('GET /was-closed?abort')).toBe('1');
  });

  test('W55 what goes beyond Content-Length is not sent', async () => {
    expect(await text('GET /closing?surplus')).toBe('abc');
    expect(await text('GET /instance')).toBe('from an instance');
  });

  test('W55 less than Content-Length ends the connection', async () => {
    const client = await RawClient.connect({ port });
    await client.send('GET /short HTTP/1.1\r\nHost: h\r\n\r\n');
    expect((await client.rest()).toString()).toMatch(/Content-Length: 10\r\n\r\nshort$/);
  });

  test('W56 without a length it is chunked, or ends with the connection for HTTP/1.0', async () => {
    expect(header(await ask(port, 'GET /body?generator'), 'transfer-encoding')).toBe('chunked');
    const client = await RawClient.connect({ port });
    await client.send('GET /body?generator HTTP/1.0\r\n\r\n');
    expect((await client.rest()).toString()).toMatch(/text\/plain\r\n\r\nab$/);
  });

  test('W57 W58 HEAD, 204 and 304 have none, and the connection goes on', async () => {
    const client = await RawClient.connect({ port });
    await client.send('HEAD /cookies HTTP/1.1\r\nHost: h\r\n\r\n');
    const head = await client.response('HEAD');
    expect([head.status, header(head, 'content-length'), head.body.length]).toEqual([200, '7', 0]);
    for (const [status, length] of [
      [204, undefined],
      [304, '4'],
    ] as const) {
      await client.send(`GET /status?${status} HTTP/1.1\r\nHost: h\r\n\r\n`);
      const response = await client.response();
      expect([response.status, header(response, 'content-length'), response.body.length]).toEqual([status, length, 0]);
    }
    client.close();
  });

  test('W61 an error before the headers is a 500 that tells nothing, and a traceback in the log', async () => {
    const response = await ask(port, 'GET /raises?error');
    expect(response.status).toBe(500);
    expect(response.body.toString()).not.toMatch(/secret|Traceback/);
    await server.says(/GET \/raises\?error.*Traceback[^]*contract\.py", line \d+, in raises[^]*a secret reason/);
  });

  test('W62 an error after the headers breaks the connection off', async () => {
    const client = await RawClient.connect({ port });
    await client.send('GET /half HTTP/1.1\r\nHost: h\r\n\r\n');
    expect((await client.rest()).toString()).toMatch(/the first half\r\n$/);
    await server.says(/RuntimeError: half is enough/);
  });

  test.each(['exit', 'interrupt', 'generator'])('W63 %s in an application ends no worker', async (kind) => {
    const before = await text('GET /pid');
    expect((await ask(port, `GET /raises?${kind}`)).status).toBe(500);
    expect(await text('GET /pid')).toBe(before);
  });

  test('W64 what is written comes before what is returned', async () => {
    expect(await text('GET /writes')).toBe('written, returned');
    expect((await ask(port, 'GET /writes-text')).status).toBe(500);
  });

  test('W55 W64 writing beyond Content-Length is an error', async () => {
    expect(await text('GET /writes-too-much')).toBe('abc');
    await server.says(/write\(\) was given more bytes than Content-Length says/);
  });
});
