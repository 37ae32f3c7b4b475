// Whatever clients and handlers do, no slot of the worker is lost.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { request, serving } from './serving.js';

const handlers: Record<string, (req: IncomingMessage, res: ServerResponse) => unknown> = {
  '/end': (_req, res) => void res.end('x'),
  '/later': (_req, res) => void setImmediate(() => res.end('x')),
  '/never': () => {},
  '/part': (_req, res) => void res.write('part'),
  '/large': (_req, res) => void res.end(Buffer.alloc(1_000_000)),
  '/endless': (_req, res) => {
    const go = (): void => {
      if (!res.destroyed && res.write(Buffer.alloc(10_000))) setImmediate(go);
    };
    res.on('drain', go);
    go();
  },
  '/read': (req, res) => void req.resume().on('end', () => res.end('x')),
  '/echo': (req, res) => void req.pipe(res),
  '/destroy': (req) => void req.destroy(),
  '/throw': () => {
    throw new Error('expected by the test');
  },
  '/reject': () => Promise.reject(new Error('expected by the test')),
};

test('after clients that leave at any time', async () => {
  await using target = await serving(
    (req, res) => {
      req.on('error', () => {});
      res.on('error', () => {});
      return handlers[req.url as string]?.(req, res);
    },
    { concurrency: 4, queue: { length: 1000 } },
  );
  const paths = Object.keys(handlers);
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      paths.map(async (path, index) => {
        const client = await target.connect();
        const head =
          (round + index) % 2 === 0
            ? request(`GET ${path}`)
            : `${request(`POST ${path}`, 'Content-Length: 100000')}begin`;
        await client.send(head);
        // Some leave at once, some after the server has had its turn.
        for (let turn = 0; turn < round * 3; turn++) await new Promise(setImmediate);
        if (round % 2 === 0) client.reset();
        else client.close();
      }),
    );
  }
  const answers = await Promise.all(Array.from({ length: 8 }, () => target.ask(request('GET /later'))));
  expect(answers.map(({ status, body }) => `${status} ${String(body)}`)).toEqual(Array(8).fill('200 x'));
});
