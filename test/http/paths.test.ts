// One decoding, two forms: the router and the files see slashes merged, and what the application sees merges to that.

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
    ['H72', '/\xc3\xa9/\xea\xb4\x80', '', '/\xc3\xa9/\xea\xb4\x80'],
    ['H72', '/%ff', '', '/\xff'],
    ['H73', '//a', '', '/a'],
    ['H73 A140', '///app///z//', '/app', '/z//'],
    ['A140', '/u/http%3A%2F%2Fx.y%2Fz', '', '/u/http://x.y/z'],
    ['A140', '/u/https://x.y//z', '', '/u/https://x.y//z'],
    ['A140', '//evil.com//x', '', '/evil.com//x'],
    ['A140', '/%2F%2Fevil.com', '', '/evil.com'],
    ['A140', '/app//', '/app', '/'],
    ['A140', '/app//evil.com', '/app', '/evil.com'],
    ['A140', '/app%2F%2Fevil.com//%2F', '/app', '/evil.com///'],
    ['A140', '/app//deep//x//y', '/app/deep', '/x//y'],
    ['A140', '/%61pp//%64eep/%2fx', '/app/deep', '/x'],
    ['A140', '/app//deeper//x', '/app', '/deeper//x'],
    ['A140', '//', '', '/'],
    ['A140', '/a/./', '', '/a/'],
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

  test.each([[['/']], [['/', '/a', '/a/b']], [['/a/b', '/b']]])(
    'A140 merging it gives what the router saw, with the mounts %o',
    async (paths) => {
      await using own = await record({ mounts: paths.map((path) => ({ path })) });
      const parts = ['/', '%2F', 'a', 'b', '%5c', '.', '%2e%2e'];
      const uris = parts.flatMap((one) =>
        parts.flatMap((two) => parts.flatMap((three) => [`/${one}${two}${three}`, `/a${one}${two}/${three}`])),
      );
      for (const uri of uris) {
        own.seen.length = 0;
        const { status } = await own.ask(request(`GET ${uri}`));
        const segments = decodeURIComponent(uri).slice(1).split('/');
        if (segments.slice(0, -1).includes('') && segments.some((one) => one === '.' || one === '..')) {
          expect([uri, status]).toEqual([uri, 400]);
        }
        if (status !== 200) continue;
        const { SCRIPT_NAME: script, PATH_INFO: path } = last(own).environ as {
          SCRIPT_NAME: string;
          PATH_INFO: string;
        };
        // What a browser makes of it once slashes are merged.
        const merged = new URL(
          `http://h/${segments
            .filter((one, index) => one !== '' || index === segments.length - 1)
            .join('/')
            .replaceAll('\\', '%5c')}`,
        );
        const normal = merged.pathname.replaceAll('%5c', '\\');
        expect([uri, (script + path).replaceAll(/\/+/g, '/')]).toEqual([uri, normal]);
        expect([uri, path]).toEqual([uri, expect.stringMatching(/^(?:\/(?!\/)|$)/)]);
        const beneath = paths.filter((mount) => mount === '/' || `${normal}/`.startsWith(`${mount}/`));
        expect([uri, script || '/']).toEqual([uri, beneath.sort().at(-1)]);
      }
    },
  );

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
  ['H67 A140', '/a/..//../b'],
  ['A140', '/a//../app/x'],
  ['A140', '//./app'],
  ['A140', '/a/%2e/%2Fapp'],
  ['A140', '/app%2f%2f%2e%2e/x'],
  ['A140', '/img//../../secret.txt'],
  ['A140', '/img/.//page.txt'],
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
  ])('H80 a redirect stays on this server: %s', async (uri, location) => {
    const response = await target.ask(request(`GET ${uri}`));
    expect(header(response, 'location')).toBe(location);
    expect(response.status).toBe(location === undefined ? 404 : 301);
  });
});

describe('H80 files at the root', () => {
  test.each(['//evil.com', '/evil.com', '///evil.com', '/x/../evil.com'])('%s', async (uri) => {
    await using own = await record({ mounts: [{ path: '/', files: join(folder, 'site'), application: undefined }] });
    const response = await own.ask(request(`GET ${uri}`));
    expect([response.status, header(response, 'location')]).toEqual([301, '/evil.com/']);
  });
});
