// JSON logs: every line of both is one object, whatever happens and whatever is sent.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected, exchange, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { parsed, type LogLine } from './events.js';
import { OVER_TLS, reset } from '../transport/client.js';

const APP = `import { setTimeout } from 'node:timers/promises';

export async function application(environ, startResponse) {
  if (environ.PATH_INFO === '/api/slow') {
    console.log('slow has begun');
    await setTimeout(60_000);
  }
  if (environ.PATH_INFO === '/api/exits') process.exit(7);
  if (environ.PATH_INFO === '/api/throws') throw new Error('on purpose\\n\\u2028"x"\\u001b[31m');
  startResponse('201 Created', [['Content-Type', 'text/plain']]);
  return ['made'];
}
`;

const folder = new Folder();

beforeAll(() => {
  folder.write('app.mjs', APP);
  folder.write('site/file.txt', 'the file');
});
afterAll(() => folder[Symbol.dispose]());

const start = (config: Record<string, unknown> = {}): Promise<Gwanmun> =>
  Gwanmun.start(folder, {
    accessLog: 'json',
    threads: 1,
    mounts: [{ path: '/', files: './site', app: './app.mjs' }],
    ...config,
  });

async function requestsOf(server: Gwanmun): Promise<LogLine[]> {
  expect(await server.stop()).toBe(0);
  return parsed(server.stdout);
}

/** Whoever runs the tests as root is warned of it. */
const isNotOfRoot = (event: unknown): boolean => event !== 'root';

