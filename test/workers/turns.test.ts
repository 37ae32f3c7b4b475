// A connection whose requests the core answers by itself has its turn, and then the others of its thread have theirs.

import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, test, vi } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

test('a pipeline of a thousand requests does not have its answers before another client has one', async () => {
  await using server = new Gwanmun({
    config: { threads: 1, mounts: [{ path: '/', files: './files' }] },
    files: { 'files/a.txt': 'a' },
  });
  const port = await server.port();
  // From now on it is answered from memory.
  await get(port, '/a.txt');
  const ask = async (text: string) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.resume();
    await once(socket, 'connect');
    await new Promise((resolve) => socket.write(text, resolve));
    return socket;
  };
  // While the server stands still, the kernel takes the connections and what they send: both are there for its first look.
  process.kill(server.child.pid as number, 'SIGSTOP');
  const greedy = await ask('GET /a.txt?greedy HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(1000));
  const other = await ask('GET /a.txt?other HTTP/1.1\r\nHost: h\r\n\r\n');
  process.kill(server.child.pid as number, 'SIGCONT');
  await vi.waitFor(() => expect(server.stdout.match(/\?greedy/g)).toHaveLength(1000), { timeout: 10_000 });
  const before = server.stdout.slice(0, server.stdout.indexOf('?other')).match(/\?greedy/g) ?? [];
  expect(before.length).toBeLessThan(100);
  for (const socket of [greedy, other]) socket.destroy();
});

test('a client that has ended its side gets all the answers of such a pipeline', async () => {
  await using server = new Gwanmun({
    config: { threads: 1, mounts: [{ path: '/', files: './files' }] },
    files: { 'files/a.txt': 'a' },
  });
  const port = await server.port();
  await get(port, '/a.txt');
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.end('GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(1000));
  await once(socket, 'end');
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(1000);
});
