// serve()'s server takes over other applications while it serves.

import { afterEach, expect, test } from 'vitest';
import type { Application } from '../../src/gateway/types.js';
import { serve, type Server } from '../../src/serve.js';
import { RawClient } from '../http/raw-client.js';
import { Client, get } from '../workers/http-client.js';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 0 })));
});

const says =
  (text: string): Application =>
  (_environ, startResponse) => {
    startResponse('200 OK', [['Content-Type', 'text/plain']]);
    return text;
  };

const common = { hostname: '127.0.0.1', port: 0, threads: 2 };

async function serving(application: Application): Promise<{ server: Server; port: number }> {
  const server = await serve({ application, ...common });
  servers.push(server);
  return { server, port: server.port as number };
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('on the same connections, with other mounts and limits', async () => {
  const { server, port } = await serving(says('one'));
  const client = await RawClient.connect({ port });
  await client.send(REQUEST);
  expect((await client.response()).body.toString()).toBe('one');
  await server.reload({ mounts: [{ path: '/two', application: says('two') }], limits: { body: 3 }, ...common });
  await client.send(REQUEST);
  expect((await client.response()).status).toBe(404);
  await client.send(REQUEST.replace('/', '/two'));
  expect((await client.response()).body.toString()).toBe('two');
  await client.send('POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n');
  expect((await client.response()).status).toBe(413);
  client.close();
  expect(server.port).toBe(port);
});

test('an address that it has stays, however it is written now; url and port are those of now', async () => {
  const { server, port } = await serving(says('one'));
  const { hostname, ...rest } = common;
  const client = await RawClient.connect({ port });
  for (const [index, listen] of [
    { hostname, port },
    { listen: `127.0.0.1:${port}` },
    { listen: [{ port: 0 }, { port }] },
    { hostname, port },
  ].entries()) {
    await server.reload({ ...rest, port: undefined, application: says(`version ${index}`), ...listen });
    await client.send(REQUEST);
    expect((await client.response()).body.toString()).toBe(`version ${index}`);
    expect((await get(port, '/')).body.toString()).toBe(`version ${index}`);
    expect(server.addresses).toContainEqual({ kind: 'tcp', host: '127.0.0.1', port });
  }
  await server.reload({ application: says('elsewhere'), ...common, hostname: '127.0.0.2' });
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.2:\d+\/$/);
  expect(server.port).not.toBe(port);
  expect(await (await fetch(server.url)).text()).toBe('elsewhere');
  client.close();
});

test('what has begun ends as it began', async () => {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  let isBegun = false;
  const { server, port } = await serving(async (_environ, startResponse) => {
    startResponse('200 OK', []);
    isBegun = true;
    await released;
    return 'the first';
  });
  const client = await Client.connect(port);
  client.get('/');
  await expect.poll(() => isBegun).toBe(true);
  await server.reload({ application: says('the second'), ...common });
  expect((await get(port, '/')).body.toString()).toBe('the second');
  release();
  expect((await client.answer()).body.toString()).toBe('the first');
  client.destroy();
});

test('again and again under load, without a failure', async () => {
  const { server, port } = await serving(says('0'));
  const over = new AbortController();
  const loads = Array.from({ length: 4 }, async () => {
    const client = await RawClient.connect({ port });
    let last = 0;
    while (!over.signal.aborted) {
      await client.send(REQUEST);
      const { status, body } = await client.response();
      expect(status).toBe(200);
      expect(Number(body.toString())).toBeGreaterThanOrEqual(last);
      last = Number(body.toString());
    }
    client.close();
  });
  await Promise.all(
    Array.from({ length: 20 }, (_, index) => server.reload({ application: says(`${index + 1}`), ...common })),
  );
  expect((await get(port, '/')).body.toString()).toBe('20');
  over.abort();
  await Promise.all(loads);
});

test('what is not valid changes nothing', async () => {
  const { server, port } = await serving(says('as it was'));
  await expect(server.reload({})).rejects.toMatchObject({ code: 'GWM_CONFIG_INVALID' });
  await expect(server.reload({ application: says('no'), ...common, hostname: '203.0.113.1' })).rejects.toMatchObject({
    code: 'GWM_ADDRESS_UNAVAILABLE',
  });
  expect((await get(port, '/')).body.toString()).toBe('as it was');
});