describe('a request', () => {
  test('has its fields', async () => {
    await using server = await start();
    const headers = {
      Host: 'a.test',
      Referer: 'http://a.test/page',
      'User-Agent': 'a client/1.0 (x)',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    };
    await get(server.port, '/file.txt?q=1&r=%20', { headers });
    await get(server.port, '/api/made', { method: 'POST', body: 'form', headers });
    await get(server.port, '/api/throws', { headers: { Host: 'a.test' } });
    await exchange(server.port, 'GET /api/made HTTP/1.0\r\nConnection: close\r\n\r\n');
    const [file, made, throws, old, ...more] = await requestsOf(server);
    const id = expect.stringMatching(/^[0-9a-f]{24}$/) as string;
    const [time, number] = [expect.any(String) as string, expect.any(Number) as number];
    const tls = { tls: 'TLSv1.3', cipher: expect.stringMatching(/^TLS_/) as string, sni: 'localhost' };
    const resumed = expect.any(Boolean) as boolean;
    const secured = OVER_TLS ? { ...tls, resumed } : {};
    const common = { time, request_id: id, event: 'request', remote: '127.0.0.1', duration_ms: number, ...secured };
    const client = {
      ...common,
      level: 'info',
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      host: 'a.test',
      protocol: 'HTTP/1.1',
      referer: 'http://a.test/page',
      user_agent: 'a client/1.0 (x)',
    };
    expect(file).toEqual({
      ...client,
      method: 'GET',
      path: '/file.txt',
      query: 'q=1&r=%20',
      status: 200,
      bytes: 8,
      by: 'file',
      mount: '/',
    });
    const worker = { by: 'app', mount: '/', worker: 1, queue_ms: number, app_ms: number };
    expect(made).toEqual({ ...client, ...worker, method: 'POST', path: '/api/made', status: 201, bytes: 4 });
    expect(throws).toEqual({
      ...common,
      ...worker,
      level: 'error',
      host: 'a.test',
      protocol: 'HTTP/1.1',
      method: 'GET',
      path: '/api/throws',
      status: 500,
      bytes: number,
      reason: 'the application failed',
    });
    expect(old).toMatchObject({ protocol: 'HTTP/1.0', status: 201 });
    expect(more).toEqual([]);
    expect(Number(made?.['app_ms'])).toBeLessThanOrEqual(Number(made?.['duration_ms']));
  });

  test('that is refused has the reason, once', async () => {
    await using server = await start({
      limits: { body: 10, requestLine: 300, headerBytes: 500 },
      timeouts: { header: 300 },
    });
    const host = 'HTTP/1.1\r\nHost: a\r\n';
    for (const request of [
      'nonsense\r\n\r\n',
      `GET /%zz ${host}\r\n`,
      `POST /made ${host}Content-Length: 11\r\n\r\n`,
      `GET /${'x'.repeat(400)} ${host}\r\n`,
      `GET / ${host}X: ${'x'.repeat(600)}\r\n\r\n`,
      'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
      `GET / ${host}`,
    ]) {
      await exchange(server.port, request);
    }
    const lines = await requestsOf(server);
    expect(lines.map(({ status }) => status)).toEqual([400, 400, 413, 414, 431, 505, 408]);
    for (const line of lines) {
      expect(line).toMatchObject({ level: 'info', by: 'core', reason: expect.stringMatching(/\w{3} /) as string });
    }
    expect(lines[1]).toMatchObject({ method: 'GET', path: '/%zz' });
    expect(
      parsed(server.stderr)
        .map(({ event }) => event)
        .filter(isNotOfRoot),
    ).toEqual(['listening']);
  });

  test('whose client left is a 499, and one whose worker ended a 502', async () => {
    await using server = await start();
    const socket = await connected(server.port);
    socket.write('GET /api/slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await server.says(/slow has begun/);
    reset(socket);
    await server.prints(/"status":499/);
    await get(server.port, '/api/exits');
    await server.says(/"worker-exited"/);
    const [left, ended] = await requestsOf(server);
    expect(left).toMatchObject({ status: 499, bytes: 0, incomplete: true });
    expect(ended).toMatchObject({ status: 502, reason: 'its worker ended', level: 'error' });
    expect(parsed(server.stderr).find(({ event }) => event === 'worker-exited')).toMatchObject({
      worker: 1,
      pid: expect.any(Number) as number,
      msg: 'worker 1 exited with code 7; a new one starts in 100 ms',
    });
  });
});

describe('H63 a line is valid', () => {
  test('for every byte of a header, a target, a method', async () => {
    await using server = await start({ mounts: [{ path: '/', app: './app.mjs' }] });
    const close = 'Host: a\r\nConnection: close\r\n';
    let asked = 0;
    for (let byte = 0; byte < 256; byte++) {
      const character = String.fromCharCode(byte);
      for (const request of [
        `GET / HTTP/1.1\r\n${close}User-Agent: a${character}"\\b\r\nReferer: ${character}\xe4\xb8${character}\r\n\r\n`,
        `GET /a${character}b?c${character}" HTTP/1.1\r\n${close}\r\n`,
        `G${character}T / HTTP/1.1\r\n${close}\r\n`,
        `GET / HTTP/1.1\r\n${close}X-Request-Id: a${character}\r\ntraceparent: ${character}\r\n\r\n`,
      ]) {
        await exchange(server.port, Buffer.from(request, 'latin1'));
        asked += 1;
      }
    }
    await exchange(server.port, Buffer.from(`GET /a\u00e9b HTTP/1.1\r\n${close}\r\n`));
    const lines = await requestsOf(server);
    expect(lines).toHaveLength(asked + 1);
    const quoted = lines.filter(({ path }) => path === '/a"b');
    expect(quoted).toMatchObject([{ query: 'c""' }]);
    expect(lines.filter(({ path, status }) => path === '/a%C3%A9b' && status === 201)).toHaveLength(1);
    expect(lines.some(({ user_agent: agent }) => agent === 'aÿ"\\b' || agent === 'a\ufffd"\\b')).toBe(true);
  });

  test('for an application’s text', async () => {
    await using server = await start();
    await get(server.port, '/api/throws');
    await server.stop();
    expect(parsed(server.stderr).at(-1)).toMatchObject({
      event: 'application-error',
      level: 'error',
      worker: 1,
      path: '/api/throws',
      msg: 'Error: on purpose',
      stack: expect.stringMatching(/^Error: on purpose\n\u2028"x".*\n(?:.*\n)*.*app\.mjs:9/) as string,
    });
  });
});

describe('both logs', () => {
  test('in one pipe and in one file have whole lines', async () => {
    // Long lines: a pipe takes them in pieces.
    const target = `/file.txt?${'x'.repeat(6000)}`;
    await using server = await start({
      limits: { headerBytes: 32_768 },
      accessLog: { format: 'json', file: 'both.log' },
      errorLog: { file: 'both.log' },
    });
    for (let asked = 0; asked < 20; asked++) {
      await Promise.all([get(server.port, target), get(server.port, '/api/throws')]);
    }
    await server.stop();
    const lines = parsed(readFileSync(folder.at('both.log'), 'utf8'));
    expect(lines.filter(({ event }) => event === 'request')).toHaveLength(40);
    expect(lines.filter(({ event }) => event === 'application-error')).toHaveLength(20);

    folder.write(
      'pipe.config.json',
      JSON.stringify({ listen: 0, accessLog: 'json', mounts: [{ path: '/', files: './site', app: './app.mjs' }] }),
    );
    const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const command = 'exec "$0" "$1" --config pipe.config.json 2>&1';
    const child = spawn('/bin/sh', ['-c', command, process.execPath, main], {
      cwd: folder.path,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let log = '';
    const closed = once(child, 'close');
    child.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
    while (!log.includes('listening on')) await once(child.stdout, 'data');
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(log)?.[1]);
    child.stdout.pause();
    for (let asked = 0; asked < 20; asked++) {
      await Promise.all([get(port, target), get(port, '/api/throws')]);
    }
    child.stdout.resume();
    child.kill('SIGTERM');
    await closed;
    expect(
      parsed(log)
        .map(({ event }) => event)
        .filter(isNotOfRoot),
    ).toHaveLength(61);
  });

  test('drop what nobody reads, count it and say so', async () => {
    await using server = await start({ limits: { requestLine: 8192 } });
    server.child.stdout.pause();
    const request = `GET /file.txt?${'x'.repeat(2500)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const last = 'GET /file.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    for (let asked = 0; asked < 30; asked++) await exchange(server.port, request.repeat(100), last);
    server.child.stdout.resume();
    await server.says(/lines were dropped/);
    const lines = await requestsOf(server);
    const notices = parsed(server.stderr).filter(({ event }) => event === 'log');
    const dropped = notices.map(({ msg }) => Number(/access log: (\d+) lines were dropped/.exec(String(msg))?.[1]));
    expect(lines.length + dropped.reduce((sum, count) => sum + count)).toBe(30 * 101);
  });

  test('say in JSON that the server cannot start', async () => {
    folder.write('fails.mjs', 'throw new Error("not today");\n');
    const failed = start({ mounts: [{ path: '/', app: './fails.mjs' }] });
    const message = await failed.then(() => '', String);
    const [, log = ''] = /exited with 1: ([^]*)/.exec(message) ?? [];
    expect(parsed(log).at(-1)).toMatchObject({
      event: 'not-started',
      code: 'GWM_APP_FAILED',
      stack: expect.stringContaining('not today') as string,
    });
  });

  test('leave out what is below the level', async () => {
    await using server = await start({ accessLog: false, errorLog: { format: 'json', level: 'error' } });
    await exchange(server.port, 'nonsense\r\n\r\n');
    await get(server.port, '/api/throws');
    await server.stop();
    expect(parsed(server.stderr).map(({ event }) => event)).toEqual(['listening', 'application-error']);
  });
});
