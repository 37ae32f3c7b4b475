// Run it: npx gwanmun app.ts
import { Hono } from 'hono';

const app = new Hono();

app.get('/', (c) => c.text('Hello from Hono\n'));
app.post('/echo', async (c) => c.json(await c.req.json()));
app.get('/users/:name', (c) => c.json({ name: c.req.param('name') }));

export default app;
