// A reload: new requests are the new configuration's, those that have begun are the old one's, and no client notices.

import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

const application = (text: string, before = ''): string => `${before}
export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return ${JSON.stringify(text)};
}
`;

const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function ask(client: RawClient, path = '/'): Promise<string> {
  await client.send(get(path));
  const { status, body } = await client.response();
  return `${status} ${body.toString()}`;
}

/** A server whose files can be changed. */
class Site extends Gwanmun {
  constructor(files: Record<string, string>, config: Record<string, unknown> = {}) {
    super({ app: './app.mjs', files, config: { accessLog: false, ...config } });
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.folder, path), text);
  }

  configure(config: Record<string, unknown>): void {
    const whole = { listen: { host: '127.0.0.1', port: 0 }, threads: 2, accessLog: false, ...config };
    this.write('gwanmun.config.mjs', `export default ${JSON.stringify(whole)};\n`);
  }

  async reload(pattern = /is in use/): Promise<string> {
    const from = this.stderr.length;
    this.child.kill('SIGHUP');
    const [text] = await this.finds(pattern, () => this.stderr.slice(from));
    return text;
  }
}

test('the application is loaded anew, on a connection that stays', async () => {
  await using site = new Site({ 'app.mjs': application('old') });
  const client = await RawClient.connect({ port: await site.port() });
  expect(await ask(client)).toBe('200 old');
  site.write('app.mjs', application('new'));
  await site.reload();
  expect(await ask(client)).toBe('200 new');
  client.close();
});

test('what the application or the configuration imports is loaded anew too', async () => {
  await using site = new Site({
    'app.mjs': "export { application } from './other.mjs';",
    'other.mjs': application('old'),
    'settings.mjs': "export const mounts = [{ path: '/', app: './app.mjs' }];",
  });
  const port = await site.port();
  site.write('other.mjs', application('new'));
  site.write('settings.mjs', "export const mounts = [{ path: '/moved', app: './app.mjs' }];");
  site.write(
    'gwanmun.config.mjs',
    "import { mounts } from './settings.mjs';\nexport default { listen: { host: '127.0.0.1', port: 0 }, accessLog: false, mounts };\n",
  );
  await site.reload();
  const client = await RawClient.connect({ port });
  expect(await ask(client, '/moved')).toBe('200 new');
  site.write('settings.mjs', "export const mounts = [{ path: '/again', app: './app.mjs' }];");
  await site.reload();
  expect(await ask(client, '/again')).toBe('200 new');
  expect((await ask(client, '/moved')).slice(0, 3)).toBe('404');
  client.close();
});

test('mounts, limits and files are those of the new configuration', async () => {
  await using site = new Site({
    'app.mjs': application('app'),
    'public/file.txt': 'a file',
    'other/file.txt': 'another',
  });
  const client = await RawClient.connect({ port: await site.port() });
  site.configure({ mounts: [{ path: '/', files: './public' }] });
  await site.reload();
  expect(await ask(client, '/file.txt')).toBe('200 a file');
  site.configure({ mounts: [{ path: '/', files: './other' }], server: 'other', limits: { requestLine: 256 } });
  await site.reload();
  await client.send(get('/file.txt'));
  const response = await client.response();
  expect([response.body.toString(), new Map(response.headers).get('server')]).toEqual(['another', 'other']);
  await client.send(get(`/${'x'.repeat(300)}`));
  expect((await client.response()).status).toBe(414);
  client.close();
});

test.each([
  ['waits', 'setInterval(() => {}, 1000);\nawait new Promise(() => {});\nexport default {};'],
  ['computes', 'for (;;);'],
])('a configuration that %s for ever is given up after startTimeout', async (_, text) => {
  await using site = new Site({ 'app.mjs': application('old') }, { startTimeout: 3000 });
  const client = await RawClient.connect({ port: await site.port() });
  site.write('gwanmun.config.mjs', text);
  await site.reload(/GWM_CONFIG_LOAD {2}gwanmun\.config\.mjs has not ended after 3000 ms/);
  expect(await ask(client)).toBe('200 old');
  site.configure({ mounts: [{ path: '/', app: './app.mjs' }] });
  site.write('app.mjs', application('new'));
  await site.reload();
  expect(await ask(client)).toBe('200 new');
  client.close();
});

test.each([
  ['an application that does not load', 'app.mjs', 'syntax error(', /GWM_APP_SYNTAX[^]*app\.mjs:1/],
  ['an application that throws', 'app.mjs', "throw new Error('no database');", /GWM_APP_FAILED[^]*no database/],
  [
    'a configuration that is not valid',
    'gwanmun.config.mjs',
    'export default { mounts: 1 };',
    /GWM_CONFIG_INVALID[^]*mounts/,
  ],
  ['a configuration that cannot be read', 'gwanmun.config.mjs', 'export default {', /GWM_CONFIG_LOAD/],
  [
    'a configuration that waits for nothing',
    'gwanmun.config.mjs',
    'await new Promise(() => {});\nexport default {};',
    /GWM_CONFIG_LOAD[^]*gwanmun\.config\.mjs never ends/,
  ],
])('%s changes nothing, and it is said why', async (_, file, text, fault) => {
  await using site = new Site({ 'app.mjs': application('old') });
  const client = await RawClient.connect({ port: await site.port() });
  const before = site.workers();
  site.write(file, text);
  await site.reload(fault);
  expect(site.stderr).toContain('the reload failed; the server goes on as it was');
  expect(await ask(client)).toBe('200 old');
  await expect.poll(() => site.workers()).toEqual(before);
  client.close();
});

