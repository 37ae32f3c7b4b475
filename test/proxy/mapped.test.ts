// P29: an IPv4 client of a listener on `::` is the address that it has, whatever IPv6 puts around it.

import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { application } from './application.js';
import { see } from './hosts.js';

test.each([
  ['127.0.0.0/8', '192.0.2.7'],
  ['::ffff:127.0.0.0/104', '192.0.2.7'],
  ['::/0', '127.0.0.1'],
])('%s has the peer, or not', async (network, address) => {
  const errorLog = { file: '/dev/null' };
  await using server = await serve({ application, port: 0, host: '::', trustedProxies: [network], errorLog });
  const seen = await see(server.port as number, '/contract', ['X-Forwarded-For: 192.0.2.7, ::ffff:127.0.0.9']);
  expect(seen.address).toBe(address);
});
