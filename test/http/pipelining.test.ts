// Pipelines: answers in the order of the requests, whatever order they are ready in (RFC 9112 §9.3.2).

import { describe, expect, test } from 'vitest';
import type { Application } from '../../dist/index.js';
import { deferred } from './deferred.js';
import { expectRefusal, record, request, SMUGGLED } from './recording-server.js';

/** An application whose answers wait until the test releases them, by URI. */
function gate() {
  const waiting = new Map<string, () => void>();
  let arrived = deferred();
  const answer: Application = (environ, startResponse) => {
    startResponse('200 OK', []);
    return new Promise<string>((resolve) => {
      waiting.set(environ.REQUEST_URI, () => resolve(environ.REQUEST_URI));
      arrived.resolve();
    });
  };
  /** Waits until so many requests are with the application. */
  const holds = async (count: number): Promise<void> => {
    while (waiting.size < count) {
      arrived = deferred();
      await arrived.promise;
    }
  };
  return { answer, waiting, holds };
}

describe('a pipeline', () => {
  test('of 50 GETs is answered in order though later ones finish first', async () => {
    await using target = await record({
      answer: async (environ, startResponse) => {
        startResponse('200 OK', []);
        await new Promise((resolve) => setTimeout(resolve, ((50 - Number(environ.REQUEST_URI.slice(1))) % 7) * 3));
        return environ.REQUEST_URI;
      },
    });
    const client = await target.connect();
    const uris = Array.from({ length: 50 }, (_, index) => `/${index}`);
    await client.send(uris.map((uri) => request(`GET ${uri}`)).join(''));
    const answers: string[] = [];
    for (const _uri of uris) answers.push((await client.response()).body.toString());
    expect(answers).toEqual(uris);
    client.close();
  });

  test('is worked on at once, and nothing is sent before its turn', async () => {
    const { answer, waiting, holds } = gate();
    await using target = await record({ answer });
    const client = await target.connect();
    await client.send(['/0', '/1', '/2', '/3'].map((uri) => request(`GET ${uri}`)).join(''));
    await holds(4);
    for (const uri of ['/3', '/1', '/2']) waiting.get(uri)?.();
    // Another connection's answer is later than those.
    const other = await target.connect();
    await other.send(request('GET /other'));
    await holds(5);
    waiting.get('/other')?.();
    expect((await other.response()).body.toString()).toBe('/other');
    waiting.get('/0')?.();
    for (const uri of ['/0', '/1', '/2', '/3']) expect((await client.response()).body.toString()).toBe(uri);
    client.close();
    other.close();
  });

  test('has 32 requests with the application at most, and the next as one is answered', async () => {
    const { answer, waiting, holds } = gate();
    await using target = await record({ answer });
    const client = await target.connect();
    await client.send(Array.from({ length: 48 }, (_, index) => request(`GET /${index}`)).join(''));
    await holds(32);
    // Another connection's request is later than all that the first one sent.
    const other = await target.connect();
    for (let round = 1; round <= 2; round += 1) {
      await other.send(request(`GET /other-${round}`));
      await holds(32 + round);
      expect(target.seen.filter(({ uri }) => !uri.startsWith('/other'))).toHaveLength(32);
      waiting.get(`/other-${round}`)?.();
      expect((await other.response()).status).toBe(200);
    }
    for (let index = 0; index < 48; index += 1) {
      await holds(Math.min(48, 32 + index) + 2);
      waiting.get(`/${index}`)?.();
      expect((await client.response()).body.toString()).toBe(`/${index}`);
    }
    client.close();
    other.close();
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'PURGE'])(
    '%s waits for what is before it, and holds what is behind it',
    async (method) => {
      const { answer, waiting, holds } = gate();
      await using target = await record({ answer });
      const client = await target.connect();
      await client.send(request('GET /1') + request(`${method} /2`, 'Content-Length: 2') + 'hi' + request('GET /3'));
      await holds(1);
      expect(target.seen.map(({ uri }) => uri)).toEqual(['/1']);
      waiting.get('/1')?.();
      expect((await client.response()).body.toString()).toBe('/1');
      await holds(2);
      expect(target.seen.map(({ uri }) => uri)).toEqual(['/1', '/2']);
      waiting.get('/2')?.();
      expect((await client.response()).body.toString()).toBe('/2');
      await holds(3);
      waiting.get('/3')?.();
      expect((await client.response()).body.toString()).toBe('/3');
      client.close();
    },
  );

  test('of mixed methods in one piece, and byte by byte, arrives whole', async () => {
    await using target = await record();
    const client = await target.connect();
    const chunked = `${request('POST /b', 'Transfer-Encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`;
    const bytes =
      request('GET /a') +
      chunked +
      request('PUT /c', 'Content-Length: 4') +
      'data' +
      request('HEAD /d') +
      request('GET /e');
    for (const pieces of [[bytes], Array.from(bytes)]) {
      target.seen.length = 0;
      for (const piece of pieces) await client.send(piece);
      for (const method of ['GET', 'POST', 'PUT', 'HEAD', 'GET'])
        expect((await client.response(method)).status).toBe(200);
      expect(target.seen.map(({ method, uri, body }) => `${method} ${uri} ${body}`)).toEqual([
        'GET /a ',
        'POST /b abc',
        'PUT /c data',
        'HEAD /d ',
        'GET /e ',
      ]);
    }
    client.close();
  });

  test.each<[row: string, invalid: string, status: number]>([
    ['H40 a bad request', 'GET /b HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n', 400],
    ['H40 a bad method', 'G@T / HTTP/1.1\r\n\r\n', 400],
    ['H40 both framings', request('POST /b', 'Content-Length: 4', 'Transfer-Encoding: chunked'), 400],
    ['H40 a long target', request(`GET /${'a'.repeat(9000)}`), 414],
    ['H40 a bad chunk', `${request('POST /b', 'Transfer-Encoding: chunked')}x\r\n`, 400],
    ['H40 a large body', request('POST /b', 'Content-Length: 99999999'), 413],
  ])('%s after valid ones: these are answered, then it, then the end', async (_row, invalid, status) => {
    const { answer, waiting, holds } = gate();
    await using target = await record({ answer });
    const client = await target.connect();
    await client.send(request('GET /0') + request('GET /1') + invalid + SMUGGLED);
    await holds(2);
    for (const uri of ['/1', '/0']) waiting.get(uri)?.();
    for (const uri of ['/0', '/1']) expect((await client.response()).body.toString()).toBe(uri);
    await expectRefusal(client, status);
    expect(target.seen.map(({ uri }) => uri)).toEqual(['/0', '/1']);
    client.close();
  });

  test('of a client that leaves before the answers does no harm', async () => {
    const { answer, waiting, holds } = gate();
    await using target = await record({ answer });
    const client = await target.connect();
    await client.send(['/0', '/1', '/2'].map((uri) => request(`GET ${uri}`)).join(''));
    await holds(3);
    client.reset();
    for (const uri of ['/2', '/1', '/0']) waiting.get(uri)?.();
    const other = await target.connect();
    await other.send(request('GET /other'));
    await holds(4);
    waiting.get('/other')?.();
    expect((await other.response()).body.toString()).toBe('/other');
    other.close();
  });
});
