import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { get } from '../workers/http-client.js';

test('TypeScript and Python greet side by side', async () => {
  const config = fileURLToPath(new URL('../../examples/python-hello/gwanmun.config.ts', import.meta.url));
  await using server = new Gwanmun({ args: ['--config', config, '--port', '0'] });
  const port = await server.port();
  expect((await get(port, '/you')).body.toString()).toBe('Hello from TypeScript, /you\n');
  expect((await get(port, '/python/you')).body.toString()).toBe('Hello from Python, /you\n');
});
