// Run it: npx gwanmun app.ts
import { Elysia } from 'elysia';

const app = new Elysia()
  .get('/', () => 'Hello from Elysia\n')
  .post('/echo', ({ body }) => body)
  .get('/users/:name', ({ params }) => ({ name: params.name }));

export default app;
