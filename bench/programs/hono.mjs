// The peer Hono on node:http. `node hono.mjs hello`
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { announce } from './announce.mjs';

const app = new Hono();
app.get('/', (context) => context.text('Hello, world!'));
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => announce(port));
