// A flood of requests that are refused costs the error log a bounded number of lines, and it says how many it left out.

import { connect } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { exchange } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

/** Lines that a thread writes in a second. */
const MOST_LINES = 50;
const COUNT = 1000;

const folder = new Folder();
folder.write('app.mjs', "export const application = () => (console.error('called'), new Promise(() => {}));");
afterAll(() => folder[Symbol.dispose]());

test.each([
  [
    'that nobody takes',
    /error A request was refused with 503: /g,
    /error (\d+) more requests were refused with 503\. /g,
    (port: number) => pipeline(port, 'GET /again HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(COUNT)),
  ],
  [
    'that are no HTTP',
    /info client 127\.0\.0\.1: 400: /g,
    /info (\d+) more requests were refused\. /g,
    (port: number) => Promise.all(Array.from({ length: COUNT }, () => exchange(port, 'nonsense\r\n\r\n'))),
  ],
])('the error log has a bounded number of lines for requests %s', async (_, line, rest, flood) => {
  await using server = await Gwanmun.start(folder, {
    threads: 1,
    concurrency: 1,
    queue: { length: 0 },
    mounts: [{ path: '/', app: './app.mjs' }],
  });
  // It holds the only slot of the only worker.
  const holder = connect(server.port, '127.0.0.1', () => holder.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  await server.says(/called/);
  const began = performance.now();
  await flood(server.port);
  const seconds = (performance.now() - began) / 1000;
  const lines = (): number => server.stderr.match(line)?.length ?? 0;
  const leftOut = (): number => [...server.stderr.matchAll(rest)].reduce((sum, [, count]) => sum + Number(count), 0);
  await expect.poll(() => lines() + leftOut(), { timeout: 10_000 }).toBe(COUNT);
  expect(lines()).toBeGreaterThanOrEqual(MOST_LINES);
  expect(lines()).toBeLessThanOrEqual(MOST_LINES * (Math.ceil(seconds) + 1));
  holder.destroy();
});

/** Sends requests of one connection, and resolves when each has its answer. */
async function pipeline(port: number, requests: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.setEncoding('latin1').write(requests);
  let answers = '';
  for await (const text of socket as AsyncIterable<string>) {
    answers += text;
    if (answers.match(/HTTP\/1\.1 503/g)?.length === COUNT) break;
  }
}
