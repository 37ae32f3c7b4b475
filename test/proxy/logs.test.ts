// P35: the logs name the client, and the connection's other end where that is somebody else.

import { connect } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { exchange, rest } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { parsed } from '../logs/events.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
folder.write('site/file.txt', 'the file');

const start = (accessLog: 'combined' | 'json' | false): Promise<Gwanmun> =>
  Gwanmun.start(folder, {
    accessLog,
    threads: 1,
    mounts: [{ path: '/', files: './site' }],
    trustedProxies: ['127.0.0.0/8', 'unix'],
    listen: [0, 'unix:./site.sock'],
  });

const LINES = ['X-Forwarded-For: 6.6.6.6, 192.0.2.7', 'X-Forwarded-For: 127.0.0.9', 'X-Forwarded-Proto: https'];

function ask(port: number, lines: readonly string[] = [], request = 'GET /file.txt'): Promise<Buffer> {
  return exchange(port, [`${request} HTTP/1.1`, 'Host: a.test', 'Connection: close', ...lines, '', ''].join('\r\n'));
}

test('a JSON line has the client as remote, and the peer', async () => {
  await using server = await start('json');
  await ask(server.port, LINES);
  await ask(server.port);
  // The walk has not led further than to the peer.
  await ask(server.port, ['X-Forwarded-For: unknown']);
  await ask(server.port, ['X-Forwarded-For: 127.0.0.1']);
  await overUnixSocket();
  expect(await server.stop()).toBe(0);
  const logged = parsed(server.stdout).map(({ remote, peer }) => ({ remote, peer }));
  const alone = { remote: '127.0.0.1', peer: undefined };
  const throughUnix = { remote: '192.0.2.7', peer: 'unix' };
  expect(logged).toEqual([{ remote: '192.0.2.7', peer: '127.0.0.1' }, alone, alone, alone, throughUnix]);
});

test('a combined line begins with the client', async () => {
  await using server = await start('combined');
  await ask(server.port, LINES);
  await ask(server.port);
  expect(await server.stop()).toBe(0);
  expect(server.stdout).toMatch(/^192\.0\.2\.7 - - \[.*\n127\.0\.0\.1 - - \[.*\n$/);
});

test.each(['combined', false] as const)('a refusal names the client, with accessLog: %j', async (accessLog) => {
  await using server = await start(accessLog);
  await ask(server.port, [...LINES, 'Content-Length: 99999999999'], 'POST /file.txt');
  await server.says(/client 192\.0\.2\.7: 413: /);
  // Nobody has said whom this is from.
  await exchange(server.port, 'nonsense\r\n\r\n');
  await server.says(/client 127\.0\.0\.1: 400: /);
});

/** One request. */
async function overUnixSocket(): Promise<void> {
  const socket = connect(folder.at('site.sock'));
  socket.end(['GET /file.txt HTTP/1.1', 'Host: a.test', 'Connection: close', ...LINES, '', ''].join('\r\n'));
  await rest(socket);
}
