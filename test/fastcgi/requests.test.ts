// What a FastCGI program gets of a request.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connected, exchange, get, rest, statusOf } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { type Asked, BEGIN_REQUEST, PARAMS, Responder, STDIN } from './responder.js';

const folder = new Folder();
let program: Responder;
let server: Gwanmun;

beforeAll(async () => {
  program = await Responder.start((asked) => asked.answer('Content-Type: text/plain\n\nhello'), {
    path: folder.at('program.sock'),
  });
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', files: '.' },
      { path: '/app', fastcgi: 'unix:./program.sock' },
      {
        path: '/own',
        fastcgi: {
          to: program.address,
          env: { APP_ENV: 'test', HTTP_X_OWN: 'fixed', SERVER_NAME: 'own.example' },
          passAuthorization: true,
        },
      },
    ],
    limits: { body: 5_000_000 },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await program[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function last(): Asked {
  const asked = program.asked.at(-1);
  if (asked === undefined) throw new Error('nothing has been asked');
  return asked;
}

test('F1 F3 F7 F8 F9 F48: one request on a connection, in the records of a responder, and nothing else', async () => {
  const before = program.connections;
  const { status, body, headers } = await get(server.port, '/app/x?y=z');
  expect([status, body.toString(), headers['content-length']]).toEqual([200, 'hello', '5']);
  const types = last().records.map(({ type }) => type);
  expect(types).toEqual([BEGIN_REQUEST, PARAMS, PARAMS, STDIN]);
  expect(last().records[0]?.content).toEqual(Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]));
  expect(last().records.every(({ id }) => id === 1)).toBe(true);
  await last().closed;
  await get(server.port, '/app/');
  expect(program.connections).toBe(before + 2);
});

test('F69 F70 F77 C13–C22: the variables', async () => {
  await get(server.port, '/app/a%20b//c?d=%20e', { headers: { 'X-One': '1', Cookie: 'a=b' } });
  const { params } = last();
  expect(params).toMatchObject({
    GATEWAY_INTERFACE: 'CGI/1.1',
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '/app',
    PATH_INFO: '/a b//c',
    REQUEST_URI: '/app/a%20b//c?d=%20e',
    QUERY_STRING: 'd=%20e',
    SERVER_PROTOCOL: 'HTTP/1.1',
    SERVER_NAME: '127.0.0.1',
    SERVER_PORT: String(server.port),
    SERVER_ADDR: '127.0.0.1',
    REMOTE_ADDR: '127.0.0.1',
    REQUEST_SCHEME: 'http',
    REDIRECT_STATUS: '200',
    HTTP_X_ONE: '1',
    HTTP_COOKIE: 'a=b',
    HTTP_HOST: `127.0.0.1:${server.port}`,
  });
  expect(params['SERVER_SOFTWARE']).toMatch(/^gwanmun\//);
  expect(Number(params['REMOTE_PORT'])).toBeGreaterThan(0);
  for (const name of ['HTTPS', 'CONTENT_LENGTH', 'SCRIPT_FILENAME', 'DOCUMENT_ROOT']) {
    expect(params).not.toHaveProperty(name);
  }
});

test('F71: an absolute target says the host, with its port', async () => {
  await exchange(
    server.port,
    'GET http://a.example:81/app/x HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n',
  );
  expect(last().params).toMatchObject({ HTTP_HOST: 'a.example:81', SERVER_NAME: 'a.example', PATH_INFO: '/x' });
});

test('F72–F74 F89: what a header can make, and what the configuration can', async () => {
  const headers = {
    Proxy: 'http://evil',
    Authorization: 'Basic eA==',
    'PHP-VALUE': 'auto_prepend_file=/x',
    X_Under: '1',
    'X-Own': 'client',
  };
  await get(server.port, '/app/', { headers });
  const { params } = last();
  expect(params['HTTP_PHP_VALUE']).toBe('auto_prepend_file=/x');
  for (const name of ['HTTP_PROXY', 'HTTP_AUTHORIZATION', 'PHP_VALUE', 'HTTP_X_UNDER']) {
    expect(params).not.toHaveProperty(name);
  }
  await get(server.port, '/own/', { headers });
  expect(last().params).toMatchObject({
    APP_ENV: 'test',
    HTTP_X_OWN: 'fixed',
    SERVER_NAME: 'own.example',
    HTTP_AUTHORIZATION: 'Basic eA==',
  });
});

test('F4 F6: long values are whole in their records', async () => {
  const headers = Object.fromEntries([126, 127, 128, 129, 5000].map((size) => [`X-${size}`, 'v'.repeat(size)]));
  await get(server.port, '/app/', { headers });
  for (const [name, value] of Object.entries(headers)) {
    expect(last().params[`HTTP_${name.replace('-', '_')}`]).toBe(value);
  }
});

test('C62 F81 F82: a control character in the path is no program’s', async () => {
  const before = program.asked.length;
  for (const path of ['/app/x%0ay', '/app/%00', '/app/%7f', '/app/a%0d.php']) {
    const head = `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    expect(statusOf(await exchange(server.port, head)), path).toBe(400);
  }
  expect(program.asked.length).toBe(before);
});

test.each([
  ['short', 10],
  ['in one piece', 65_528],
  ['in two', 65_536],
  ['in a file', 1_000_003],
])('F19 F20 F28: a body, %s, is there with its length', async (_, size) => {
  const body = Buffer.alloc(size, 'abcdefghijk').toString();
  const answer = await get(server.port, '/app/', { method: 'POST', body });
  expect(answer.status).toBe(200);
  expect(last().params['CONTENT_LENGTH']).toBe(String(size));
  expect(last().body.equals(Buffer.from(body))).toBe(true);
  expect(last().records.at(-1)).toMatchObject({ type: STDIN, content: Buffer.alloc(0) });
});

test('F19 F21: a body in chunks has come whole before anything is connected', async () => {
  const socket = await connected(server.port);
  socket.write(
    'POST /app/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Type: text/x\r\n\r\n3\r\nabc\r\n',
  );
  const before = program.connections;
  // The server has had time for all of that.
  await get(server.port, '/app/');
  await get(server.port, '/app/');
  expect(program.connections).toBe(before + 2);
  socket.write('2\r\nde\r\n0\r\n\r\n');
  expect(statusOf(await rest(socket))).toBe(200);
  expect(last().params).toMatchObject({ CONTENT_LENGTH: '5', CONTENT_TYPE: 'text/x' });
  expect(last().body.toString()).toBe('abcde');
  expect(last().params).not.toHaveProperty('HTTP_TRANSFER_ENCODING');
});

test('F29: a body beyond the limit connects nothing', async () => {
  const before = program.connections;
  const head = 'POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5000001\r\nConnection: close\r\n\r\n';
  expect(statusOf(await exchange(server.port, head))).toBe(413);
  expect(program.connections).toBe(before);
});

test('F97: every method is the program’s', async () => {
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    expect((await get(server.port, '/app/', { method })).status).toBe(200);
    expect(last().params['REQUEST_METHOD']).toBe(method);
  }
});
