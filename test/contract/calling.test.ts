// W01 to W12: how the application is called, and what environ says.

import { expect, test } from 'vitest';
import { ENVIRON, inEachHost } from './hosts.js';
import { OVER_TLS, SCHEME } from '../transport/client.js';

type Environ = Record<string, unknown> & { keys: string[] };

inEachHost('calling and environ', (host) => {
  const environ = async (line: string, headers: readonly string[] = [], body = ''): Promise<Environ> =>
    (await host().json(line, headers, body)) as Environ;

  test('W01 the application is called with two positional arguments', async () => {
    expect((await host().ask('GET /arguments')).body.toString()).toBe('2');
  });

  test.each([
    ['instance', 'an instance'],
    ['async', 'async'],
    ['start-in-iteration', 'started while iterating'],
  ])('W01 it may be a bound member, an async function, a generator: %s', async (name, answer) => {
    expect((await host().ask(`GET /${name}`)).body.toString()).toBe(answer);
  });

  test('W02 environ is a plain object', async () => {
    expect(await environ('GET /environ')).toMatchObject({ isPlain: true });
  });

  test('W02 what one request changes in it, the next does not see', async () => {
    const client = await host().connect();
    for (let i = 0; i < 3; i++) {
      await client.send('GET /mutate HTTP/1.1\r\nHost: a\r\n\r\n');
      expect(JSON.parse((await client.response()).body.toString())).toEqual({ marked: false, method: 'GET' });
    }
    client.close();
    expect(await environ('GET /environ')).not.toHaveProperty('HTTP_X_MARK');
  });

  test('W03 the CGI variables', async () => {
    const values = await environ('POST /mounted/environ?a=b', ['Content-Type: text/x-test'], 'hello');
    expect(values).toMatchObject({
      REQUEST_METHOD: 'POST',
      SCRIPT_NAME: '/mounted',
      PATH_INFO: '/environ',
      QUERY_STRING: 'a=b',
      CONTENT_TYPE: 'text/x-test',
      CONTENT_LENGTH: '5',
      SERVER_NAME: 'example.test',
      SERVER_PROTOCOL: 'HTTP/1.1',
      GATEWAY_INTERFACE: 'CGI/1.1',
      REMOTE_ADDR: '127.0.0.1',
    });
    expect(values['SERVER_PORT']).toMatch(/^\d+$/);
    expect(values['REMOTE_PORT']).toMatch(/^\d+$/);
  });

  test('W03 at the root SCRIPT_NAME is empty', async () => {
    expect(await environ('GET /environ')).toMatchObject({ SCRIPT_NAME: '', PATH_INFO: '/environ' });
  });

  test('W04 a character of a value is a byte', async () => {
    const values = await environ('GET /environ/caf%C3%A9', ['X-Latin: caf\u00e9']);
    expect(values).toMatchObject({ PATH_INFO: '/environ/caf\u00c3\u00a9', HTTP_X_LATIN: 'caf\u00e9' });
  });

  test('W05 PATH_INFO is decoded once, QUERY_STRING is not, REQUEST_URI is as sent', async () => {
    const values = await environ('GET /environ/%2541%20?q=%2541+b');
    expect(values).toMatchObject({
      PATH_INFO: '/environ/%41 ',
      QUERY_STRING: 'q=%2541+b',
      REQUEST_URI: '/environ/%2541%20?q=%2541+b',
    });
  });

  test.each([
    ['/environ//x%2F%2Fy//', '', '/environ//x//y//'],
    ['//%2Fenviron/http://a.b', '', '/environ/http://a.b'],
    ['/mounted//environ//x', '/mounted', '/environ//x'],
    ['//mounted%2F%2F%2Fenviron/x%2F', '/mounted', '/environ/x/'],
  ])('W05 A140 %s: doubled slashes stay, but not where a path begins', async (target, script, path) => {
    expect(await environ(`GET ${target}`)).toMatchObject({
      SCRIPT_NAME: script,
      PATH_INFO: path,
      REQUEST_URI: target,
    });
  });

  test.each(['/environ//../x', '/environ/.//x', '/mounted/%2F/%2e'])(
    'W05 A140 an empty and a dot segment in one path are a 400: %s',
    async (target) => {
      expect((await host().ask(`GET ${target}`)).status).toBe(400);
    },
  );

  test('W04 a target beyond ASCII is UTF-8, and its bytes are as sent', async () => {
    expect(await environ('GET /environ/caf\u00c3\u00a9?\u00ea\u00b4\u0080')).toMatchObject({
      PATH_INFO: '/environ/caf\u00c3\u00a9',
      QUERY_STRING: '\u00ea\u00b4\u0080',
      REQUEST_URI: '/environ/caf\u00c3\u00a9?\u00ea\u00b4\u0080',
    });
    for (const target of ['/environ/caf\u00e9', '/environ?\u00c0\u00af']) {
      expect((await host().ask(`GET ${target}`)).status).toBe(400);
    }
  });

  test.each(['%00', '%zz', '%'])('W05 a path with %s never comes', async (escape) => {
    expect((await host().ask(`GET /environ/${escape}`)).status).toBe(400);
  });

  test('W06 repeated headers are joined, cookies with a semicolon; what is absent has no key', async () => {
    const values = await environ('GET /environ', ['Cookie: a=1', 'X-Two: one', 'Cookie: b=2', 'X-Two: two']);
    expect(values).toMatchObject({ HTTP_COOKIE: 'a=1; b=2', HTTP_X_TWO: 'one, two', HTTP_HOST: 'example.test:8080' });
    expect(values.keys).not.toContain('HTTP_REFERER');
    expect(values.keys).not.toContain('HTTP_CONTENT_TYPE');
  });

  test('W07 W12 neither underscores nor Proxy pass for another header', async () => {
    const values = await environ('GET /environ', ['X_Forwarded_For: 10.0.0.1', 'Proxy: http://evil.test/']);
    expect(values.keys).not.toContain('HTTP_X_FORWARDED_FOR');
    expect(values.keys).not.toContain('HTTP_PROXY');
  });

  test.skipIf(OVER_TLS)('W08 without TLS there is no HTTPS; without a login no REMOTE_USER', async () => {
    const { keys } = await environ('GET /environ');
    expect(keys).not.toContain('HTTPS');
    expect(keys).not.toContain('REMOTE_USER');
  });

  test.runIf(OVER_TLS)('T28 over TLS it has what was agreed on, whatever the client says', async () => {
    expect(await environ('GET /environ', ['SSL-Protocol: none', 'HTTPS: off'])).toMatchObject({
      HTTPS: 'on',
      SSL_PROTOCOL: 'TLSv1.3',
      SSL_CIPHER: 'TLS_AES_256_GCM_SHA384',
      SSL_TLS_SNI: 'localhost',
      SSL_CLIENT_VERIFY: 'NONE',
    });
  });

  test('W09 the wsgi keys are true', async () => {
    expect(await environ('GET /environ')).toMatchObject({
      version: [1, 0],
      'wsgi.url_scheme': SCHEME,
      'wsgi.multithread': false,
      'wsgi.multiprocess': false,
      'wsgi.run_once': false,
      'wsgi.input_terminated': true,
    });
  });

  test("W10 the server's own keys are lower case and have a prefix", async () => {
    const { keys } = await environ('GET /environ');
    for (const key of keys) expect(key).toMatch(/^(?:[A-Z][A-Z0-9_]*|(?:wsgi|gwanmun|site)\.[a-z_]+)$/);
  });

  test('W11 the deployer adds pairs, which win over headers', async () => {
    expect(await environ('GET /environ', ['X-User: the client'])).toMatchObject(ENVIRON);
  });

  test("W12 the server's environment does not leak into environ", async () => {
    const { keys } = await environ('GET /environ');
    expect(process.env).toHaveProperty('PATH');
    expect(keys).not.toContain('PATH');
    expect(keys).not.toContain('HOME');
  });
});
