// The peer srvx on node:http. `node srvx.mjs hello`
import { serve } from 'srvx';
import { announce } from './announce.mjs';

const server = serve({
  port: 0,
  hostname: '127.0.0.1',
  silent: true,
  fetch: () => new Response('Hello, world!', { headers: { 'Content-Type': 'text/plain' } }),
});
await server.ready();
announce(Number(new URL(server.url ?? '').port));
