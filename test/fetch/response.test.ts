// The Response that a fetch application returns.

import { expect, test } from 'vitest';
import { inEachHost } from './hosts.js';

inEachHost('response', (host) => {
  test.each([
    ['/hello', 200, 'text/plain;charset=UTF-8', 'hello\n'],
    ['/blob', 200, 'text/css', 'blob'],
    ['/params', 200, 'application/x-www-form-urlencoded;charset=UTF-8', 'a=b+c'],
    ['/mutated', 200, undefined, 'before'],
    ['/read-clone', 200, 'text/plain;charset=UTF-8', 'once'],
    ['/empty', 204, undefined, ''],
    ['/nowhere', 404, undefined, ''],
  ])('%s has status, type and body', async (path, status, type, body) => {
    const response = await host().ask(`GET ${path}`);
    const headers = Object.fromEntries(response.headers);
    expect([response.status, headers['content-type'], response.body.toString()]).toEqual([status, type, body]);
  });

  test.each(['/large', '/large-bytes'])('%s arrives whole, with its length', async (path) => {
    const response = await host().ask(`GET ${path}`);
    expect(response.framing).toBe('length');
    expect(response.body.equals(Buffer.alloc(1_000_000, 'x'))).toBe(true);
  });

  test('HEAD has the headers of GET, and no body', async () => {
    const [get, head] = [await host().ask('GET /hello'), await host().ask('HEAD /hello')];
    const shown = (headers: [string, string][]): unknown => headers.filter(([name]) => name !== 'date');
    expect(shown(head.headers)).toEqual(shown(get.headers));
    expect((await host().ask('HEAD /endless')).status).toBe(200);
  });

  test('a redirect', async () => {
    const response = await host().ask('GET /redirect');
    expect([response.status, Object.fromEntries(response.headers)['location']]).toEqual([
      303,
      'http://example.test/elsewhere',
    ]);
  });

  test('each Set-Cookie is a line of its own', async () => {
    const { headers } = await host().ask('GET /cookies');
    expect(headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value)).toEqual(['a=1', 'b=2; Path=/']);
  });

  test('headers that are changed later are the ones that are sent', async () => {
    const headers = Object.fromEntries((await host().ask('GET /later-headers')).headers);
    expect([headers['x-one'], headers['x-two']]).toEqual([undefined, '2']);
  });

  test.each([
    ['/reason', 201, 'Made'],
    ['/reason-of-native', 404, 'Nothing here'],
    ['/hello', 200, 'OK'],
    ['/nowhere', 404, 'Not Found'],
  ])('the reason of %s is its statusText, or the usual one', async (path, status, reason) => {
    expect(await host().ask(`GET ${path}`)).toMatchObject({ status, reason });
  });

  test('headers of the connection are left out', async () => {
    const headers = Object.fromEntries((await host().ask('GET /connection')).headers);
    expect([headers['connection'], headers['keep-alive'], headers['x-kept']]).toEqual([undefined, undefined, '1']);
  });

  test('what cannot be a header or a status is refused where it is made', async () => {
    expect(await host().json('GET /injection')).toEqual(['TypeError', 'TypeError', 'TypeError', 'TypeError']);
    expect(await host().json('GET /statuses')).toEqual([
      'RangeError',
      'RangeError',
      'RangeError',
      'RangeError',
      'TypeError',
    ]);
  });

  test('it is a Response of the web in every member', async () => {
    expect(await host().json('GET /members')).toEqual({
      ok: true,
      type: 'default',
      url: '',
      redirected: false,
      contentType: 'text/plain;charset=UTF-8',
      used: [false, 'ä', true],
      tag: '[object Response]',
      instances: [true, true, true, false],
      native: [true, false],
      name: 'Response',
    });
  });

  test('a stream arrives in its pieces', async () => {
    const response = await host().ask('GET /stream');
    expect(response.chunks).toEqual(['piece 1\n', 'piece 2\n', 'piece 3\n']);
  });

  test('a stream that breaks is a connection that breaks', async () => {
    const client = await host().connect();
    await client.send('GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('some');
    expect((await client.rest(true)).toString()).toBe('');
    await host().logged('Error: the stream broke');
  });

  test('a stream of something else than bytes is an error that says so', async () => {
    expect((await host().ask('GET /strings')).status).toBe(500);
    await host().logged('the stream of a response gave "text"; it must give Uint8Arrays');
  });

  test.each([
    ['/throws', 'Error: thrown by the handler'],
    ['/rejects', 'Error: rejected by the handler'],
    ['/nothing', 'the fetch handler returned undefined; it must return a Response'],
    ['/error', 'Response.error(), which cannot be sent'],
    ['/read-twice', 'whose body was read already'],
  ])('%s is a 500, and the log says why', async (path, text) => {
    expect((await host().ask(`GET ${path}`)).status).toBe(500);
    await host().logged(text);
  });
});
