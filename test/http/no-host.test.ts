// H22: an HTTP/1.0 request without a Host, as a load balancer's check sends it: the address that it came to stands in.

import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient } from '../http/raw-client.js';
import { SCHEME } from '../transport/client.js';

test.each([
  ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.2', '127.0.0.2'],
  ['::1', '::1', '[::1]'],
  ['::', '::1', '[::1]'],
  ['::', '127.0.0.3', '127.0.0.3'],
])('listening on %s, connected to %s: it is %s', async (listening, host, name) => {
  await using server = await serve({
    port: 0,
    host: listening,
    mounts: [
      { path: '/fetch', fetch: (request) => new Response(request.url) },
      {
        path: '/',
        application: (environ, startResponse) => {
          startResponse('200 OK', [['Content-Type', 'text/plain']]);
          return `${environ.SERVER_NAME} ${environ.SERVER_PORT}`;
        },
      },
    ],
  });
  const port = server.port as number;
  const ask = async (path: string): Promise<string> => {
    const client = await RawClient.connect({ port, host });
    await client.send(`GET ${path} HTTP/1.0\r\n\r\n`);
    const { status, body } = await client.response();
    client.close();
    return `${status} ${body.toString()}`;
  };
  expect(await ask('/fetch')).toBe(`200 ${SCHEME}://${name}:${port}/fetch`);
  expect(await ask('/')).toBe(`200 ${name} ${port}`);
});
