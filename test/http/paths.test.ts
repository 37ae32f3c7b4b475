// One decoding, one normal form: the router, the files and the application see the same path.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { header } from './raw-client.js';
import { expectRefused, last, record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-paths-'));
  mkdirSync(join(folder, 'site/sub'), { recursive: true });
  mkdirSync(join(folder, 'site/evil.com'));
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  writeFileSync(join(folder, 'site/page.txt'), 'page');
  writeFileSync(join(folder, 'site/sub/page.txt'), 'sub page');
  target = await record({
    mounts: [
      { path: '/' },
      { path: '/app' },
      { path: '/app/deep' },
      { path: '/img', files: join(folder, 'site'), application: undefined },
    ],
  });
});
afterAll(async () => {
  await target[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

describe('what the application sees', () => {
  test.each<[row: string, uri: string, script: string, path: string]>([
    ['H67', '/x/../y', '', '/y'],
    ['H67', '/x/%2e%2e/y', '', '/y'],
    ['H67', '/x/.%2e/y', '', '/y'],
    ['H67', '/x/%2E./y/.', '', '/y/'],
    ['H67', '/x/..', '', '/'],
    ['H67', '/x/...', '', '/x/...'],
    ['H67', '/app/../y', '', '/y'],
    ['H67', '/y/../app/z', '/app', '/z'],
    ['H67', '/y/%2e%2e/%61pp/z', '/app', '/z'],
    ['H68', '/%252e%252e/y', '', '/%2e%2e/y'],
    ['H68', '/%2565', '', '/%65'],
    ['H69', '/a%2fb', '', '/a/b'],
    ['H69', '/x%2f..%2fapp/z', '/app', '/z'],
    ['H69', '/a%5cb', '', '/a\\b'],
    ['H72 W04', '/%c0%af..%c0%af', '', '/\xc0\xaf..\xc0\xaf'],
    ['H72 W04', '/caf%C3%A9', '', '/caf\xc3\xa9'],
    ['H72', '/\xff', '', '/\xff'],
    ['H73', '//a', '', '/a'],
    ['H73', '///app///z//', '/app', '/z/'],
    ['H73', '/./a/./b', '', '/a/b'],
    ['H73', '/a;v=1/b;c', '', '/a;v=1/b;c'],
    ['H74', '/app', '/app', ''],
    ['H74', '/app/', '/app', '/'],
    ['H74', '/apple', '', '/apple'],
    ['H74', '/app../x', '', '/app../x'],
    ['H74', '/app/deeper', '/app', '/deeper'],
    ['H74', '/app/deep/x', '/app/deep', '/x'],
    ['W05', '/A%20b+c', '', '/A b+c'],
    ['H71', '/a?%00', '', '/a'],
  ])('%s %s', async (_row, uri, script, path) => {
    expect((await target.ask(request(`GET ${uri}`))).status).toBe(200);
    expect(last(target).environ).toMatchObject({ SCRIPT_NAME: script, PATH_INFO: path, REQUEST_URI: uri });
  });

  test('W05 the query is not decoded', async () => {
    await target.ask(request('GET /a?b=%2e%zz&c=../../d??e'));
    expect(last(target).environ['QUERY_STRING']).toBe('b=%2e%zz&c=../../d??e');
  });
});

test.each<[row: string, uri: string]>([
  ['H67', '/..'],
  ['H67', '/../etc/passwd'],
  ['H67', '/%2e%2e/etc/passwd'],
  ['H67', '/a/../../b'],
  ['H67', '/img/../../secret.txt'],
  ['H67', '/a/..//../b'],
  ['H68', '/%'],
  ['H68', '/%4'],
  ['H68', '/%zz'],
  ['H68', '/%%32%65'],
  ['H68', '/%u002e'],
  ['H69', '/..%2f..%2fetc'],
  ['H70', '/a\\b'],
  ['H70', '/..\\..\\etc'],
  ['H71', '/%00'],
  ['H71', '/img/page.txt%00.html'],
])('%s refused: %s', async (_row, uri) => {
  await expectRefused(target, request(`GET ${uri}`) + SMUGGLED, 400);
});

describe('files', () => {
  test.each<[row: string, uri: string, status: number, body?: string]>([
    ['', '/img/page.txt', 200, 'page'],
    ['H67', '/img/sub/../page.txt', 200, 'page'],
    ['H67', '/img/%70age.txt', 200, 'page'],
    ['H73', '//img//sub///page.txt', 200, 'sub page'],
    ['H74', '/img../secret.txt', 200, 'seen'],
    ['H74', '/img/..%2fsecret.txt', 200, 'seen'],
    ['H68', '/img/%252e%252e/secret.txt', 404],
    ['H69', '/img/sub%2fpage.txt', 404],
    ['H69', '/img/sub%5cpage.txt', 404],
    ['H72', '/img/%c0%ae%c0%ae/secret.txt', 404],
    ['H72', '/img/%e2%80%a5/secret.txt', 404],
    ['H73', '/img/page.txt;v=1', 404],
    ['H73', '/img/page.txt/', 404],
  ])('%s %s', async (_row, uri, status, body) => {
    const response = await target.ask(request(`GET ${uri}`));
    expect(response.status).toBe(status);
    expect(response.body.toString()).not.toContain('secret');
    if (body !== undefined) expect(response.body.toString()).toBe(body);
  });

  test.each([
    ['/img', '/img/'],
    ['//img', '/img/'],
    ['/img/sub?x=//evil', '/img/sub/?x=//evil'],
    ['/img//evil.com', '/img/evil.com/'],
    ['//img/%2f%2fevil.com', undefined],
    ['/img/%5cevil.com', undefined],
    ['//evil.com/..//img', '/img/'],
  ])('H80 a redirect stays on this server: %s', async (uri, location) => {
    const response = await target.ask(request(`GET ${uri}`));
    expect(header(response, 'location')).toBe(location);
    expect(response.status).toBe(location === undefined ? 404 : 301);
  });
});

describe('H80 files at the root', () => {
  test.each(['//evil.com', '/evil.com', '///evil.com', '/x/..//evil.com'])('%s', async (uri) => {
    await using own = await record({ mounts: [{ path: '/', files: join(folder, 'site'), application: undefined }] });
    const response = await own.ask(request(`GET ${uri}`));
    expect([response.status, header(response, 'location')]).toEqual([301, '/evil.com/']);
  });
});
