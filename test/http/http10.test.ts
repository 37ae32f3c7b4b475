// HTTP/1.0 clients: no chunks, no 1xx, Host not needed.

import { describe, expect, test } from 'vitest';
import type { Application } from '../../dist/index.js';
import { deferred } from './deferred.js';
import { header } from './raw-client.js';
import { last, record } from './recording-server.js';

const streamed: Application = function* (_environ, startResponse) {
  startResponse('200 OK', []);
  yield 'one ';
  yield 'two';
};

describe('HTTP/1.0', () => {
  test('W56 a body of unknown length ends with the connection, even with keep-alive', async () => {
    await using target = await record({ answer: streamed });
    const client = await target.connect();
    await client.send('GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const response = await client.response();
    expect([response.framing, response.body.toString(), header(response, 'connection')]).toEqual([
      'close',
      'one two',
      undefined,
    ]);
    client.close();
  });

  test('W62 an error within such a body is a reset: an end would look like a whole body', async () => {
    const read = deferred();
    await using target = await record({
      answer: async function* (_environ, startResponse) {
        startResponse('200 OK', []);
        yield 'half';
        await read.promise;
        throw new Error('expected by the test');
      },
    });
    const client = await target.connect();
    await client.send('GET /a HTTP/1.0\r\n\r\n');
    // libuv takes a reset that comes together with data for an end.
    await client.until('half');
    read.resolve();
    expect(await client.closed()).toBe('reset');
  });

  test('needs no Host; SERVER_NAME is the address then', async () => {
    await using target = await record();
    expect((await target.ask('GET /a HTTP/1.0\r\n\r\n')).status).toBe(200);
    expect(last(target).environ).toMatchObject({
      SERVER_PROTOCOL: 'HTTP/1.0',
      SERVER_NAME: '127.0.0.1',
      SERVER_PORT: String(target.port),
    });
    expect(last(target).environ['HTTP_HOST']).toBeUndefined();
  });

  test('a body with a length arrives', async () => {
    await using target = await record();
    await target.ask('POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello');
    expect(last(target).body.toString()).toBe('hello');
  });

  test('a body without a length is none', async () => {
    await using target = await record();
    await target.ask('POST /a HTTP/1.0\r\n\r\nhello');
    expect(last(target).body.length).toBe(0);
    expect(target.seen).toHaveLength(1);
  });
});
