// Expect: 100-continue (RFC 9110 §10.1.1): the client waits for leave to send its body.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectRefusal, last, record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-expect-'));
  writeFileSync(join(folder, 'page.txt'), 'page');
  target = await record({
    limits: { body: 100_000 },
    mounts: [{ path: '/' }, { path: '/files', files: folder, application: undefined }],
  });
});
afterAll(async () => {
  await target[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test.each<[row: string, headers: string[], body: string, decoded: string]>([
  ['a length', ['Content-Length: 5'], 'hello', 'hello'],
  ['chunks', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['another case', ['Content-Length: 5', 'A: b', 'expect: 100-Continue'], 'hello', 'hello'],
])('H33 W26 one 100 before the body: %s', async (_row, headers, body, decoded) => {
  const client = await target.connect();
  for (let round = 0; round < 2; round += 1) {
    await client.send(request('POST /a', ...headers, ...(headers.length > 2 ? [] : ['Expect: 100-continue'])));
    expect(await client.response()).toMatchObject({ status: 100, headers: [] });
    await client.send(body);
    expect((await client.response()).status).toBe(200);
    expect(last(target).body.toString()).toBe(decoded);
  }
  client.close();
});

test('H33 a client that does not wait gets its answers in order', async () => {
  const client = await target.connect();
  await client.send(`${request('POST /a', 'Expect: 100-continue', 'Content-Length: 5')}hello${request('GET /b')}`);
  // 100 may be left out when the body is there already.
  let response = await client.response();
  if (response.status === 100) response = await client.response();
  expect(response.status).toBe(200);
  expect((await client.response()).status).toBe(200);
  expect(last(target).uri).toBe('/b');
  client.close();
});

test('H33 in a pipeline the 100 comes after the answers before it', async () => {
  const client = await target.connect();
  await client.send(
    request('GET /0') + request('GET /1') + request('POST /2', 'Expect: 100-continue', 'Content-Length: 2'),
  );
  const statuses: number[] = [];
  for (let index = 0; index < 3; index += 1) statuses.push((await client.response()).status);
  expect(statuses).toEqual([200, 200, 100]);
  await client.send('hi');
  expect((await client.response()).status).toBe(200);
  client.close();
});

test.each<[row: string, request: string]>([
  ['W26 HTTP/1.0', 'POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n'],
  ['no body', request('GET /a', 'Expect: 100-continue')],
  ['an empty body', request('POST /a', 'Expect: 100-continue', 'Content-Length: 0')],
])('no 100: %s', async (row, bytes) => {
  const client = await target.connect();
  await client.send(bytes);
  if (row.includes('1.0')) await client.send('hello');
  expect((await client.response()).status).toBe(200);
  client.close();
});

test.each<[row: string, line: string, headers: string[], status: number]>([
  ['H33 a body over the limit', 'POST /a', ['Content-Length: 100001'], 413],
  ['H33 another expectation', 'POST /a', ['Content-Length: 5', 'Expect: magic'], 417],
  ['H33 a file is not posted to', 'POST /files/page.txt', ['Content-Length: 5'], 405],
  ['H33 a file is not posted to, chunked', 'POST /files/page.txt', ['Transfer-Encoding: chunked'], 405],
  ['H33 OPTIONS *', 'OPTIONS *', ['Content-Length: 5'], 204],
  ['H33 GET of a file with a body', 'GET /files/none', ['Content-Length: 5'], 404],
])('%s: the final answer without a 100, then the end', async (_row, line, headers, status) => {
  target.seen.length = 0;
  const client = await target.connect();
  await client.send(request(line, 'Expect: 100-continue', ...headers));
  if (status === 204) {
    const response = await client.response();
    expect([response.status, response.headers.find(([name]) => name === 'connection')?.[1]]).toEqual([204, 'close']);
    await client.send(SMUGGLED);
    await client.closed();
  } else await expectRefusal(client, status);
  expect(target.seen).toEqual([]);
  client.close();
});
