// Without trustedProxies nobody is believed, loopback neither: a tunnel or TCP forwarder lets strangers speak from there.

import { expect, test } from 'vitest';
import { forEachKind } from './hosts.js';

forEachKind(undefined, (look, port) => {
  test('the fields are headers, and the connection says the rest', async () => {
    const seen = await look([
      'X-Forwarded-For: 192.0.2.7',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: site.example',
      'X-Forwarded-Port: not a port',
      'Forwarded: for=6.6.6.6;proto=https',
    ]);
    expect(seen).toMatchObject({
      address: '127.0.0.1',
      scheme: 'http',
      host: 'inside.test:3000',
      serverPort: port(),
      headers: {
        'x-forwarded-for': '192.0.2.7',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'site.example',
        'x-forwarded-port': 'not a port',
        forwarded: 'for=6.6.6.6;proto=https',
      },
    });
    expect(seen.port).toBeGreaterThan(0);
  });
});
