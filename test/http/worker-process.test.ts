// The same with the application in a process of its own, as gwanmun runs it from the command line.

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OVER_TLS } from '../transport/client.js';
import { RawClient } from './raw-client.js';
import { expectRefusal, request, SMUGGLED } from './recording-server.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const MIB = 1024 * 1024;

const APP = `
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';

let release;
const held = new Promise((resolve) => (release = () => resolve('held')));
const note = (text) => appendFileSync(new URL('./seen.txt', import.meta.url), text + '\\n');
const endless = async function* () {
  try {
    for (;;) { yield 'x'.repeat(65536); await null; }
  } finally {
    note('endless ended');
  }
};

export function application(environ, startResponse) {
  const { REQUEST_URI: uri, REQUEST_METHOD: method } = environ;
  note(method + ' ' + uri);
  startResponse('200 OK', []);
  if (uri === '/hash') return [environ.CONTENT_LENGTH + ' ' + createHash('sha256').update(environ['wsgi.input'].bytes()).digest('hex')];
  if (uri === '/endless') return endless();
  if (uri === '/held') return held;
  if (uri === '/release') release();
  if (uri === '/slow') return new Promise((resolve) => setTimeout(resolve, 50, 'slow'));
  return uri;
}
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gwanmun-http-'));
  mkdirSync(join(folder, 'site'));
  writeFileSync(join(folder, 'site/page.txt'), 'page');
  writeFileSync(join(folder, 'app.mjs'), APP);
  writeFileSync(
    join(folder, 'site.config.mjs'),
    "export default { listen: 0, limits: { body: 64 * 1024 * 1024 }, mounts: [{ path: '/', app: './app.mjs' }, { path: '/files', files: './site' }] };\n",
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

class Gwanmun {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  port = 0;
  private stderr = '';

  /** Runs it with at most so many descriptors. */
  constructor(descriptors = 1024) {
    const command = `ulimit -n ${descriptors}; exec "$0" "$@"`;
    const env = { ...process.env, NO_COLOR: '1', PORT: '0', HOST: '' };
    const args = ['-c', command, process.execPath, MAIN, '-c', 'site.config.mjs'];
    this.child = spawn('/bin/sh', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.resume();
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
  }

  /** Waits until it has said where it listens. */
  async listening(): Promise<this> {
    this.port = Number((await this.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/))[1]);
    return this;
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stderr);
      if (match) return match;
      if (this.child.exitCode !== null) throw new Error(`exited with ${this.child.exitCode}: ${this.stderr}`);
      await Promise.race([once(this.child.stderr, 'data'), once(this.child, 'close')]);
    }
  }

  connect(): Promise<RawClient> {
    return RawClient.connect({ port: this.port });
  }

  async get(uri: string): Promise<string> {
    const client = await this.connect();
    await client.send(request(`GET ${uri}`, 'Connection: close'));
    const response = await client.response();
    await client.closed();
    return response.body.toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
  }
}

const seen = (): string[] => readFileSync(join(folder, 'seen.txt'), 'utf8').trimEnd().split('\n');

describe('with a worker process', () => {
  test('H1 H40 a refused request after a valid one is not executed, nor what follows it', async () => {
    await using server = await new Gwanmun().listening();
    const client = await server.connect();
    await client.send(
      request('GET /slow') + request('POST /b', 'Content-Length: 4', 'Transfer-Encoding: chunked') + SMUGGLED,
    );
    expect((await client.response()).body.toString()).toBe('slow');
    await expectRefusal(client, 400);
    expect(await server.get('/alive')).toBe('/alive');
    expect(seen()).toEqual(['GET /slow', 'GET /alive']);
    client.close();
  });

  test('a pipeline of 50 is answered in order, files among applications', async () => {
    await using server = await new Gwanmun().listening();
    const client = await server.connect();
    const uris = Array.from(
      { length: 50 },
      (_, index) => ['/slow', `/${index}`, '/files/page.txt'][index % 3] as string,
    );
    await client.send(uris.map((uri) => request(`GET ${uri}`)).join(''));
    for (const uri of uris) {
      const expected = uri === '/files/page.txt' ? 'page' : uri.replace('/slow', 'slow');
      expect((await client.response()).body.toString()).toBe(expected);
    }
    client.close();
  });

  test('an upload of 30 MiB crosses as a file, counted and chunked', async () => {
    await using server = await new Gwanmun().listening();
    const client = await server.connect();
    const data = Buffer.alloc(30 * MIB, 'gwanmun!\n');
    const answer = `${data.length} ${createHash('sha256').update(data).digest('hex')}`;
    await client.send(request('POST /hash', `Content-Length: ${data.length}`));
    await client.send(data);
    expect((await client.response()).body.toString()).toBe(answer);
    await client.send(`${request('POST /hash', 'Transfer-Encoding: chunked')}${data.length.toString(16)}\r\n`);
    await client.send(data);
    await client.send('\r\n0\r\n\r\n');
    expect((await client.response()).body.toString()).toBe(answer);
    client.close();
  });

  test('W52 a client that leaves in the middle ends the iteration', async () => {
    await using server = await new Gwanmun().listening();
    const client = await server.connect();
    await client.send(request('GET /endless'));
    await client.bytes(MIB);
    client.reset();
    await expect.poll(() => seen().at(-1), { timeout: 5000, interval: 10 }).toBe('endless ended');
    expect(await server.get('/alive')).toBe('/alive');
  });

  // Who is not accepted cannot shake hands.
  test.skipIf(OVER_TLS)('H62 without descriptors it waits, and then goes on', async () => {
    await using server = await new Gwanmun(120).listening();
    const clients: RawClient[] = [];
    for (let index = 0; index < 100; index += 1) {
      const client = await server.connect();
      // A request that an application has does not give way to others.
      await client.send(request('GET /held'));
      clients.push(client);
    }
    await server.says(/No connection could be accepted/);
    // Who has come meanwhile is not turned away.
    for (const client of clients.splice(0, 60)) client.reset();
    await clients[0]?.send(request('GET /release'));
    for (const client of clients) {
      expect((await client.response()).status).toBe(200);
      client.close();
    }
    expect(await server.get('/alive')).toBe('/alive');
    expect(await server.get('/files/page.txt')).toBe('page');
  });

  test('H43 H62 when descriptors run short the oldest idle connections give way', async () => {
    await using server = await new Gwanmun(200).listening();
    const busy = await server.connect();
    await busy.send(request('GET /held'));
    const clients: RawClient[] = [];
    for (let index = 0; index < 400; index += 1) {
      const client = await server.connect();
      await client.send(request('GET /files/page.txt'));
      await client.response();
      clients.push(client);
    }
    await server.says(/File descriptors run short/);
    await clients[0]?.closed();
    expect(await server.get('/alive')).toBe('/alive');
    await busy.send(request('GET /release'));
    expect((await busy.response()).status).toBe(200);
    for (const client of [busy, ...clients]) client.close();
  });

  test('H43 H62 nor do clients that stay silent, or send a head byte by byte, keep others out', async () => {
    await using server = await new Gwanmun(200).listening();
    const clients: RawClient[] = [];
    for (let index = 0; index < 400; index += 1) {
      const client = await server.connect();
      if (index % 2 === 0) await client.send('G');
      clients.push(client);
    }
    await server.says(/File descriptors run short/);
    expect(await server.get('/alive')).toBe('/alive');
    expect(await server.get('/files/page.txt')).toBe('page');
    for (const client of clients) client.close();
  });
});
