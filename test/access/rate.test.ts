// How often a client may ask.

import { expect, test } from 'vitest';
import { get, type Answer } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { RawClient } from '../http/raw-client.js';
import { KINDS, site } from './site.js';

const HOUR = 3_600_000;
const from = (address: string): { headers: Record<string, string> } => ({ headers: { 'X-Forwarded-For': address } });
const statuses = async (answers: Promise<Answer>[]): Promise<number[]> =>
  (await Promise.all(answers)).map(({ status }) => status).toSorted();

test('A96 A99 what is too much gets a 429 with the time to wait, on every kind of mount', async () => {
  using folder = new Folder();
  await using server = await site(folder, { rateLimit: { requests: 3, per: HOUR } }, { trustedProxies: ['127.0.0.1'] });
  for (const path of KINDS) {
    for (let index = 0; index < 3; index += 1)
      expect((await get(server.port, `${path}/`, from('192.0.2.1'))).status, path).toBeLessThan(400);
    const refused = await get(server.port, `${path}/`, { ...from('192.0.2.1'), method: 'POST', body: 'unread' });
    expect(refused.status, path).toBe(429);
    expect(refused.headers).toMatchObject({ 'cache-control': 'no-store', 'retry-after': '1200' });
    // A97: another client has its own; of IPv6 a network is one client.
    expect((await get(server.port, `${path}/`, from('192.0.2.2'))).status, path).toBeLessThan(400);
    for (const host of ['1', '2', '3']) await get(server.port, `${path}/`, from(`2001:db8::${host}`));
    expect((await get(server.port, `${path}/`, from('2001:db8::4'))).status, path).toBe(429);
    expect((await get(server.port, `${path}/`, from('2001:db8:0:1::4'))).status, path).toBeLessThan(400);
  }
});

test('A96 all I/O threads and connections count together', async () => {
  using folder = new Folder();
  const rateLimit = { requests: 1, per: HOUR, burst: 50, key: 'all' };
  await using server = await Gwanmun.start(folder, { threads: 4, mounts: [{ path: '/', respond: 'in', rateLimit }] });
  const answers = await statuses(Array.from({ length: 200 }, () => get(server.port, '/')));
  expect(answers.filter((status) => status === 200).length).toBe(50);
  expect(answers.filter((status) => status === 429).length).toBe(150);
});

test('A99 the connection stays, and the rest of a pipeline is answered', async () => {
  using folder = new Folder();
  const rateLimit = { requests: 2, per: HOUR };
  await using server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/', respond: 'in', rateLimit },
      { path: '/free', respond: 'free', rateLimit: false },
    ],
  });
  const client = await RawClient.connect({ port: server.port });
  const paths = ['/', '/free', '/', '/', '/free'];
  await client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
  for (const status of [200, 200, 200, 429, 200]) expect((await client.response()).status).toBe(status);
  client.close();
});

test('A97 A98 what is counted together: a header’s value, and limits of one name', async () => {
  using folder = new Folder();
  const named = { requests: 2, per: HOUR, name: 'api', key: 'header:X-Api-Key' };
  await using server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/a', respond: 'a', rateLimit: named },
      { path: '/b', respond: 'b', rateLimit: named },
    ],
  });
  const ask = async (path: string, key?: string): Promise<number> =>
    (await get(server.port, path, key === undefined ? {} : { headers: { 'X-Api-Key': key } })).status;
  expect([await ask('/a', 'one'), await ask('/b', 'one'), await ask('/a', 'one')]).toEqual([200, 200, 429]);
  expect([await ask('/a', 'two'), await ask('/b', 'two'), await ask('/b', 'two')]).toEqual([200, 200, 429]);
  // Without the header it is the address, and not one bucket of nothing.
  expect([await ask('/a'), await ask('/b'), await ask('/a', '')]).toEqual([200, 200, 200]);
  expect(await ask('/a')).toBe(429);
});

test('A5 a mount has the limits of those around it, and the whole', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    rateLimit: { requests: 4, per: HOUR },
    mounts: [
      { path: '/', respond: '/' },
      { path: '/login', respond: '/login', rateLimit: { requests: 2, per: HOUR, status: 503 } },
    ],
  });
  const ask = async (path: string): Promise<number> => (await get(server.port, path)).status;
  expect([await ask('/login'), await ask('/login'), await ask('/login'), await ask('/x/../login')]).toEqual([
    200, 200, 503, 503,
  ]);
  expect([await ask('/'), await ask('/none')]).toEqual([429, 429]);
});

test('A102 counts go on over a reload', async () => {
  using folder = new Folder();
  const config = { mounts: [{ path: '/', respond: 'in', rateLimit: { requests: 2, per: HOUR } }] };
  await using server = await Gwanmun.start(folder, config);
  for (const status of [200, 200, 429]) expect((await get(server.port, '/')).status).toBe(status);
  server.child.kill('SIGHUP');
  await server.says(/configuration 2 is in use/);
  expect((await get(server.port, '/')).status).toBe(429);
});

test('A104 dryRun refuses nothing and says so', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    accessLog: 'json',
    mounts: [{ path: '/', respond: 'in', rateLimit: { requests: 1, per: HOUR, dryRun: true } }],
  });
  for (let index = 0; index < 3; index += 1) expect((await get(server.port, '/')).status).toBe(200);
  await server.prints(/"status":200.*"reason":"over the rate limit, which refuses nothing yet"/);
});

test('a login that waits for its password is counted once', async () => {
  using folder = new Folder();
  const ann = '$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5';
  await using server = await Gwanmun.start(folder, {
    mounts: [{ path: '/', respond: 'in', auth: { basic: { ann } }, rateLimit: { requests: 2, per: HOUR } }],
  });
  const ask = async (password: string): Promise<number> => {
    const Authorization = `Basic ${Buffer.from(`ann:${password}`).toString('base64')}`;
    return (await get(server.port, '/', { headers: { Authorization } })).status;
  };
  expect([await ask('no'), await ask('Hello world!'), await ask('Hello world!')]).toEqual([401, 200, 429]);
});
