// Where the server listens: TCP, IPv6, Unix sockets, and what happens when that can't be.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient } from './raw-client.js';
import { last, record, request } from './recording-server.js';

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

test('several listeners answer alike', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-listen-'));
  const path = join(folder, 'site.sock');
  {
    await using target = await record({
      port: undefined,
      listen: ['127.0.0.1:0', { host: '127.0.0.2', port: 0 }, { unix: path, mode: 0o660 }],
    } as never);
    expect(target.server.addresses).toHaveLength(3);
    for (const address of target.server.addresses) {
      const client = await RawClient.connect(address);
      await client.send('GET /a HTTP/1.0\r\n\r\n');
      expect((await client.response()).status).toBe(200);
      client.close();
    }
    const { environ } = last(target);
    expect(environ).toMatchObject({ REMOTE_ADDR: '', SERVER_NAME: 'localhost', SERVER_PORT: '80' });
    expect(environ['REMOTE_PORT']).toBeUndefined();
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(target.seen[1]?.environ).toMatchObject({ SERVER_NAME: '127.0.0.2', REMOTE_ADDR: '127.0.0.1' });
  }
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  rmSync(folder, { recursive: true });
});

test.runIf(hasIpv6)('IPv6', async () => {
  await using target = await record({ hostname: '::1' });
  expect(target.server.url).toBe(`http://[::1]:${target.port}/`);
  const client = await RawClient.connect({ port: target.port, host: '::1' });
  await client.send(request('GET /a').replace('Host: a', `Host: [::1]:${target.port}`));
  expect((await client.response()).status).toBe(200);
  expect(last(target).environ).toMatchObject({ REMOTE_ADDR: '::1', SERVER_NAME: '[::1]' });
  client.close();
});

test('a taken port is an error that names it', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await expect(serve({ application: () => '', port })).rejects.toMatchObject({
    code: 'GWM_PORT_IN_USE',
    message: expect.stringContaining(String(port)),
  });
  other.close();
});

test('a port of a server of the same kind is taken as well', async () => {
  await using target = await record();
  await expect(serve({ application: () => '', port: target.port })).rejects.toMatchObject({ code: 'GWM_PORT_IN_USE' });
  expect((await target.ask(request('GET /a'))).status).toBe(200);
});
