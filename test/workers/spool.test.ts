// Request bodies in temporary files: all of them together are bounded by limits.spool.

import { readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { response, TestCore } from './fake-worker.js';
import { Client } from './http-client.js';

const BODY = 200_000;
const limits = { spool: 300_000, bodyInMemory: 65_536 };

/** A client whose body stops one byte before its end. */
async function upload(core: TestCore): Promise<Client> {
  const client = await Client.connect(core.port);
  client.socket.write(`POST /app HTTP/1.1\r\nHost: t\r\nContent-Length: ${BODY}\r\n\r\n`);
  client.socket.write(Buffer.alloc(BODY - 1, 120));
  await core.held(({ spooled }) => spooled === BODY - 1);
  return client;
}

describe('limits.spool', () => {
  test('refuses a body that is announced and would be too much, until another is gone', async () => {
    await using core = new TestCore({ limits });
    const worker = await core.worker();
    const first = await upload(core);
    const second = await Client.connect(core.port);
    second.socket.write(`POST /app HTTP/1.1\r\nHost: t\r\nContent-Length: ${BODY}\r\nExpect: 100-continue\r\n\r\n`);
    const refused = await second.answer();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    first.socket.write('x');
    const request = await worker.begin();
    expect(request.flags & f.FLAG_FD).toBe(f.FLAG_FD);
    expect(readlinkSync(`/proc/self/fd/${request.fd}`)).toMatch(/deleted/);
    expect(readFileSync(`/proc/self/fd/${request.fd}`).length).toBe(BODY);
    // Its file is there for as long as the worker has the request.
    expect((await core.held(() => true)).spooled).toBe(BODY);
    worker.send(response(request.stream, 'done'));
    expect((await first.answer()).status).toBe(200);
    await core.held(({ spooled }) => spooled === 0);
    worker.link.frames.push(request); // which closes the descriptor
    const third = await upload(core);
    for (const client of [first, second, third]) client.destroy();
    await core.held(({ spooled }) => spooled === 0);
  });

  test('refuses a chunked body when it becomes too much', async () => {
    await using core = new TestCore({ limits });
    await core.worker();
    const first = await upload(core);
    const second = await Client.connect(core.port);
    second.socket.write('POST /app HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = `${(50_000).toString(16)}\r\n${'y'.repeat(50_000)}\r\n`;
    for (let n = 0; n < 3; n++) second.socket.write(chunk);
    expect((await second.answer()).status).toBe(503);
    second.destroy();
    // What it had is given back.
    await core.held(({ spooled }) => spooled === BODY - 1);
    first.destroy();
    await core.held(({ spooled }) => spooled === 0);
  });

  test('leaves alone what stays in memory or is streamed', async () => {
    await using core = new TestCore({
      limits: { ...limits, spool: 0 },
      mounts: [
        { path: '/app', application: 0, pool: 0 },
        { path: '/stream', application: 0, pool: 0, stream: true },
      ],
    });
    const worker = await core.worker();
    const client = await Client.connect(core.port);
    client.post('/app', 'x'.repeat(60_000));
    worker.send(response((await worker.begin()).stream, 'memory'));
    expect((await client.answer()).body.toString()).toBe('memory');
    client.post('/stream', 'x'.repeat(BODY));
    worker.send(response((await worker.begin()).stream, 'stream'));
    expect((await client.answer()).body.toString()).toBe('stream');
    client.destroy();
  });
});
