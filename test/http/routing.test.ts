// What answers which path: files first, then the application, the longest mount wins.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { last, record, request, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-routing-'));
  mkdirSync(join(folder, 'docs'));
  writeFileSync(join(folder, 'page.txt'), 'page');
  writeFileSync(join(folder, 'docs/index.html'), 'index');
  target = await record({
    mounts: [
      { path: '/both', files: folder },
      { path: '/both/inner' },
      { path: '/files', files: folder, application: undefined },
    ],
  });
});
afterAll(async () => {
  await target[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test.each<[line: string, status: number, body: string, script?: string, path?: string]>([
  ['GET /both/page.txt', 200, 'page'],
  ['GET /both/docs/', 200, 'index'],
  ['GET /both/none.txt', 200, 'seen', '/both', '/none.txt'],
  ['GET /both', 200, 'seen', '/both', ''],
  ['POST /both/page.txt', 200, 'seen', '/both', '/page.txt'],
  ['DELETE /both/none', 200, 'seen', '/both', '/none'],
  ['GET /both/inner/page.txt', 200, 'seen', '/both/inner', '/page.txt'],
  ['GET /both/innerr', 200, 'seen', '/both', '/innerr'],
  ['GET /both%2finner', 200, 'seen', '/both/inner', ''],
  ['GET /files/page.txt', 200, 'page'],
])('%s', async (line, status, body, script, path) => {
  target.seen.length = 0;
  for (let round = 0; round < 2; round += 1) {
    const response = await target.ask(request(line));
    expect([response.status, response.body.toString()]).toEqual([status, body]);
  }
  expect(target.seen).toHaveLength(script === undefined ? 0 : 2);
  if (script !== undefined) expect(last(target).environ).toMatchObject({ SCRIPT_NAME: script, PATH_INFO: path });
});

test.each([
  ['GET /files/none', 404],
  ['GET /none', 404],
  ['GET /', 404],
  ['GET /filesystem', 404],
  ['POST /files/page.txt', 405],
  ['DELETE /files/none', 405],
  ['POST /none', 404],
])('%s is answered %i, and the connection goes on', async (line, status) => {
  target.seen.length = 0;
  const client = await target.connect();
  await client.send(`${request(line, 'Content-Length: 2')}hi${request('GET /both')}`);
  const first = await client.response();
  expect(first.status).toBe(status);
  if (status === 405) expect(first.headers).toContainEqual(['allow', 'GET, HEAD']);
  expect((await client.response()).status).toBe(200);
  expect(target.seen.map(({ uri }) => uri)).toEqual(['/both']);
  client.close();
});

test('a pipeline of files and applications keeps its order', async () => {
  const client = await target.connect();
  const expected: string[] = [];
  for (let index = 0; index < 40; index += 1) {
    const [uri, body] = [
      ['/both/page.txt', 'page'],
      ['/both/x', 'seen'],
      ['/files/docs/', 'index'],
    ][index % 3] as [string, string];
    await client.send(request(`GET ${uri}`));
    expected.push(body);
  }
  const bodies: string[] = [];
  for (const _body of expected) bodies.push((await client.response()).body.toString());
  expect(bodies).toEqual(expected);
  client.close();
});
