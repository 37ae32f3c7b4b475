// What a client gets of a FastCGI program, whatever the program does.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connected, exchange, get, rest, statusOf } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { reset } from '../transport/client.js';
import { end, record, Responder, stderr, stdout, STDOUT, type Asked } from './responder.js';

const folder = new Folder();
let program: Responder;
let early: Responder;
let server: Gwanmun;

beforeAll(async () => {
  folder.write('files/page.html', '<p>a page</p>');
  folder.write('files/secret.bin', Buffer.alloc(100_000, 's'));
  program = await Responder.start(() => {}, { path: folder.at('program.sock') });
  early = await Responder.start(() => {}, { early: true });
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as { port: number };
  closed.close();
  server = await Gwanmun.start(folder, {
    threads: 1,
    mounts: [
      { path: '/', fastcgi: 'unix:./program.sock', compression: false },
      { path: '/files', files: './files' },
      { path: '/early', fastcgi: early.address },
      { path: '/one', fastcgi: { to: 'unix:./program.sock', maxConnections: 1 } },
      { path: '/late', fastcgi: { to: 'unix:./program.sock', timeout: 300 } },
      { path: '/sendfile', fastcgi: 'unix:./program.sock', sendfile: './files' },
      { path: '/nowhere', fastcgi: 'unix:./nowhere.sock' },
      { path: '/closed', fastcgi: `127.0.0.1:${port}` },
      { path: '/name', fastcgi: early.address.replace('127.0.0.1', 'localhost') },
      { path: '/no-name', fastcgi: 'no-such-host.invalid:9000' },
    ],
    limits: { body: 100_000_000 },
    requestId: true,
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await program[Symbol.asyncDispose]();
  await early[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const OK = 'Content-Type: text/plain\r\n\r\n';

/** One request, which is answered so. */
function answered(handler: (asked: Asked) => unknown, path = '/') {
  program.handler = handler;
  return get(server.port, path);
}

/** The same as bytes, up to the connection's end. */
async function raw(handler: (asked: Asked) => unknown, method = 'GET', path = '/'): Promise<string> {
  program.handler = handler;
  const head = `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  return (await exchange(server.port, head)).toString('latin1');
}

test('F2 F10 F11: records are read wherever they are cut, with empty ones and padding between', async () => {
  const bytes = Buffer.concat([
    stdout('Status: 201 Made\nContent-Type: te', 3),
    stderr('a line\nanother'),
    record(STDOUT, ''),
    stdout('xt/plain\n\nbo', 255),
    stderr(' half\n'),
    record(10, 'values', { id: 0 }),
    stdout('dy'),
    record(STDOUT, ''),
    end(),
  ]);
  const { status, body, headers } = await answered((asked) => {
    asked.socket.setNoDelay(true);
    for (const byte of bytes) asked.socket.write(Buffer.from([byte]));
  });
  expect([status, body.toString(), headers['content-type']]).toEqual([201, 'body', 'text/plain']);
  await server.says(/: a line$/m);
  await server.says(/: another half$/m);
});

test('F12: the status with which a request ends is logged, and changes nothing', async () => {
  expect((await answered((asked) => asked.write(stdout(`${OK}x`), end(7)))).status).toBe(200);
  await server.says(/warn FastCGI unix:\S+ \(GET \/\): ended the request with status 7/);
});

test.each([
  ['FCGI_CANT_MPX_CONN', 1, 502],
  ['FCGI_OVERLOADED', 2, 503],
  ['FCGI_UNKNOWN_ROLE', 3, 502],
])('F13: %s', async (name, status, expected) => {
  const answer = await answered((asked) => asked.write(end(0, status)));
  expect(answer.status).toBe(expected);
  expect(answer.headers['retry-after']).toBe(expected === 503 ? '1' : undefined);
  await server.says(new RegExp(`${name}\\); the client got a ${expected}`));
});

test.each<[string, (asked: Asked) => unknown, RegExp]>([
  ['F15 a connection closed before the header', (asked) => asked.socket.end(stdout('Content-Ty')), /after 18 bytes/],
  ['C47 nothing at all', (asked) => asked.write(end()), /answered nothing at all/],
  ['C47 no end of the header', (asked) => asked.answer('Content-Type: a/b\n'), /no end of the header: "Content-Type/],
  ['F18 another version', (asked) => asked.write(record(6, 'x', { version: 2 })), /not of version 1/],
  ['F17 an unknown record', (asked) => asked.write(record(77, 'x')), /unknown type/],
  ['F7 another request', (asked) => asked.write(record(6, 'x', { id: 2 })), /a request that there is not/],
  ['no FastCGI at all', (asked) => asked.write(Buffer.from('HTTP/1.1 200 OK\r\n\r\n')), /does not speak FastCGI/],
  ['F33 no header', (asked) => asked.answer('<html>\n\n'), /"<html>" stands where a header line should be/],
  ['F33 an empty first line', (asked) => asked.answer('\nbody'), /begins with an empty line/],
  ['F30 a header beyond 64 KiB', (asked) => asked.answer(`X: ${'y'.repeat(70_000)}\n\n`), /longer than 64 KiB/],
  ['C57 more than 100 lines', (asked) => asked.answer(`${'X: y\n'.repeat(101)}\n`), /more than 100 header lines/],
  ['C37 a bad status', (asked) => asked.answer('Status: 20 OK\n\n'), /Status "20 OK"/],
  ['C65 two of them', (asked) => asked.answer('Status: 200\nStatus: 201\n\n'), /it has Status twice/],
])('%s is a 502 that says so', async (_, handler, text) => {
  const { status } = await answered(handler);
  expect(status).toBe(502);
  await server.says(text);
});

test.each<[string, (asked: Asked) => unknown]>([
  ['F16 closed', (asked) => asked.socket.end(stdout(`${OK}half`))],
  ['F16 no FastCGI any more', (asked) => asked.write(stdout(`${OK}half`), Buffer.from('garbage and more'))],
  ['F36 short of its length', (asked) => asked.answer(`Content-Length: 10\n${OK}half`)],
])('%s in the middle of a body: the client notices', async (_, handler) => {
  const text = await raw(handler);
  expect(text.endsWith('0\r\n\r\n')).toBe(false);
  if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 (200|502) /);
});

test('F15 F16: a connection that is reset, before the header and behind it', async () => {
  early.handler = (asked) => asked.socket.resetAndDestroy();
  expect((await get(server.port, '/early/x')).status).toBe(502);
  await server.says(
    /\(GET \/early\/x\): closed the connection before the end of the response, after 0 bytes \(Connection reset/,
  );
  early.handler = (asked) => void asked.socket.write(stdout(`${OK}half`), () => asked.socket.resetAndDestroy());
  const head = 'GET /early/y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  expect((await exchange(server.port, head)).toString().endsWith('0\r\n\r\n')).toBe(false);
});

test('F36: what is beyond the length is dropped', async () => {
  expect((await answered((asked) => asked.answer(`Content-Length: 4\n${OK}body and more`))).body.toString()).toBe(
    'body',
  );
});

test('F31 F32 C33: statuses and redirects', async () => {
  const status = async (head: string) => (await answered((asked) => asked.answer(`${head}\n\n`))).status;
  expect(await status('Content-Type: a/b')).toBe(200);
  expect(await status('Status: 404 Not Found')).toBe(404);
  expect(await status('Location: https://a.example/')).toBe(302);
  expect(await status('Location: //a.example/')).toBe(302);
  expect(await status('Location: /x\nStatus: 301')).toBe(301);
  expect(await status('HTTP/1.1 403 No\r\nX-A: b')).toBe(403);
  expect(await raw((asked) => asked.answer('Status: 299 My Reason\n\n'))).toMatch(/^HTTP\/1\.1 299 My Reason\r\n/);
});

test('F35 F37 C38: what belongs to a connection or to another server does not go on; cookies do, each by itself', async () => {
  const head =
    'Connection: close\nTransfer-Encoding: chunked\nX-Accel-Redirect: /x\nX-Sendfile: /etc/passwd\nSet-Cookie: a=1\nSet-Cookie: b=2\n';
  const { headers, body } = await answered((asked) => asked.answer(`${head}${OK}x`));
  expect(headers).not.toHaveProperty('transfer-encoding');
  expect(headers).not.toHaveProperty('x-accel-redirect');
  expect(headers).not.toHaveProperty('x-sendfile');
  expect(headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(body.toString()).toBe('x');
});

test('F35: a file that the mount allows takes the place of the body', async () => {
  for (const name of ['X-Sendfile', 'X-LIGHTTPD-send-file']) {
    const head = `${name}: ${folder.at('files/secret.bin')}\nContent-Type: text/own\n\n`;
    const { body, headers } = await answered((asked) => asked.answer(`${head}own body`), '/sendfile/x');
    expect(body.equals(Buffer.alloc(100_000, 's'))).toBe(true);
    expect(headers['content-type']).toBe('text/own');
  }
});

test('F34 C32 C64: a path alone is answered by what is there, for a GET without a body', async () => {
  program.handler = (asked) => asked.answer('Location: /files/page.html\n\n');
  const { status, body } = await get(server.port, '/x', { method: 'POST', body: 'abc' });
  expect([status, body.toString()]).toEqual([200, '<p>a page</p>']);
  program.handler = (asked) => {
    const { params } = asked;
    if (params['PATH_INFO'] === '/there') {
      asked.answer(
        `${OK}${params['REQUEST_METHOD']} ${params['QUERY_STRING']} ${params['CONTENT_LENGTH']} ${params['HTTP_X_A']}`,
      );
    } else asked.answer('Location: /there?b=c\n\n');
  };
  const again = await get(server.port, '/x', { method: 'POST', body: 'abc', headers: { 'X-A': 'kept' } });
  expect(again.body.toString()).toBe('GET b=c undefined kept');
});

test('C32 C64: redirects end, and lead nowhere else', async () => {
  const before = program.asked.length;
  expect((await answered((asked) => asked.answer('Location: /again\n\n'))).status).toBe(502);
  expect(program.asked.length - before).toBe(11);
  for (const target of ['/a b', '/%00', '/%', '/../x']) {
    expect([400, 502]).toContain((await answered((asked) => asked.answer(`Location: ${target}\n\n`))).status);
  }
});

test('F40: HEAD, 204 and 304 have no body, and are read to their end', async () => {
  const handler = (head: string) => (asked: Asked) => asked.write(stdout(`${head}\n\n`), stdout('body'), end());
  expect(await raw(handler('Content-Type: a/b'), 'HEAD')).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
  expect(await raw(handler('Status: 204'))).toMatch(/^HTTP\/1\.1 204 [^]*\r\n\r\n$/);
  expect(await raw(handler('Status: 304'))).toMatch(/^HTTP\/1\.1 304 [^]*\r\n\r\n$/);
});

test('F38: what is written leaves at once', async () => {
  let asked: Asked | undefined;
  program.handler = (own) => {
    asked = own;
    own.write(stdout(`${OK}first`));
  };
  const socket = await connected(server.port);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let text = '';
  socket.on('data', (chunk) => (text += chunk));
  while (!text.includes('first')) await once(socket, 'data');
  asked?.write(stdout('second'), end());
  await once(socket, 'close');
  expect(text).toMatch(/first[^]*second[^]*\r\n0\r\n\r\n$/);
});

test('F39: a slow client holds the program up, and no more than a window of memory', async () => {
  const size = 32 * 2 ** 20;
  let asked: Asked | undefined;
  program.handler = (own) => {
    asked = own;
    own.write(stdout(OK));
    own.write(stdout(Buffer.alloc(size, 'x')), end());
  };
  const socket = await connected(server.port);
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await expect.poll(() => asked?.socket.bytesWritten, { timeout: 5000 }).toBeGreaterThan(0);
  // Others are served meanwhile.
  for (let count = 0; count < 10; count++) expect((await get(server.port, '/files/page.html')).status).toBe(200);
  expect(asked?.socket.writableLength).toBeGreaterThan(size / 2);
  expect(server.held().clients).toBeLessThan(2 ** 20);
  const body = (await rest(socket)).toString('latin1');
  expect(body.match(/x/g)?.length).toBeGreaterThanOrEqual(size);
});

test('F26 C46: an answer comes through while the body is not read, and after it was refused', async () => {
  early.handler = (asked) => asked.write(stdout(`${OK}early`), end());
  const body = 'b'.repeat(20_000_000);
  expect((await get(server.port, '/early/x', { method: 'POST', body })).body.toString()).toBe('early');
});

test('C50: a program that answers while it reads does not stand still', async () => {
  const size = 10 * 2 ** 20;
  early.handler = (asked) => {
    asked.write(stdout(OK));
    asked.socket.resume();
    asked.socket.on('data', (chunk: Buffer) => asked.socket.write(stdout(chunk)));
    asked.socket.on('data', () => {
      const received = asked.records.reduce((sum, own) => (own.type === 5 ? sum + own.content.length : sum), 0);
      if (received === size) asked.socket.end(end());
    });
  };
  const { status, body } = await get(server.port, '/early/x', { method: 'POST', body: 'b'.repeat(size) });
  expect(status).toBe(200);
  expect(body.length).toBeGreaterThan(size / 2);
});

test('F41: the client has its answer when the request ends, whatever the program does then', async () => {
  const { body } = await answered((asked) => {
    asked.answer(`${OK}done`);
    // The program has not closed.
    asked.socket.allowHalfOpen = true;
  });
  expect(body.toString()).toBe('done');
});

test('F42: standard error is in the log with its request, by its weight, and bounded', async () => {
  await answered(
    (asked) =>
      asked.write(
        stderr('PHP message: PHP Fatal error:  x in a.php\nPHP message: PHP Notice:  y\n'),
        stderr('\u001b[31mred\n'),
        stdout(`${OK}x`),
        end(),
      ),
    '/with/errors?a',
  );
  await server.says(/ error FastCGI unix:\S+ \(GET \/with\/errors\?a\): PHP message: PHP Fatal error/);
  await server.says(/ info FastCGI unix:\S+ \(GET \/with\/errors\?a\): PHP message: PHP Notice/);
  expect(server.stderr).not.toContain('\u001b[31m');
  const line = `${'z'.repeat(999)}\n`;
  await answered((asked) => asked.write(...Array.from({ length: 100 }, () => stderr(line)), stdout(`${OK}x`), end()));
  await server.says(/wrote 34464 more bytes to standard error/);
});

test('F47 F53: who is beyond the program’s children waits here, in order, and can leave', async () => {
  const waiting: Asked[] = [];
  program.handler = (asked) => waiting.push(asked);
  const before = program.connections;
  const first = get(server.port, '/one/1');
  await expect.poll(() => waiting.length).toBe(1);
  const gone = await connected(server.port);
  gone.write('GET /one/gone HTTP/1.1\r\nHost: a\r\n\r\n');
  const second = get(server.port, '/one/2');
  // Others are served meanwhile, so the two have been read.
  await get(server.port, '/files/page.html');
  await get(server.port, '/files/page.html');
  expect(program.connections).toBe(before + 1);
  // Who ends its side without a word is given a second, and who resets none.
  reset(gone);
  await once(gone, 'close');
  await get(server.port, '/files/page.html');
  waiting[0]?.answer(`${OK}1`);
  expect((await first).body.toString()).toBe('1');
  await expect.poll(() => waiting.length).toBe(2);
  expect(waiting[1]?.params['PATH_INFO']).toBe('/2');
  waiting[1]?.answer(`${OK}2`);
  expect((await second).body.toString()).toBe('2');
});

test('F51: a program that says nothing is a 504, and one that stops a response that breaks off', async () => {
  expect((await answered(() => {}, '/late/x')).status).toBe(504);
  await server.says(/\(GET \/late\/x\): has sent nothing for 0\.3 s; the client got a 504/);
  await program.asked.at(-1)?.closed;
  const text = await raw((asked) => asked.write(stdout(`${OK}half`)), 'GET', '/late/y');
  expect(text).toContain('half');
  expect(text.endsWith('0\r\n\r\n')).toBe(false);
});

test('F52: the connection of a client that leaves is closed', async () => {
  let asked: Asked | undefined;
  program.handler = (own) => (asked = own);
  const socket = await connected(server.port);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await expect.poll(() => asked).toBeDefined();
  socket.destroy();
  await asked?.closed;
  expect(asked?.records.every(({ type }) => type !== 2)).toBe(true);
});

test('a client that has only ended its side gets an answer that comes soon', async () => {
  let asked: Asked | undefined;
  program.handler = (own) => (asked = own);
  const socket = await connected(server.port);
  socket.end('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await expect.poll(() => asked).toBeDefined();
  await get(server.port, '/files/page.html');
  asked?.answer(`${OK}soon`);
  expect((await rest(socket)).toString()).toContain('soon');
});

test('F52: who has had all of it has not left: the program comes to its end', async () => {
  let asked: Asked | undefined;
  const { body } = await answered((own) => {
    asked = own;
    own.write(stdout(`Content-Length: 4\n${OK}body`));
  });
  expect(body.toString()).toBe('body');
  await get(server.port, '/files/page.html');
  expect(asked?.socket.closed).toBe(false);
  asked?.write(end());
  await asked?.closed;
});

test.each([
  ['no socket', '/nowhere/', /nowhere\.sock \(GET \/nowhere\/\): can't connect: No such file[^]*Is it running/],
  ['nobody listens', '/closed/', /\(GET \/closed\/\): can't connect: Connection refused[^]*It is not running/],
  ['no such name', '/no-name/', /no-such-host\.invalid:9000 \(GET \/no-name\/\): can't connect/],
])('F55: %s is a 502 that says why', async (_, path, text) => {
  expect((await get(server.port, path)).status).toBe(502);
  await server.says(text);
});

test('F45: a name is looked up', async () => {
  early.handler = (asked) => asked.answer(`${OK}named`);
  expect((await get(server.port, '/name/x')).body.toString()).toBe('named');
});

test('F46: a full queue of connections is waited for', async () => {
  using own = new Folder();
  const path = own.at('slow.sock');
  const code = `
    import { createServer } from 'node:net';
    const head = (type, length) => Buffer.from([1, type, 0, 1, length >> 8, length & 255, 0, 0]);
    const text = Buffer.from('Content-Type: a/b\\n\\nslow');
    createServer((socket) => {
      socket.on('error', () => {});
      let bytes = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (bytes.subarray(-8).equals(head(5, 0))) socket.end(Buffer.concat([head(6, text.length), text, head(3, 8), Buffer.alloc(8)]));
      });
    }).listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log('listening'));`;
  const slow = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(slow.stdout, 'data');
  own.write('files/a.txt', 'a');
  await using other = await Gwanmun.start(own, {
    threads: 1,
    mounts: [
      { path: '/', fastcgi: 'unix:./slow.sock' },
      { path: '/files', files: './files' },
    ],
  });
  slow.kill('SIGSTOP');
  const all = Array.from({ length: 8 }, () => get(other.port, '/'));
  // By then the server has read them, and found the queue full.
  for (let count = 0; count < 3; count++) expect((await get(other.port, '/files/a.txt')).status).toBe(200);
  slow.kill('SIGCONT');
  for (const answer of await Promise.all(all)) expect(answer.body.toString()).toBe('slow');
  expect(other.stderr).not.toContain('Resource temporarily unavailable');
  slow.kill('SIGKILL');
});

test('pipelined requests are answered in their order', async () => {
  const waiting: Asked[] = [];
  program.handler = (asked) => {
    waiting.push(asked);
    if (waiting.length === 2) for (const own of waiting.toReversed()) own.answer(`${OK}${own.params['PATH_INFO']}`);
  };
  const text = (
    await exchange(
      server.port,
      'GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
  ).toString();
  expect(text).toMatch(/\r\n\r\n\/a[^]*\r\n\r\n\/b$/);
});

test('C01: a HTTP/1.0 client gets what it understands', async () => {
  program.handler = (asked) => asked.write(stdout(OK), stdout('a'), stdout('b'), end());
  const text = (await exchange(server.port, 'GET / HTTP/1.0\r\n\r\n')).toString();
  expect(statusOf(Buffer.from(text))).toBe(200);
  expect(text).toMatch(/\r\n\r\nab$/);
});
