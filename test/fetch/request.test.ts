// The Request that a fetch application gets.

import { expect, test } from 'vitest';
import { inEachHost, request } from './hosts.js';

inEachHost('request', (host) => {
  test('it is a Request of the web, with the URL as the client sees it', async () => {
    const seen = (await host().json('GET /request?a=%20b&c', ['X-One: 1', 'x-two:  two ', 'X-One: 2'])) as Record<
      string,
      unknown
    >;
    expect(seen).toMatchObject({
      url: 'http://example.test:8080/request?a=%20b&c',
      method: 'GET',
      isRequest: true,
      isInstance: '[object Request]',
      redirect: 'follow',
      mode: 'cors',
      hasBody: false,
      remoteAddress: '127.0.0.1',
      remotePort: 'number',
      localPort: host().port,
    });
    expect(seen['headers']).toEqual([
      ['host', 'example.test:8080'],
      ['x-one', '1, 2'],
      ['x-two', 'two'],
    ]);
  });

  test.each([
    ['/request?q=\'"', 'http://example.test:8080/request?q=%27%22'],
    ['/request?q=\xc3\xa9&r=\xea\xb4\x80', 'http://example.test:8080/request?q=%C3%A9&r=%EA%B4%80'],
    ['/request?q=%ff', 'http://example.test:8080/request?q=%ff'],
    ['/x/../request', 'http://example.test:8080/request'],
    ['/%2e/request', 'http://example.test:8080/request'],
    ['http://other.test/request?x', 'http://other.test/request?x'],
    ['http://OTHER.test:80/request', 'http://other.test/request'],
  ])('the target %s is the URL %s', async (target, url) => {
    expect(await host().json(`GET ${target}`)).toMatchObject({ url });
  });

  test('a path that begins with two slashes is no other host', async () => {
    const response = await host().ask('GET //evil.test/request');
    expect(response.status).toBe(404);
    expect(await host().json('GET /request', ['Host: EXAMPLE.test:80'])).toMatchObject({
      url: 'http://example.test/request',
    });
  });

  test('a Host that no URL can have is answered with 400, without the application', async () => {
    const response = await host().ask('GET /hello', ['Host: 256.256.256.256']);
    expect([response.status, response.body.toString()]).toEqual([400, 'The Host of the request is not valid.\n']);
  });

  test('the body can be read as text, JSON, bytes and a form', async () => {
    const post = async (path: string, body: string, ...headers: string[]): Promise<string> =>
      (await host().ask(`POST ${path}`, headers, body)).body.toString('latin1');
    expect(await post('/text', 'caf\xc3\xa9')).toBe('<caf\xc3\xa9>');
    expect(await post('/text', '')).toBe('<>');
    expect(await post('/json', '{"a":[1,null]}')).toBe('{"a":[1,null]}');
    expect(await post('/bytes', '\x00\xff')).toBe('\x00\xff');
    expect(await post('/form', 'a=1&b=%20', 'Content-Type: application/x-www-form-urlencoded')).toBe(
      '[["a","1"],["b"," "]]',
    );
    const parts = '--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nvalue\r\n--x--\r\n';
    expect(await post('/form', parts, 'Content-Type: multipart/form-data; boundary=x')).toBe('[["f","value"]]');
  });

  test('a body is read once', async () => {
    expect(await host().json('POST /used', [], 'body')).toEqual([false, true, 'TypeError', 'TypeError']);
  });

  test('it can be cloned, and be made another', async () => {
    expect(await host().json('POST /clone', [], 'body')).toEqual(['body', 'body', true]);
    expect(await host().json('POST /new-request', [], 'body')).toEqual([
      'http://example.test:8080/new-request',
      'POST',
      '1',
      'body',
    ]);
  });

  test('fetch takes it as it is, and its answer can be returned', async () => {
    const own = [`Host: 127.0.0.1:${host().port}`];
    const response = await host().ask('GET /gone', own);
    expect([response.status, response.body.toString()]).toEqual([200, 'hello\n']);
  });

  test('a chunked body comes as the client sends it, and the answer goes out meanwhile', async () => {
    const client = await host().connect();
    await client.send(request('POST /echo', ['Transfer-Encoding: chunked', 'Content-Type: a/b']));
    await client.send('5\r\nfirst\r\n');
    const head = (await client.until('\r\n\r\n')).toString();
    expect(head).toMatch(/x-type: a\/b/i);
    expect((await client.chunk()).toString()).toBe('first');
    await client.send('6\r\nsecond\r\n0\r\n\r\n');
    expect((await client.chunk()).toString()).toBe('second');
    expect((await client.chunk()).length).toBe(0);
    client.close();
  });

  test('a body of 8 MiB comes back as it went', async () => {
    const body = Buffer.alloc(8_388_608, 'gateway ');
    const answer = await fetch(`http://127.0.0.1:${host().port}/bytes`, { method: 'POST', body });
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
    const echoed = await fetch(`http://127.0.0.1:${host().port}/echo`, { method: 'POST', body });
    expect(Buffer.from(await echoed.arrayBuffer()).equals(body)).toBe(true);
  });

  test('nothing that one request enters into AsyncLocalStorage is another one’s', async () => {
    const client = await host().connect();
    await client.send(Array.from({ length: 20 }, (_, index) => request(`GET /storage?${index}`)).join(''));
    for (let i = 0; i < 20; i++) expect((await client.response()).body.toString()).toBe('[null,true]');
    client.close();
  });

  test('a request for an upgrade is a request like any other', async () => {
    const response = await host().ask('GET /hello', [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: x',
    ]);
    expect([response.status, response.body.toString()]).toEqual([200, 'hello\n']);
  });
});
