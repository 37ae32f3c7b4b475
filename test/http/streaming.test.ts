// W51: each piece of a body is on its way before the next is asked for.

import { describe, expect, test } from 'vitest';
import { deferred } from './deferred.js';
import { record, request } from './recording-server.js';

describe('a streamed response', () => {
  test('W51 each chunk is with the client before the next is made', async () => {
    let next = deferred();
    const made: number[] = [];
    await using target = await record({
      answer: async function* (_environ, startResponse) {
        startResponse('200 OK', [['Content-Type', 'text/event-stream']]);
        for (let index = 1; index <= 5; index += 1) {
          made.push(index);
          yield `event ${index}\n`;
          await next.promise;
          next = deferred();
        }
      },
    });
    const client = await target.connect();
    await client.send(request('GET /events'));
    expect((await client.until('\r\n\r\n')).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (let index = 1; index <= 5; index += 1) {
      expect((await client.chunk()).toString()).toBe(`event ${index}\n`);
      expect(made.length).toBe(index);
      next.resolve();
    }
    expect((await client.chunk()).length).toBe(0);
    // The connection goes on.
    await client.send(request('GET /events'));
    await client.until('event 1\n');
    client.close();
    next.resolve();
  });

  test('W51 a synchronous generator is asked for the next piece only after a flush', async () => {
    await using target = await record({
      answer: function* (_environ, startResponse) {
        startResponse('200 OK', []);
        yield 'one';
        yield '';
        yield 'two';
        yield new Uint8Array([0x33]);
      },
    });
    const response = await target.ask(request('GET /a'));
    expect(response.chunks).toEqual(['one', 'two', '3']);
  });

  test('W64 write() comes before what is returned', async () => {
    await using target = await record({
      answer: (_environ, startResponse) => {
        const write = startResponse('200 OK', []);
        write('one ');
        write('two ');
        return ['three'];
      },
    });
    expect((await target.ask(request('GET /a'))).body.toString()).toBe('one two three');
  });

  test('two streams of two clients do not mix', async () => {
    await using target = await record({
      answer: async function* (environ, startResponse) {
        startResponse('200 OK', []);
        for (let index = 0; index < 200; index += 1) {
          yield `${environ.REQUEST_URI}${index} `;
          await Promise.resolve();
        }
      },
    });
    const answers = await Promise.all(
      ['/a', '/b', '/c', '/d'].map(async (uri) => [uri, (await target.ask(request(`GET ${uri}`))).body.toString()]),
    );
    for (const [uri, body] of answers) {
      expect(body).toBe(Array.from({ length: 200 }, (_, index) => `${uri}${index} `).join(''));
    }
  });
});
