// Pages of other origins (Fetch §3.2).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get, type Answer } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { KINDS, site } from './site.js';

const ORIGIN = 'https://page.example';
const OWN = /^access-control-/;

const fields = ({ headers }: Answer): Record<string, unknown> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => OWN.test(name)));

describe('cors', () => {
  const folder = new Folder();
  let server: Gwanmun;
  beforeAll(async () => {
    const cors = {
      origins: [ORIGIN, 'https://*.sub.example'],
      credentials: true,
      methods: ['GET', 'PUT'],
      headers: ['Authorization'],
      expose: ['X-Total'],
      maxAge: 60_000,
    };
    server = await site(folder, { cors });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const ask = (path: string, origin?: string, more: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    get(server.port, path, { method, headers: { ...(origin === undefined ? {} : { Origin: origin }), ...more } });

  test.each(KINDS)('A110 A111 an origin that may read it is named, and caches know: %s', async (path) => {
    for (const origin of [ORIGIN, 'https://a.sub.example']) {
      const answer = await ask(`${path}/`, origin);
      expect(fields(answer)).toEqual({
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'X-Total',
      });
      expect(answer.headers.vary).toContain('Origin');
    }
    for (const origin of [undefined, 'https://evil.example', 'https://sub.example', 'null']) {
      const answer = await ask(`${path}/`, origin);
      expect(fields(answer)).toEqual({});
      expect(answer.headers.vary).toContain('Origin');
      expect(answer.status).toBeLessThan(400);
    }
  });

  test('A111 an error and a 304 vary as well', async () => {
    const { headers } = await ask('/files/', ORIGIN);
    const known = await ask('/files/', ORIGIN, { 'If-None-Match': headers.etag as string });
    expect([known.status, known.headers.vary?.includes('Origin')]).toEqual([304, true]);
    expect(known.headers['access-control-allow-origin']).toBe(ORIGIN);
    const missing = await ask('/files/none');
    expect([missing.status, missing.headers.vary]).toEqual([404, 'Origin']);
  });

  test('A113 what the application says of it is replaced', async () => {
    const answer = await ask('/app/own', ORIGIN);
    expect(fields(answer)).toMatchObject({ 'access-control-allow-origin': ORIGIN });
    expect(fields(await ask('/app/own', 'https://evil.example'))).toEqual({});
    expect(answer.headers.vary).toBe('Cookie, Origin');
  });

  test.each(KINDS)('A107 A112 a preflight is answered before the mount is asked: %s', async (path) => {
    const preflight = { 'Access-Control-Request-Method': 'PUT', 'Access-Control-Request-Headers': 'x-other' };
    const answer = await ask(`${path}/fails`, ORIGIN, preflight, 'OPTIONS');
    expect([answer.status, answer.body.length]).toEqual([204, 0]);
    expect(fields(answer)).toEqual({
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, PUT',
      'access-control-allow-headers': 'Authorization',
      'access-control-expose-headers': 'X-Total',
      'access-control-max-age': '60',
    });
    expect(answer.headers.vary).toBe('Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
    expect(fields(await ask(`${path}/fails`, 'https://evil.example', preflight, 'OPTIONS'))).toEqual({});
  });

  test('A107 an OPTIONS that asks for nothing of the kind is the application’s', async () => {
    expect((await ask('/app', ORIGIN, {}, 'OPTIONS')).status).toBe(200);
  });
});

test('A107 a mount without it has the question itself', async () => {
  using folder = new Folder();
  await using server = await site(folder, {});
  const headers = { Origin: ORIGIN, 'Access-Control-Request-Method': 'PUT' };
  const answer = await get(server.port, '/app', { method: 'OPTIONS', headers });
  expect([answer.status, fields(answer)]).toEqual([200, {}]);
});

test('every origin may read what is open to all', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    mounts: [{ path: '/', respond: 'open', cors: { origins: ['*'] } }],
  });
  for (const headers of [{}, { Origin: ORIGIN }])
    expect(fields(await get(server.port, '/', { headers }))).toEqual({ 'access-control-allow-origin': '*' });
});
