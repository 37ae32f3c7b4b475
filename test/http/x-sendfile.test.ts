// X-Sendfile: the application decides, the core sends the file.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { serve, type Application, type Header, type Server } from '../../dist/index.js';
import { header, RawClient, type Response } from './raw-client.js';
import { request } from './recording-server.js';

const folder = mkdtempSync(join(tmpdir(), 'gwanmun-sendfile-'));
const LARGE = Buffer.alloc(300_000, 'abcdefghij');
const NOTES = 'a line of notes\n'.repeat(500);
let server: Server;

/** Answers as the request's headers say. */
const application: Application = (environ, startResponse) => {
  const headers: Header[] = [['X-Sendfile', decodeURIComponent(environ.HTTP_X_NAME ?? '')]];
  for (const [name, value] of Object.entries(JSON.parse(environ.HTTP_X_ADD ?? '{}') as Record<string, string>)) {
    headers.push([name, value]);
  }
  startResponse(environ.HTTP_X_STATUS ?? '200 OK', headers);
  return ['a body that ', 'nobody gets'].values();
};

beforeAll(async () => {
  mkdirSync(join(folder, 'private/deep'), { recursive: true });
  mkdirSync(join(folder, 'second'));
  for (const [name, content] of [
    ['private/report.pdf', 'a report'],
    ['private/deep/page.html', '<p>deep'],
    ['private/.hidden', 'hidden'],
    ['second/other.txt', 'other'],
    ['second/notes.txt', NOTES],
    ['second/beside.txt', NOTES],
    ['second/beside.txt.br', 'as if it were brotli'],
    ['outside.txt', 'outside'],
  ] as const) {
    writeFileSync(join(folder, name), content);
  }
  writeFileSync(join(folder, 'private/large'), LARGE);
  symlinkSync('../outside.txt', join(folder, 'private/link'));
  writeFileSync(join(folder, 'error.log'), '');
  server = await serve({
    port: 0,
    errorLog: { file: join(folder, 'error.log') },
    mounts: [
      { path: '/', application, sendfile: [join(folder, 'private'), join(folder, 'second')] },
      { path: '/off', application },
      { path: '/plain', application, sendfile: join(folder, 'second'), compression: false },
    ],
  });
});
afterAll(async () => {
  await server.close({ graceMs: 0 });
  rmSync(folder, { recursive: true });
});

async function ask(
  name: string,
  { add = {}, status, headers = [], line = 'GET /a' }: Options = {},
  client?: RawClient,
): Promise<Response> {
  const using = client ?? (await RawClient.connect({ port: server.port as number }));
  const asked = [`X-Name: ${encodeURIComponent(name)}`, `X-Add: ${JSON.stringify(add)}`, ...headers];
  await using.send(request(line, ...asked, ...(status === undefined ? [] : [`X-Status: ${status}`])));
  const response = await using.response(line.split(' ')[0]);
  if (client === undefined) using.close();
  return response;
}

interface Options {
  add?: Record<string, string>;
  status?: string;
  headers?: string[];
  line?: string;
}

test('the file is sent with its type and validators; name and body of the application are not', async () => {
  const client = await RawClient.connect({ port: server.port as number });
  for (const name of ['report.pdf', join(folder, 'private/report.pdf')]) {
    const response = await ask(name, {}, client);
    expect([response.status, response.body.toString()]).toEqual([200, 'a report']);
    expect(header(response, 'content-type')).toBe('application/pdf');
    expect(header(response, 'content-length')).toBe('8');
    expect(header(response, 'etag')).toMatch(/^".+"$/);
    expect(header(response, 'x-sendfile')).toBeUndefined();
    expect(header(response, 'connection')).toBeUndefined();
  }
  expect((await ask('other.txt', {}, client)).body.toString()).toBe('other');
  expect((await ask('deep/page.html', {}, client)).body.toString()).toBe('<p>deep');
  expect((await ask('large', {}, client)).body.equals(LARGE)).toBe(true);
  client.close();
});

test('headers and status of the application win, except its length', async () => {
  const response = await ask('report.pdf', {
    status: '403 Forbidden',
    add: { 'Content-Type': 'text/x', 'Content-Length': '3', 'X-Own': 'yes', 'Cache-Control': 'no-store' },
  });
  expect([response.status, response.body.toString()]).toEqual([403, 'a report']);
  expect(['content-type', 'content-length', 'x-own', 'cache-control'].map((name) => header(response, name))).toEqual([
    'text/x',
    '8',
    'yes',
    'no-store',
  ]);
});

test('ranges, conditional requests and HEAD are answered as for any file', async () => {
  const { headers } = await ask('large');
  const etag = headers.find(([name]) => name === 'etag')?.[1] as string;
  const range = await ask('large', { headers: ['Range: bytes=10-19'] });
  expect([range.status, range.body.toString(), header(range, 'content-range')]).toEqual([
    206,
    'abcdefghij',
    'bytes 10-19/300000',
  ]);
  expect((await ask('large', { headers: [`If-None-Match: ${etag}`] })).status).toBe(304);
  expect((await ask('large', { headers: ['If-Match: "x"'] })).status).toBe(412);
  expect((await ask('large', { headers: ['Range: bytes=300000-'] })).status).toBe(416);
  const head = await ask('large', { line: 'HEAD /a' });
  expect([head.status, header(head, 'content-length'), head.body.length]).toEqual([200, '300000', 0]);
});

