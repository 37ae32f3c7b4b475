// The same rules in a program.

import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { get } from '../files/client.js';

test('serve() takes them for its mounts and for the whole', async () => {
  await using server = await serve({
    port: 0,
    fetch: () => new Response('whole'),
    securityHeaders: true,
    mounts: [
      { path: '/fixed', respond: 'fixed' },
      { path: '/old', redirect: '/new' },
      { path: '/closed', fetch: () => new Response('closed'), deny: ['127.0.0.0/8'] },
    ],
  });
  const port = server.port as number;
  const whole = await get(port, '/');
  expect([whole.body.toString(), whole.headers['x-frame-options']]).toEqual(['whole', 'SAMEORIGIN']);
  expect((await get(port, '/fixed')).body.toString()).toBe('fixed');
  expect((await get(port, '/old/a')).headers.location).toBe('/new/a');
  expect((await get(port, '/closed')).status).toBe(403);
});