test('a request that has begun ends as it began, and its worker then goes', async () => {
  const streaming = (text: string): string => `
    export async function* application(environ, startResponse) {
      startResponse('200 OK', [['Content-Type', 'text/event-stream']]);
      for (;;) {
        yield 'data: ${text}\\n\\n';
        if (environ.PATH_INFO === '/once') return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }`;
  await using site = new Site({ 'app.mjs': streaming('old') }, { drainTimeout: 60_000 });
  const port = await site.port();
  const events = await RawClient.connect({ port });
  await events.send(get());
  await events.until('data: old\n\n');
  const [old] = site.workers();
  site.write('app.mjs', streaming('new'));
  await site.reload();
  const client = await RawClient.connect({ port });
  await client.send(get('/once'));
  expect((await client.response()).body.toString()).toBe('data: new\n\n');
  await events.until('data: old\n\n');
  expect(site.workers()).toContain(old);
  events.close();
  await expect.poll(() => site.workers().includes(old as number), { timeout: 10_000 }).toBe(false);
  client.close();
});

test('a stream that does not end is cut after drainTimeout', async () => {
  const endless = `
    export async function* application(environ, startResponse) {
      startResponse('200 OK', [['Content-Type', 'text/plain']]);
      for (;;) {
        yield 'more\\n';
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }`;
  await using site = new Site({ 'app.mjs': endless }, { drainTimeout: 200 });
  const client = await RawClient.connect({ port: await site.port() });
  await client.send(get());
  await client.until('more\n');
  await site.reload();
  await site.says(/did not finish in time; its requests were cut off/);
  // Cut off: no last chunk.
  expect((await client.rest(true)).toString().endsWith('0\r\n\r\n')).toBe(false);
  client.close();
});

test('of three generations that do not end, the oldest is cut', async () => {
  const holding = `
    export async function* application(environ, startResponse) {
      startResponse('200 OK', [['Content-Type', 'text/plain']]);
      yield process.pid + '\\n';
      await new Promise(() => {});
    }`;
  await using site = new Site({ 'app.mjs': holding }, { drainTimeout: 60_000 });
  const port = await site.port();
  const clients: RawClient[] = [];
  for (let generation = 0; generation < 3; generation += 1) {
    const client = await RawClient.connect({ port });
    await client.send(get());
    await client.until('\n\r\n');
    clients.push(client);
    await site.reload();
  }
  await (clients[0] as RawClient).rest(true);
  expect(clients.slice(1).map(({ socket }) => socket.readableEnded)).toEqual([false, false]);
  for (const client of clients) client.close();
});

test('addresses come and go; what stays is not touched', async () => {
  await using site = new Site({ 'app.mjs': application('app') });
  const port = await site.port();
  const client = await RawClient.connect({ port });
  const path = join(site.folder, 'site.sock');
  const mounts = [{ path: '/', app: './app.mjs' }];
  site.configure({ listen: [{ host: '127.0.0.1', port: 0 }, { unix: './site.sock' }], mounts });
  await site.reload();
  const local = await RawClient.connect({ path });
  expect([await ask(local), await ask(client)]).toEqual(['200 app', '200 app']);
  site.configure({ mounts });
  await site.reload();
  // A connection outlives its address.
  expect([await ask(local), await ask(client)]).toEqual(['200 app', '200 app']);
  const refused = await new Promise((resolve) => connect(path).once('error', ({ message }) => resolve(message)));
  expect(refused).toMatch(/ENOENT|ECONNREFUSED/);
  const another = await RawClient.connect({ port });
  expect(await ask(another)).toBe('200 app');
  for (const open of [client, local, another]) open.close();
});

test('an address that cannot be had changes nothing', async () => {
  await using site = new Site({ 'app.mjs': application('app') });
  const port = await site.port();
  site.configure({
    listen: [{ host: '127.0.0.1', port: 0 }, { unix: './app.mjs' }],
    mounts: [{ path: '/', files: '.' }],
  });
  await site.reload(/GWM_SOCKET/);
  const client = await RawClient.connect({ port });
  expect(await ask(client)).toBe('200 app');
  client.close();
});

test('what only a start can change is told', async () => {
  await using site = new Site({ 'app.mjs': application('app') });
  await site.port();
  site.configure({ threads: 3, mounts: [{ path: '/', app: './app.mjs' }] });
  await site.reload(/threads has changed; that takes effect at the next start/);
});

test('a Python application is loaded anew', async () => {
  const python = (text: string): string => `
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'${text}']
`;
  await using site = new Site({ 'hello.py': python('old') }, { mounts: [{ path: '/', wsgi: 'hello:application' }] });
  const client = await RawClient.connect({ port: await site.port() });
  expect(await ask(client)).toBe('200 old');
  // Of another length: Python compares seconds and sizes with what it has compiled.
  site.write('hello.py', python('another'));
  await site.reload();
  expect(await ask(client)).toBe('200 another');
  client.close();
});