test("an ETag of the application's own stays, and the core judges nothing by it", async () => {
  const response = await ask('report.pdf', {
    add: { ETag: '"own"' },
    headers: ['If-None-Match: "own"', 'Range: bytes=0-1'],
  });
  expect([response.status, response.body.toString(), header(response, 'etag')]).toEqual([200, 'a report', '"own"']);
  expect(header(response, 'last-modified')).toBeUndefined();
});

test('a status without a body stays without one', async () => {
  const response = await ask('report.pdf', { status: '304 Not Modified' });
  expect([response.status, header(response, 'x-sendfile')]).toEqual([304, undefined]);
});

test.each([
  ['not there', 'none.pdf', 404],
  ['a folder', 'deep', 404],
  ['hidden', '.hidden', 404],
  ['a link that leads out', 'link', 404],
  ['dot segments', '../outside.txt', 404],
  ['dot segments, absolute', `${folder}/private/../outside.txt`, 404],
  ['outside of the folders', join(folder, 'outside.txt'), 500],
  ['somewhere else', '/etc/passwd', 500],
  ['empty', '', 404],
])('a path that is %s is an error, and in the log', async (_what, name, status) => {
  const client = await RawClient.connect({ port: server.port as number });
  const response = await ask(name, {}, client);
  expect([response.status, header(response, 'x-sendfile')]).toEqual([status, undefined]);
  expect(response.body.toString()).not.toMatch(/nobody gets|outside|root:/);
  // The connection goes on.
  expect((await ask('report.pdf', {}, client)).status).toBe(200);
  client.close();
  await expect.poll(() => readFileSync(join(folder, 'error.log'), 'utf8')).toContain(`X-Sendfile: ${name}: `);
});

test('where the mount does not say so, the header means nothing', async () => {
  const response = await ask('/etc/hostname', { line: 'GET /off' });
  expect([response.body.toString(), header(response, 'x-sendfile')]).toEqual([
    'a body that nobody gets',
    '/etc/hostname',
  ]);
});

test('responses of a pipeline stay in order', async () => {
  const client = await RawClient.connect({ port: server.port as number });
  const names = ['large', 'report.pdf', 'none', 'other.txt'];
  await client.send(names.map((name) => request('GET /a', `X-Name: ${name}`)).join(''));
  const bodies: [number, number][] = [];
  for (const _name of names) {
    const { status, body } = await client.response();
    bodies.push([status, status === 200 ? body.length : 0]);
  }
  expect(bodies).toEqual([
    [200, 300_000],
    [200, 8],
    [404, 0],
    [200, 5],
  ]);
  client.close();
});

test('several ranges of it are answered by all of it, framed as that', async () => {
  const client = await RawClient.connect({ port: server.port as number });
  for (const name of ['large', 'report.pdf']) {
    const response = await ask(name, { headers: ['Range: bytes=0-1,4-5'] }, client);
    expect([response.status, header(response, 'content-range')]).toEqual([200, undefined]);
    expect(header(response, 'content-type')).not.toMatch(/multipart/);
    expect(response.body).toEqual(name === 'large' ? LARGE : Buffer.from('a report'));
  }
  client.close();
});

test('text is compressed as that of files is, unless the application says otherwise', async () => {
  const headers = ['Accept-Encoding: br;q=0.5, gzip'];
  const codingOf = async (name: string, options: Options = {}): Promise<string | undefined> =>
    header(await ask(name, { headers, ...options }), 'content-encoding');
  // It is made in the background.
  let response = await ask('notes.txt', { headers });
  while (header(response, 'content-encoding') === undefined) {
    expect(String(response.body)).toBe(NOTES);
    expect(header(response, 'vary')).toBe('Accept-Encoding');
    await turn();
    response = await ask('notes.txt', { headers });
  }
  expect(header(response, 'content-encoding')).toBe('gzip');
  expect(gunzipSync(response.body).toString()).toBe(NOTES);
  expect(header(response, 'content-type')).toBe('text/plain; charset=utf-8');
  const etag = header(response, 'etag') as string;
  expect((await ask('notes.txt', { headers: [...headers, `If-None-Match: ${etag}`] })).status).toBe(304);
  const plain = await ask('notes.txt');
  expect(String(plain.body)).toBe(NOTES);
  expect(header(plain, 'etag')).not.toBe(etag);
  expect(await codingOf('beside.txt', { headers: ['Accept-Encoding: br'] })).toBe('br');

  expect(await codingOf('notes.txt')).toBe('gzip');
  expect(await codingOf('notes.txt', { add: { 'Content-Type': 'text/csv' } })).toBe('gzip');
  for (const add of [
    { 'Content-Type': 'application/octet-stream' },
    { 'Cache-Control': 'private, no-transform' },
    { ETag: '"own"' },
  ]) {
    expect(await codingOf('notes.txt', { add })).toBe(undefined);
  }
  expect(await codingOf('notes.txt', { add: { 'Content-Encoding': 'x-own' } })).toBe('x-own');
  expect(await codingOf('notes.txt', { headers: [...headers, 'Range: bytes=0-9'] })).toBe(undefined);
  expect(await codingOf('beside.txt', { headers: ['Accept-Encoding: br'], line: 'GET /plain/a' })).toBe(undefined);
});
