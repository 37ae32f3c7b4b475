// A program under `gwanmun run` sees the connection as on Node, and nobody tells it of a key that it cannot set.

import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { see } from './hosts.js';

const PROGRAM = `
import { createServer } from 'node:http';
const server = createServer((request, response) => {
  const { remoteAddress, remotePort, localPort, encrypted } = request.socket;
  response.end(JSON.stringify({ headers: request.headers, remoteAddress, remotePort, localPort, encrypted }));
});
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
process.on('SIGTERM', () => server.close());
`;

test('whom it believes is its own matter', async () => {
  await using server = new Gwanmun({ args: ['run', 'program.mjs'], files: { 'program.mjs': PROGRAM } });
  const port = Number((await server.prints(/port (\d+)/))[1]);
  const seen = await see(port, '/node', ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: https']);
  expect(seen).toMatchObject({ address: '127.0.0.1', scheme: 'http', headers: { 'x-forwarded-for': '192.0.2.7' } });
  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  expect(server.stderr).not.toContain('trustedProxies');
});
