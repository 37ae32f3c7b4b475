// A synchronous read of a streamed body blocks its worker, and nothing else.

import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client, get } from './http-client.js';

const READER = fileURLToPath(new URL('fixtures/reader.ts', import.meta.url));

test('it reads a large body whole while other streams of the worker wait, and other mounts go on', async () => {
  await using server = new Gwanmun({
    config: {
      threads: 1,
      limits: { body: 64 * 1024 * 1024 },
      mounts: [
        { path: '/', app: READER, stream: true },
        { path: '/files', files: '.' },
      ],
    },
  });
  const port = await server.port();
  const data = Buffer.alloc(20 * 1024 * 1024, randomBytes(65_537));
  const upload = await Client.connect(port);
  upload.socket.write(`POST /hash HTTP/1.1\r\nHost: t\r\nContent-Length: ${data.length}\r\n\r\n`);
  await server.says(/reading/);
  // The worker is inside read(); files are served all the same, and a request to the worker waits.
  expect((await get(port, '/files/none')).status).toBe(404);
  const other = await Client.connect(port);
  other.get('/other');
  upload.socket.write(data);
  expect((await upload.answer()).body.toString()).toBe(createHash('sha256').update(data).digest('hex'));
  expect((await other.answer()).body.toString()).toBe('0');
  upload.destroy();
  other.destroy();
});

test('W25 a client that leaves ends the read, and the worker goes on', async () => {
  await using server = new Gwanmun({ config: { threads: 1, mounts: [{ path: '/', app: READER, stream: true }] } });
  const port = await server.port();
  const client = await Client.connect(port);
  client.socket.write('POST /hash HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf');
  await server.says(/reading/);
  client.destroy();
  await server.says(/GWM_CLIENT_DISCONNECTED/);
  expect((await get(port, '/other')).body.toString()).toBe('0');
});
