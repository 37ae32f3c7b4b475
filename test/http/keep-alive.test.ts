// How long a connection lives: RFC 9112 §9.3 and §9.6.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deferred } from './deferred.js';
import { header, RawClient } from './raw-client.js';
import { record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const http10 = (...headers: string[]): string => ['GET /a HTTP/1.0', ...headers, '', ''].join('\r\n');

test.each<[row: string, request: string, announced: string | undefined]>([
  ['HTTP/1.1', request('GET /a'), undefined],
  ['HTTP/1.1 with keep-alive', request('GET /a', 'Connection: keep-alive'), undefined],
  ['HTTP/1.1 with another option', request('GET /a', 'Connection: te'), undefined],
  ['HTTP/1.0 with keep-alive', http10('Connection: keep-alive'), 'keep-alive'],
  ['HTTP/1.0 with Keep-Alive in a list', http10('Connection: te, Keep-Alive'), 'keep-alive'],
])('goes on: %s', async (_row, bytes, announced) => {
  const client = await target.connect();
  for (let round = 0; round < 3; round += 1) {
    await client.send(bytes);
    const response = await client.response();
    expect(header(response, 'connection')).toBe(announced);
    expect(response.body.toString()).toBe('seen');
  }
  client.close();
});

test.each<[row: string, request: string, announced: string | undefined]>([
  ['HTTP/1.1 with close', request('GET /a', 'Connection: close'), 'close'],
  ['HTTP/1.1 with Close in a list', request('GET /a', 'Connection: te , CLOSE'), 'close'],
  ['HTTP/1.1 with close and keep-alive', request('GET /a', 'Connection: keep-alive', 'Connection: close'), 'close'],
  ['HTTP/1.0', http10(), undefined],
  ['HTTP/1.0 with keep-alive and close', http10('Connection: keep-alive, close'), undefined],
  ['POST with close', `${request('POST /a', 'Connection: close', 'Content-Length: 2')}hi`, 'close'],
])('ends, and what follows is not read: %s', async (_row, bytes, announced) => {
  target.seen.length = 0;
  const client = await target.connect();
  await client.send(bytes + SMUGGLED);
  const response = await client.response();
  expect([response.status, response.body.toString(), header(response, 'connection')]).toEqual([200, 'seen', announced]);
  expect(await client.closed()).toBe('end');
  client.close();
  expect(target.seen.map(({ uri }) => uri)).toEqual(['/a']);
});

describe('a client that has closed its sending side', () => {
  test.each<[row: string, request: string, answers: number]>([
    ['gets its answer', request('GET /a'), 1],
    ['gets the answer to a body', `${request('POST /a', 'Content-Length: 2')}hi`, 1],
    ['gets all answers', request('GET /a').repeat(40), 40],
  ])('%s', async (_row, bytes, answers) => {
    const client = await target.connect();
    await client.send(bytes);
    client.halfClose();
    for (let index = 0; index < answers; index += 1) expect((await client.response()).body.toString()).toBe('seen');
    expect(await client.closed()).toBe('end');
  });

  test('gets a late answer', async () => {
    const answer = deferred<string>();
    const asked = deferred();
    await using own = await record({
      answer: (_environ, startResponse) => {
        startResponse('200 OK', []);
        asked.resolve();
        return answer.promise;
      },
    });
    const client = await own.connect();
    await client.send(request('GET /a'));
    client.halfClose();
    await asked.promise;
    answer.resolve('late');
    expect((await client.response()).body.toString()).toBe('late');
    expect(await client.closed()).toBe('end');
  });

  test.each<[row: string, bytes: string]>([
    ['before a request', ''],
    ['within a head', 'GET /a HTTP/1.1\r\nHo'],
    ['within a body', `${request('POST /a', 'Content-Length: 10')}hi`],
    ['within a chunked body', `${request('POST /a', 'Transfer-Encoding: chunked')}5\r\nhe`],
  ])('%s is let go', async (_row, bytes) => {
    target.seen.length = 0;
    const client = await target.connect();
    await client.send(bytes);
    client.halfClose();
    await client.closed();
    expect(target.seen).toEqual([]);
  });
});

test('a client that ends within a body still gets the answers to the requests before it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-keep-alive-'));
  writeFileSync(join(folder, 'page.txt'), 'page');
  await using own = await record({ mounts: [{ path: '/', files: folder }] });
  await own.ask(request('GET /page.txt'));
  // A file that is in the cache is answered at once, so that answers, body and end fall into one turn of the server. How
  // much has arrived when the server looks is up to the kernel: hence the rounds.
  for (let round = 0; round < 200; round += 1) {
    const bytes = `${request('GET /page.txt').repeat(2)}${request('POST /b', 'Content-Length: 10000')}${'x'.repeat(2000)}`;
    const client = RawClient.connectAndSend({ port: own.port }, bytes);
    for (let index = 0; index < 2; index += 1) expect((await client.response()).body.toString()).toBe('page');
    await client.closed();
  }
  expect(own.seen).toEqual([]);
  rmSync(folder, { recursive: true });
});
