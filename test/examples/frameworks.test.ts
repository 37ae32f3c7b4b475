import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'Content-Type': 'application/json' },
});

test.each([
  ['express', '/', undefined, 'Hello from Express\n'],
  ['express', '/echo', json({ a: 1 }), '{"a":1}'],
  ['koa', '/some/path', undefined, '{"hello":"from Koa","path":"/some/path"}'],
  ['fastify', '/', undefined, '{"hello":"from Fastify"}'],
  ['fastify', '/echo', json([1, 2]), '[1,2]'],
])('%s answers %s', async (name, path, init, body) => {
  const app = fileURLToPath(new URL(`../../examples/${name}/app.js`, import.meta.url));
  await using server = new Gwanmun({ app });
  const response = await fetch(`http://127.0.0.1:${await server.port()}${path}`, init);
  expect([response.status, await response.text()]).toEqual([200, body]);
});
