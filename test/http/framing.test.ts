// Where a request ends for the application. What ends where on the wire is in cases.txt.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient } from './raw-client.js';
import {
  expectAlive,
  expectRefused,
  last,
  record,
  request,
  SMUGGLED,
  type RecordingServer,
} from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const post = (...headers: string[]): string => request('POST /a', ...headers);

test('H55 the largest Content-Length is no more than a length that is too large', async () => {
  await expectRefused(target, post('Content-Length: 9223372036854775807') + SMUGGLED, 413);
});

describe('wsgi.input ends where the body ends', () => {
  test('W22 with a length, though the next request is there already', async () => {
    const client = await target.connect();
    await client.send(post('Content-Length: 5') + 'hello' + request('GET /next'));
    expect([(await client.response()).status, (await client.response()).status]).toEqual([200, 200]);
    expect(target.seen.at(-2)).toMatchObject({ body: Buffer.from('hello'), environ: { CONTENT_LENGTH: '5' } });
    expect(last(target).uri).toBe('/next');
    client.close();
  });

  test('W22 over-reading gives nothing, again and again', async () => {
    const reads: number[][] = [];
    await using own = await record({
      answer: (environ, startResponse) => {
        const input = environ['wsgi.input'];
        reads.push([input.read().length, input.read(100).length, input.readline().length, input.bytes().length]);
        startResponse('200 OK', []);
        return [];
      },
    });
    const client = await own.connect();
    await client.send(post('Content-Length: 5') + 'hello' + request('GET /next'));
    await client.response();
    await client.response();
    expect(reads).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ]);
    client.close();
  });

  test('W23 a body of 1 MB that the application ignores does not disturb the connection', async () => {
    const seen: string[] = [];
    const server = await serve({
      port: 0,
      application: (environ, startResponse) => {
        seen.push(environ.REQUEST_URI);
        startResponse('200 OK', []);
        return 'ok';
      },
    });
    const client = await RawClient.connect({ port: server.port as number });
    await client.send(post('Content-Length: 1000000') + SMUGGLED.padEnd(1_000_000, 'x') + request('GET /next'));
    expect([(await client.response()).status, (await client.response()).status]).toEqual([200, 200]);
    expect(seen).toEqual(['/a', '/next']);
    client.close();
    await server.close();
  });

  test('a length of 0 is a body that is there and empty', async () => {
    await target.ask(post('Content-Length: 0'));
    expect(last(target)).toMatchObject({ body: Buffer.alloc(0), environ: { CONTENT_LENGTH: '0' } });
    await expectAlive(target);
  });
});
