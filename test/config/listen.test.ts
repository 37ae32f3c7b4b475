import { describe, expect, test } from 'vitest';
import { parseListen } from '../../src/config/listen.js';

describe('a listen string', () => {
  test.each([
    ['8080', { port: 8080 }],
    [':8080', { port: 8080 }],
    ['0', { port: 0 }],
    ['65535', { port: 65535 }],
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['localhost:80', { host: 'localhost', port: 80 }],
    ['localhost', { host: 'localhost' }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
    ['[::1]', { host: '::1' }],
    ['unix:/run/site.sock', { unix: '/run/site.sock' }],
    ['unix:./a:b.sock', { unix: './a:b.sock' }],
  ])('%s is understood', (text, expected) => {
    expect(parseListen(text)).toEqual({ ok: expected });
  });

  test.each([
    ['', 'expected'],
    ['65536', 'expected a port from 0 to 65535, got 65536'],
    ['a:b', 'got "a:b"'],
    ['127.0.0.1:', 'got "127.0.0.1:"'],
    ['::1', "write an IPv6 address in brackets: '[::1]:8080'"],
    ['[nonsense]:80', '"nonsense" is not an IPv6 address'],
    ['http://localhost:80', 'got "http://localhost:80"'],
    ['local host:80', 'got'],
    ['unix:', 'without a path'],
  ])('%j is refused with a reason', (text, reason) => {
    expect(parseListen(text)).toEqual({ fault: expect.stringContaining(reason) as string });
  });
});
