// Programs that know nothing of gwanmun, on its core.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { request } from './serving.js';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const REGISTER = fileURLToPath(new URL('../../dist/register.js', import.meta.url));

/** Starts a program, waits for the port that it prints. */
async function start(args: string[]): Promise<{ port: number; exit: Promise<unknown[]> }> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  let output = '';
  for await (const piece of child.stdout.setEncoding('utf8')) {
    output += piece as string;
    if (output.includes('\n')) break;
  }
  const [, port, isServer] = /port (\d+) (\w+)/.exec(output) ?? [];
  expect(isServer).toBe('true');
  return { port: Number(port), exit };
}

test.each([
  ['http.createServer of a CommonJS script', 'server.cjs'],
  ['app.listen of Express', 'express.mjs'],
])('%s runs on the core, and the process ends after close', async (_what, name) => {
  const { port, exit } = await start(['--import', REGISTER, fixture(name)]);
  const client = await RawClient.connect({ port });
  await client.send(request('GET /'));
  expect((await client.response()).status).toBe(200);
  client.close();
  // The core's own page.
  const refused = await RawClient.connect({ port });
  await refused.send('GET / HTTP/1.1\nHost: a\n\n');
  expect(String((await refused.response()).body)).toContain('<title>400 Bad Request</title>');
  refused.close();
  const last = await RawClient.connect({ port });
  await last.send(request('GET /stop'));
  await last.response();
  last.close();
  expect(await exit).toEqual([0, null]);
});

test('a server that is unref()ed does not keep its process, one that is ref()ed again does', async () => {
  const program = `
    const server = require('node:http').createServer((request, response) => response.end('ok'));
    server.unref();
    server.listen(0, '127.0.0.1', async () => {
      if (process.argv[1] === 'late') server.ref().unref();
      const answer = await fetch('http://127.0.0.1:' + server.address().port, { headers: { connection: 'close' } });
      console.log(await answer.text());
      if (process.argv[1] !== 'ref') return;
      server.ref();
      setTimeout(() => console.log('there') ?? server.close(), 100).unref();
    });`;
  const run = async (...args: string[]): Promise<unknown[]> => {
    const child = spawn(process.execPath, ['--import', REGISTER, '-e', program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'close');
    return [await text(child.stdout), ...(await exit)];
  };
  expect(await run()).toEqual(['ok\n', 0, null]);
  expect(await run('late')).toEqual(['ok\n', 0, null]);
  expect(await run('ref')).toEqual(['ok\nthere\n', 0, null]);
});

test('what http.createServer was given for options is kept to', async () => {
  const { port, exit } = await start(['--import', REGISTER, fixture('options.cjs')]);
  const status = async (text: string): Promise<number> => {
    const client = await RawClient.connect({ port });
    await client.send(text);
    const response = await client.response();
    client.close();
    return response.status;
  };
  expect(await status(request('GET /', `X: ${'a'.repeat(900)}`))).toBe(200);
  expect(await status(request('GET /', `X: ${'a'.repeat(1024)}`))).toBe(431);
  expect(await status(request(`GET /${'a'.repeat(1024)}`))).toBe(414);
  // The time for a request is also one for its head.
  expect(await status('GET / HTTP/1.1\r\nHost: ')).toBe(408);
  const client = await RawClient.connect({ port });
  await client.send(request('GET /stop', 'Age: 1', 'Age: 2'));
  expect(JSON.parse(String((await client.response()).body))).toEqual({ own: true, age: '1, 2' });
  client.close();
  expect(await exit).toEqual([0, null]);
});
