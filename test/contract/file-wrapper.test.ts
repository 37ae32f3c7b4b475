// W65: wsgi.file_wrapper. The core sends a file that is returned as it is; otherwise it is iterated.

import { expect, test } from 'vitest';
import { header, inEachHost, request } from './hosts.js';

const WHOLE = Array.from({ length: 10_000 }, (_, line) => `${String(line * 10).padStart(9, '0')}\n`).join('');

inEachHost('file_wrapper', (host) => {
  test.each([
    ['a path', '/file-path', 0, 100_000],
    ['a part of it', '/file-part?12345-50000', 12_345, 62_345],
    ['a part beyond its end', '/file-part?99990-50', 99_990, 100_000],
    ['nothing of it', '/file-part?200000-50', 100_000, 100_000],
    ['a FileHandle', '/file-handle', 10, 100_000],
    ['a descriptor from its position', '/file-position', 20, 100_000],
  ])('W65 the core sends %s, with its length', async (_what, path, start, end) => {
    const response = await host().ask(`GET ${path}`);
    expect(response.body.toString()).toBe(WHOLE.slice(start, end));
    expect(header(response, 'content-length')).toBe(String(end - start));
  });

  test('W65 close() closes what was given, if it has one', async () => {
    await host().ask('GET /file-handle');
    expect(await host().noted('handle closed')).toBeGreaterThan(0);
    await host().ask('GET /file-descriptor');
    expect(await host().noted('descriptor close undefined')).toBe(1);
    const response = await host().ask('GET /file-object');
    expect(response.body.toString()).toBe('x'.repeat(3000));
    expect(await host().noted('object closed')).toBe(1);
  });

  test('W65 what cannot be sent as it is is read in pieces', async () => {
    const descriptor = await host().ask('GET /file-descriptor');
    expect(descriptor.chunks?.map((chunk) => chunk.length)).toEqual([...Array<number>(99).fill(1000), 980]);
    expect(descriptor.body.toString()).toBe(WHOLE.slice(20));
    const wrapped = await host().ask('GET /file-wrapped');
    expect(wrapped.chunks).toEqual(['[00009998]', '[0\n000099]', '[990\n]']);
    const late = await host().ask('GET /file-after-write');
    expect(late.body.toString()).toBe('first 000099990\n');
  });

  test('W65 W55 the Content-Length of the application holds', async () => {
    const response = await host().ask('GET /file-length?15');
    expect([response.body.toString(), header(response, 'content-length')]).toEqual([WHOLE.slice(0, 15), '15']);
    const client = await host().connect();
    await client.send(request('GET /file-length?100001'));
    await client.until('\r\n\r\n');
    // Never padding: the connection ends early.
    expect((await client.rest()).toString()).toBe(WHOLE);
    client.close();
    await host().logged('shorter than the Content-Length');
  });

  test('W65 W57 HEAD has the length and no body; the connection goes on', async () => {
    const client = await host().connect();
    for (let round = 0; round < 2; round += 1) {
      await client.send(request('HEAD /file-path'));
      const response = await client.response('HEAD');
      expect([response.status, header(response, 'content-length')]).toEqual([200, '100000']);
      await client.send(request('GET /file-path') + request('GET /file-part?0-10'));
      expect((await client.response()).body.length).toBe(100_000);
      expect((await client.response()).body.toString()).toBe(WHOLE.slice(0, 10));
    }
    client.close();
  });

  test('W65 W61 a file that is not there or is a folder is a 500, and its reason in the log', async () => {
    expect(await host().ask('GET /file-none')).toMatchObject({ status: 500 });
    await host().logged('ENOENT');
    expect(await host().ask('GET /file-folder')).toMatchObject({ status: 500 });
    await host().logged('EISDIR');
  });
});
