// The core's link to a worker ends while handlers read their requests.

import { expect, test } from 'vitest';
import { nodeApplication } from '../../src/adapters/node/handler.js';
import { streamedRequest, worker } from '../gateway/fake-link.js';

test('a handler that waits for more of a body learns of it, and so do those behind it', async () => {
  const events: string[] = [];
  const { link } = worker(
    nodeApplication((request) => {
      const name = request.url;
      request.on('data', () => {});
      request.on('error', (error: NodeJS.ErrnoException) => events.push(`${name} ${error.code}`));
      request.on('close', () => events.push(`${name} close`));
    }) as never,
  );
  for (const stream of [1, 2]) link.deliver(streamedRequest({ stream, sequence: stream, target: `/${stream}` }));
  await new Promise(setImmediate);
  link.onClose(null);
  await expect.poll(() => events.toSorted()).toEqual(['/1 ECONNRESET', '/1 close', '/2 ECONNRESET', '/2 close']);
});
