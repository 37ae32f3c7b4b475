// Fields of responses that the configuration sets: on every kind of mount, and on what the core answers itself.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { KINDS, site } from './site.js';

describe('responseHeaders', () => {
  const folder = new Folder();
  let server: Gwanmun;
  beforeAll(async () => {
    const own = { responseHeaders: { set: { 'X-Mount': 'one' }, remove: ['X-Powered-By', 'Server'] } };
    const whole = {
      responseHeaders: {
        set: { 'X-Robots-Tag': 'noindex', 'X-Mount': 'none' },
        default: { 'X-Frame-Options': 'SAMEORIGIN' },
      },
    };
    server = await site(folder, own, whole);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test.each(KINDS)('are those of the whole and of the mount, which comes last: %s', async (path) => {
    const { headers } = await get(server.port, `${path}/`);
    expect(headers).toMatchObject({ 'x-robots-tag': 'noindex', 'x-mount': 'one' });
    expect(headers['x-powered-by']).toBeUndefined();
    expect(headers.server).toBeUndefined();
    expect(headers.date).toBeDefined();
  });

  test('A120 a default yields to what the application says', async () => {
    expect((await get(server.port, '/app')).headers['x-frame-options']).toBe('DENY');
    expect((await get(server.port, '/files/')).headers['x-frame-options']).toBe('SAMEORIGIN');
  });

  test.each([
    ['an error of a mount', '/files/none', 404, 'one'],
    ['an application that fails', '/app/fails', 500, 'one'],
    ['what is no mount', '/none', 404, 'none'],
    ['a redirect to a folder', '/files', 301, 'one'],
  ])('A119 hold for %s', async (_what, path, status, mount) => {
    const answer = await get(server.port, path);
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({ 'x-robots-tag': 'noindex', 'x-mount': mount });
  });

  test('A119 hold for a 304, a HEAD and a request that is refused', async () => {
    const { headers } = await get(server.port, '/files/');
    const known = await get(server.port, '/files/', { headers: { 'If-None-Match': headers.etag as string } });
    expect(known.status).toBe(304);
    expect(known.headers['x-mount']).toBe('one');
    const head = await get(server.port, '/files/', { method: 'HEAD' });
    expect(head.headers).toMatchObject({ 'x-mount': 'one', 'content-length': '6' });
    const refused = await get(server.port, '/files/%zz');
    expect(refused.status).toBe(400);
    expect(refused.headers['x-robots-tag']).toBe('noindex');
  });
});

describe('securityHeaders', () => {
  test('A118 true is a set of them; a mount changes some, or goes without', async () => {
    using folder = new Folder();
    folder.write('public/index.html', 'a page');
    const changed = { 'X-Frame-Options': 'DENY', 'Referrer-Policy': false };
    await using server = await Gwanmun.start(folder, {
      securityHeaders: true,
      mounts: [
        { path: '/', files: './public' },
        { path: '/changed', respond: '', securityHeaders: changed },
        { path: '/without', respond: '', securityHeaders: false },
      ],
    });
    expect((await get(server.port, '/')).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'strict-origin-when-cross-origin',
      'x-frame-options': 'SAMEORIGIN',
      'content-security-policy': "frame-ancestors 'self'",
      'cross-origin-opener-policy': 'same-origin',
    });
    const own = (await get(server.port, '/changed')).headers;
    expect(own).toMatchObject({ 'x-frame-options': 'DENY', 'cross-origin-opener-policy': 'same-origin' });
    expect(own['referrer-policy']).toBeUndefined();
    const none = (await get(server.port, '/without')).headers;
    for (const name of ['x-frame-options', 'content-security-policy', 'strict-transport-security'])
      expect(none[name]).toBeUndefined();
    // A121.
    for (const name of ['x-xss-protection', 'expect-ct']) expect(own[name]).toBeUndefined();
  });
});
