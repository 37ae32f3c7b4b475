// Where file descriptors run short, clients that are idle or slow give way, and what keeps the server going has its own (H43, H62).

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const APP = `export const application = (environ, start) => {
  const { length } = environ['wsgi.input'].read();
  start('200 OK', []);
  return String(length);
};`;

const STREAMED = `export const application = async (environ, start) => {
  let length = 0;
  for await (const piece of environ['wsgi.input']) length += piece.length;
  start('200 OK', []);
  return String(length);
};`;

/** More clients than there are descriptors; those that are not let in wait in the listener's queue. */
function crowd(port: number, count: number, greet: (socket: Socket) => void): Socket[] {
  return Array.from({ length: count }, () => {
    const socket = connect({ port, host: '127.0.0.1' }, () => greet(socket));
    return socket.on('error', () => {});
  });
}

const crowds: Record<string, (socket: Socket) => void> = {
  'that send nothing': () => {},
  'that drip a head': (socket) => void socket.write('GET / HTTP/1.1\r\nX'),
  'that drip a body': (socket) => {
    socket.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n');
    // Faster than limits.minRate.
    const drip = setInterval(() => socket.write('x'.repeat(100)), 200);
    socket.once('close', () => clearInterval(drip));
  },
  'that drip a large body': (socket) => {
    // Beyond what is kept in memory: each has a file, too.
    socket.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(300_000)}`);
    const drip = setInterval(() => socket.write('x'.repeat(100)), 200);
    socket.once('close', () => clearInterval(drip));
  },
  'that drip a body that is streamed': (socket) => {
    socket.write('POST /streamed HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n');
    const drip = setInterval(() => socket.write('x'.repeat(100)), 200);
    socket.once('close', () => clearInterval(drip));
  },
  'that take a large file slowly': (socket) => {
    socket.pause();
    socket.write('GET /files/large.bin HTTP/1.1\r\nHost: h\r\n\r\n');
    const drip = setInterval(() => socket.read(100), 200);
    socket.once('close', () => clearInterval(drip));
  },
};

describe.each(Object.entries(crowds))('a crowd %s', (_name, greet) => {
  test('keeps neither others, nor files, nor a new worker, nor a reload out', { timeout: 60_000 }, async () => {
    await using server = new Gwanmun({
      descriptors: 160,
      config: {
        threads: 1,
        mounts: [
          { path: '/files', files: './files' },
          { path: '/streamed', app: './streamed.mjs', stream: true },
          { path: '/', app: './app.mjs' },
        ],
      },
      files: { 'app.mjs': APP, 'streamed.mjs': STREAMED, 'files/small.txt': 'small', 'files/large.bin': '' },
    });
    writeFileSync(join(server.folder, 'files/large.bin'), Buffer.alloc(16 << 20, 1));
    const port = await server.port();
    const all = crowd(port, 200, greet);
    try {
      await server.says(/descriptors run short/i);
      expect((await get(port, '/')).status).toBe(200);
      expect((await get(port, '/files/small.txt')).body.toString()).toBe('small');
      const reloaded = await new Promise<string>((resolve) => {
        const pid = String(server.child.pid);
        execFile(process.execPath, [MAIN, 'reload', '--pid', pid], (error, out, text) => resolve(error ? text : out));
      });
      expect(reloaded).toMatch(/reloaded/);
      const [worker] = server.workers();
      process.kill(worker as number, 'SIGKILL');
      await vi.waitFor(() => expect(server.workers().filter((pid) => pid !== worker)).toHaveLength(1), {
        timeout: 10_000,
      });
      expect((await get(port, '/')).status).toBe(200);
    } finally {
      for (const socket of all) socket.destroy();
    }
  });
});
