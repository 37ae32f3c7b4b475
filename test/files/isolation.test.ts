// D1: files are the core's business. Neither a blocked application nor a flood of paths reaches them.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connected, exchange, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

const APP = `import { existsSync } from 'node:fs';

export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  if (environ.PATH_INFO === '/block') {
    console.log('blocking');
    while (!existsSync(environ.QUERY_STRING));
  }
  return ['done'];
}
`;

const folder = new Folder();
let server: Gwanmun;

beforeAll(async () => {
  folder.write('app.mjs', APP);
  folder.write('site/file.txt', 'the file');
  folder.write('site/large.bin', Buffer.alloc(1 << 20, 'x'));
  server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', files: './site', app: './app.mjs' },
      { path: '/files', files: './site' },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('files are answered at once while the application’s JavaScript spins', async () => {
  expect((await get(server.port, '/x')).body.toString()).toBe('done');
  const release = folder.at('release');
  const blocked = get(server.port, `/block?${release}`);
  await server.says(/blocking/);
  // It spins until they are there.
  for (let asked = 0; asked < 100; asked++) {
    expect((await get(server.port, '/file.txt')).body.toString()).toBe('the file');
  }
  expect((await get(server.port, '/large.bin')).body.length).toBe(1 << 20);
  expect((await get(server.port, '/files/missing')).status).toBe(404);
  folder.write('release', '');
  expect((await blocked).body.toString()).toBe('done');
});

test('more missing paths than are remembered are all answered', async () => {
  const flood = async (round: number, paths: number): Promise<void> => {
    const padding = 'p'.repeat(200);
    for (let from = 0; from < paths; from += 100) {
      const requests = Array.from(
        { length: 100 },
        (_, n) => `GET /files/${round}/${from + n}/${padding} HTTP/1.1\r\nHost: a\r\n\r\n`,
      );
      const last = 'GET /files/file.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      const answer = (await exchange(server.port, requests.join(''), last)).toString();
      expect(answer.match(/HTTP\/1\.1 404 /g)).toHaveLength(100);
      expect(answer.endsWith('the file')).toBe(true);
    }
  };
  await flood(0, 30_000);
}, 60_000);

test('a thousand idle connections and a file', async () => {
  const sockets = await Promise.all(Array.from({ length: 1000 }, () => connected(server.port)));
  expect((await get(server.port, '/file.txt')).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});
