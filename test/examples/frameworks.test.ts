import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'Content-Type': 'application/json' },
});

test.each([
  ['express/app.js', '/', undefined, 'Hello from Express\n'],
  ['express/app.js', '/echo', json({ a: 1 }), '{"a":1}'],
  ['koa/app.js', '/some/path', undefined, '{"hello":"from Koa","path":"/some/path"}'],
  ['fastify/app.js', '/', undefined, '{"hello":"from Fastify"}'],
  ['fastify/app.js', '/echo', json([1, 2]), '[1,2]'],
  ...['Hono', 'h3', 'Elysia'].flatMap((name): [string, string, RequestInit | undefined, string][] => [
    [`${name.toLowerCase()}/app.ts`, '/', undefined, `Hello from ${name}\n`],
    [`${name.toLowerCase()}/app.ts`, '/echo', json({ a: [1] }), '{"a":[1]}'],
    [`${name.toLowerCase()}/app.ts`, '/users/ada', undefined, '{"name":"ada"}'],
  ]),
])('%s answers %s', async (path, target, init, body) => {
  const app = fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
  await using server = new Gwanmun({ app });
  const response = await fetch(`http://127.0.0.1:${await server.port()}${target}`, init);
  expect([response.status, await response.text()]).toEqual([200, body]);
});
