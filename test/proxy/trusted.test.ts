// A proxy that is trusted says whom a request is from: the same to every kind of application.

import { expect, test } from 'vitest';
import { forEachKind, seeAll } from './hosts.js';

forEachKind(['127.0.0.1', '10.0.0.0/8'], (look, port, kind) => {
  test('P23 the right-most address that is not trusted is the client', async () => {
    const seen = await look(['X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.1', 'X-Forwarded-For: 10.0.0.2']);
    expect(seen).toMatchObject({ address: '192.0.2.7', scheme: 'http', host: 'inside.test:3000' });
    // The list is the application's to read; the port of a client that is elsewhere is not known.
    expect(seen.headers['x-forwarded-for']).toBe('6.6.6.6, 192.0.2.7, 10.0.0.1, 10.0.0.2');
    expect(seen.port).toBeUndefined();
  });

  test('P25 ports and brackets are understood, and what is no address ends the walk', async () => {
    const port = await look(['X-Forwarded-For: [2001:db8::7]:4711']);
    expect([port.address, port.port]).toEqual(['2001:db8::7', 4711]);
    expect((await look(['X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.1'])).address).toBe('10.0.0.1');
    const hidden = await look(['X-Forwarded-For: 192.0.2.7, _hidden']);
    expect(hidden.address).toBe('127.0.0.1');
    expect(hidden.port).toBeGreaterThan(0);
    const many = ['192.0.2.7', ...Array.from({ length: 200 }, () => '10.0.0.1')].join(',');
    expect((await look([`X-Forwarded-For: ${many}`])).address).toBe('10.0.0.1');
  });

  test('P27 without a list the peer is the client, whose scheme may still be said', async () => {
    const seen = await look(['X-Forwarded-Proto: https', 'Host: site.example']);
    expect(seen).toMatchObject({ address: '127.0.0.1', scheme: 'https', host: 'site.example', serverPort: 443 });
    expect(seen.port).toBeGreaterThan(0);
  });

  test('P32 scheme, host and port are the client’s', async () => {
    const seen = await look([
      'Host: 127.0.0.1:3000',
      'X-Forwarded-For: 192.0.2.7',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: site.example:8443',
    ]);
    expect(seen).toMatchObject({ address: '192.0.2.7', scheme: 'https', host: 'site.example:8443', serverPort: 8443 });
    expect(seen.headers).toMatchObject({ 'x-forwarded-proto': 'https', 'x-forwarded-host': 'site.example:8443' });
    if (seen.serverName !== undefined) expect(seen.serverName).toBe('site.example');
    expect((await look(['X-Forwarded-Proto: https', 'X-Forwarded-Port: 9443'])).serverPort).toBe(9443);
    expect((await look(['X-Forwarded-Proto: http', 'Host: site.example'])).serverPort).toBe(80);
    expect((await look(['X-Forwarded-Proto: https', 'Host: site.example:8443'])).serverPort).toBe(8443);
  });

  test('what a browser sends as Origin is scheme and host, as checks against forged forms have it', async () => {
    const form = ['Host: site.example', 'Origin: https://site.example', 'X-Forwarded-For: 192.0.2.7'];
    const { scheme, host, headers } = await look([...form, 'X-Forwarded-Proto: https']);
    expect(`${scheme}://${host}`).toBe(headers['origin']);
  });

  test('P32 what is not well-formed, or comes twice, is not passed on', async () => {
    const seen = await look([
      'X-Forwarded-Proto: https, http',
      'X-Forwarded-Host: a.example, b.example',
      'X-Forwarded-Port: 65536',
      'X-Forwarded-For: 192.0.2.7',
    ]);
    expect(seen).toMatchObject({
      address: '192.0.2.7',
      scheme: 'http',
      host: 'inside.test:3000',
      serverPort: port(),
    });
    expect(Object.keys(seen.headers).filter((name) => name.startsWith('x-forwarded'))).toEqual(['x-forwarded-for']);
    const twice = await look(['X-Forwarded-Proto: https', 'X-Forwarded-Proto: https']);
    expect([twice.scheme, twice.headers['x-forwarded-proto']]).toEqual(['http', undefined]);
  });

  test('Forwarded says the same, where there is no other field', async () => {
    const element =
      'Forwarded: for=6.6.6.6, for="[2001:db8::7]:4711";proto=https;host=site.example, for=10.0.0.1;proto=http';
    const seen = await look([element]);
    expect(seen).toMatchObject({ address: '2001:db8::7', port: 4711, scheme: 'https', host: 'site.example' });
    // A proxy that sets the others passes a client's Forwarded on.
    const other = await look([element, 'X-Forwarded-For: 192.0.2.7']);
    expect(other).toMatchObject({ address: '192.0.2.7', scheme: 'http', host: 'inside.test:3000' });
  });

  test('P34 each request of a connection has a client of its own', async () => {
    const lines = ['192.0.2.1', '192.0.2.2', undefined, '192.0.2.3'].map((address) =>
      address === undefined ? [] : [`X-Forwarded-For: ${address}`, 'X-Forwarded-Proto: https'],
    );
    const seen = await seeAll(port(), kind, lines);
    expect(seen.map(({ address, scheme }) => `${address} ${scheme}`)).toEqual([
      '192.0.2.1 https',
      '192.0.2.2 https',
      '127.0.0.1 http',
      '192.0.2.3 https',
    ]);
  });

  test('a peer that is not trusted says nothing, and its headers are headers', async () => {
    const lines = ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: a, b'];
    const seen = await look([...lines, 'Forwarded: for=6.6.6.6;proto=https'], '127.0.0.2');
    expect(seen).toMatchObject({
      address: '127.0.0.2',
      scheme: 'http',
      host: 'inside.test:3000',
      serverPort: port(),
      headers: {
        'x-forwarded-for': '192.0.2.7',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'a, b',
        forwarded: 'for=6.6.6.6;proto=https',
      },
    });
  });
});
