// What is wrong with the rules of a configuration.

import { expect, test } from 'vitest';
import { checkConfig } from '../../src/config/check.js';

test.each([
  ['mounts[0].redirect', { redirect: '//evil.example' }, "expected a path that begins with one '/'"],
  ['mounts[0].redirect', { redirect: 'new' }, "expected a path that begins with one '/'"],
  ['mounts[0].redirect', { redirect: 'https://user:pw@a.example' }, 'or a URL such as'],
  ['mounts[0].redirect.status', { redirect: { to: '/a', status: 200 } }, 'expected 301, 302, 303, 307 or 308'],
  ['mounts[0].respond', { respond: { status: 204, body: 'x' } }, 'expected no body'],
  ['mounts[0]', { respond: 'a', redirect: '/b' }, 'expected one of files with an application, respond, and redirect'],
  ['mounts[0]', {}, 'or respond, or redirect'],
  ['mounts[0].allow', { respond: 'a', allow: [] }, 'nobody could enter'],
  ['mounts[0].allow[0]', { respond: 'a', allow: ['10.0.0.1/8'] }, "write '10.0.0.0/8'"],
  ['mounts[0].cors', { respond: 'a', cors: { origins: ['*'], credentials: true } }, 'would let every site act'],
  ['mounts[0].cors.origins[0]', { respond: 'a', cors: { origins: ['https://a.example/'] } }, 'without a path'],
  [
    'mounts[0].responseHeaders.set',
    { respond: 'a', responseHeaders: { set: { 'Content-Length': '1' } } },
    'for the server to say',
  ],
  ['mounts[0].responseHeaders.set', { respond: 'a', responseHeaders: { set: { A: 'b\r\nC: d' } } }, 'visible ASCII'],
])('%s %j', (key, mount, message) => {
  const check = (): unknown => checkConfig({ mounts: [{ path: '/', ...mount }] }, { name: 'gwanmun.config.ts' });
  expect(check).toThrow(key);
  expect(check).toThrow(message);
});
