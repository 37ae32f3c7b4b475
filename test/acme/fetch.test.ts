// How authorities are asked: their own roots, proxies, deadlines.

import { once } from 'node:events';
import { createServer as createPlain, type Server } from 'node:http';
import { createServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { fetchWith } from '../../src/acme/fetch.js';
import { issue } from '../tls/core.js';

const own = issue(['localhost', '127.0.0.1']);
const { signal } = new AbortController();

async function listening(server: Server | ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function authority(
  answer: string,
): Promise<{ url: string; [Symbol.dispose](): void; agents: (string | undefined)[] }> {
  const agents: (string | undefined)[] = [];
  const server = createServer({ cert: own.cert, key: own.key }, (request, response) => {
    agents.push(request.headers['user-agent']);
    response.end(answer);
  });
  const url = `https://localhost:${await listening(server)}/dir`;
  return { url, agents, [Symbol.dispose]: () => void server.close() };
}

test('T159 T161 a root of one’s own is trusted for this authority alone, and who asks says so', async () => {
  using server = await authority('{}');
  await expect(fetchWith(own.cert, {})({ method: 'GET', url: server.url, signal })).resolves.toMatchObject({
    status: 200,
    body: '{}',
  });
  await expect(fetchWith(undefined, {})({ method: 'GET', url: server.url, signal })).rejects.toThrow(/self.signed/i);
  expect(server.agents).toEqual([expect.stringMatching(/^gwanmun\/\d/)]);
});

test('T161 the proxy of the environment is asked for a tunnel, except where it is not to be', async () => {
  using server = await authority('{}');
  const asked: (string | undefined)[] = [];
  const proxy = createPlain().on('connect', (request, client: Socket) => {
    asked.push(request.url, request.headers['proxy-authorization']);
    const [host = '', port] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), host === 'localhost' ? '127.0.0.1' : host, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) socket.on('error', () => {});
  });
  const port = await listening(proxy);
  const env = { https_proxy: `http://me:secret@127.0.0.1:${port}` };
  const request = { method: 'GET' as const, url: server.url, signal };
  await expect(fetchWith(own.cert, env)(request)).resolves.toMatchObject({ body: '{}' });
  expect(asked).toEqual([new URL(server.url).host, `Basic ${Buffer.from('me:secret').toString('base64')}`]);
  await expect(fetchWith(own.cert, { ...env, NO_PROXY: 'other, localhost' })(request)).resolves.toMatchObject({
    body: '{}',
  });
  expect(asked).toHaveLength(2);
  // Through it, too, an authority is one that is known.
  await expect(fetchWith(undefined, env)(request)).rejects.toThrow(/self.signed/i);
  proxy.close();
  await expect(fetchWith(own.cert, env)(request)).rejects.toThrow(/ECONNREFUSED/);
});

test('an answer without end is not kept', async () => {
  using server = await authority('x'.repeat(2_000_000));
  await expect(fetchWith(own.cert, {})({ method: 'GET', url: server.url, signal })).rejects.toThrow(
    /more than 1048576 bytes/,
  );
});

test('who ends waits for no answer', async () => {
  const server = createServer({ cert: own.cert, key: own.key }, () => {});
  const url = `https://localhost:${await listening(server)}/`;
  const ending = new AbortController();
  const answer = fetchWith(own.cert, {})({ method: 'GET', url, signal: ending.signal });
  await once(server, 'request');
  ending.abort();
  await expect(answer).rejects.toThrow();
  server.closeAllConnections();
  server.close();
});
