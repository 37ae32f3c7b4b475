// What a fetch application learns when its client leaves, and work behind the response.

import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { inEachHost, request } from './hosts.js';

inEachHost('disconnect', (host) => {
  test('the signal is aborted while the handler waits', async () => {
    const client = await host().connect();
    await client.send(request('GET /waiting'));
    await host().noted('waiting: called');
    client.close();
    expect(await host().noted('waiting: aborted')).toBe('waiting: aborted');
  });

  test('a stream that waits for its reader is cancelled', async () => {
    const client = await host().connect();
    await client.send(request('GET /endless'));
    await client.bytes(1_000_000);
    client.close();
    await host().noted('endless: cancelled');
    await host().noted('endless: aborted');
  });

  test('a stream that has nothing to say is cancelled', async () => {
    const client = await host().connect();
    await client.send(request('GET /silent'));
    await client.until('first\n');
    client.close();
    await host().noted('silent: cancelled');
    await host().noted('silent: AbortError');
  });

  test('a client that has only ended its side gets a whole response', async () => {
    const client = await host().connect();
    await client.send(request('GET /hello'));
    client.socket.end();
    expect((await client.response()).body.toString()).toBe('hello\n');
    client.close();
  });

  test('work behind the response goes on, and its failure is told', async () => {
    expect((await host().ask('GET /background')).body.toString()).toBe('at once');
    await host().noted('background: done');
    await host().logged('Error: background: failed');
  });
});

test('a worker that stops waits for work behind its responses', async () => {
  const app = `
    import { setTimeout } from 'node:timers/promises';
    import { writeFileSync } from 'node:fs';
    export default {
      fetch(request, { waitUntil }) {
        waitUntil(setTimeout(300).then(() => writeFileSync(process.env.FOLDER + '/done', '')));
        return new Response('at once');
      },
    };`;
  await using server = new Gwanmun({ app: './app.mjs', files: { 'app.mjs': app } });
  const response = await fetch(`http://127.0.0.1:${await server.port()}/`);
  expect(await response.text()).toBe('at once');
  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  const { existsSync } = await import('node:fs');
  expect(existsSync(`${server.folder}/done`)).toBe(true);
});
