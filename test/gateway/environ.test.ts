/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { describe, expect, test } from 'vitest';
import type { Environ } from '../../src/gateway/types.js';
import { names, request, type RequestOptions, worker, type WorkerOptions } from './fake-link.js';

/** The environ of a request, once read from the table and once made by a compiled factory. */
function environs(options: RequestOptions, workerOptions: WorkerOptions = {}): [Environ, Environ] {
  const seen: Environ[] = [];
  const { link } = worker((environ, startResponse) => {
    seen.push({ ...environ });
    startResponse('204 No Content', []);
    return [];
  }, workerOptions);
  const lower = (options.headers ?? []).map(([name]) => name.toLowerCase());
  link.deliver(request(options), names(7, lower), request({ ...options, stream: 2, sequence: 2, names: 7 }));
  expect(link.logs()).toEqual([]);
  expect(seen).toHaveLength(2);
  return [seen[0]!, seen[1]!];
}

/** What can be compared of an environ: everything but the two streams. */
function plain(environ: Environ): Record<string, unknown> {
  const { 'wsgi.input': input, 'wsgi.errors': errors, ...rest } = environ;
  expect(input).toBeDefined();
  expect(errors).toBeDefined();
  return rest;
}

describe('environ', () => {
  test('W01 the application is called with environ and startResponse, a class or a bound method as well', () => {
    class Site {
      readonly text = 'site';
      handle = (_environ: Environ, start: (status: string, headers: []) => unknown): string => {
        start('200 OK', []);
        return this.text;
      };
    }
    let count = 0;
    const { link } = worker(function (this: unknown, ...args: unknown[]) {
      count = args.length;
      expect(this).toBeUndefined();
      return new Site().handle(args[0] as Environ, args[1] as never);
    } as never);
    link.deliver(request());
    expect(count).toBe(2);
    expect(link.answer().body.toString()).toBe('site');
  });

  test('W03 has every CGI key of a request', () => {
    const [read, compiled] = environs({
      method: 'POST',
      target: '/app/caf%C3%A9?a=%20b',
      scriptName: '/app',
      pathInfo: '/caf\u00c3\u00a9',
      query: 'a=%20b',
      serverName: 'example.org',
      remoteAddr: '192.0.2.1',
      serverPort: 8080,
      clientPort: 61_000,
      headers: [
        ['Host', 'example.org:8080'],
        ['Content-Type', 'text/plain'],
        ['X-Custom', 'yes'],
      ],
      body: 'hello',
    });
    expect(plain(read)).toEqual({
      REQUEST_METHOD: 'POST',
      SCRIPT_NAME: '/app',
      PATH_INFO: '/caf\u00c3\u00a9',
      QUERY_STRING: 'a=%20b',
      REQUEST_URI: '/app/caf%C3%A9?a=%20b',
      CONTENT_TYPE: 'text/plain',
      CONTENT_LENGTH: '5',
      SERVER_NAME: 'example.org',
      SERVER_PORT: '8080',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SERVER_SOFTWARE: 'gwanmun/test',
      GATEWAY_INTERFACE: 'CGI/1.1',
      REMOTE_ADDR: '192.0.2.1',
      REMOTE_PORT: '61000',
      HTTP_HOST: 'example.org:8080',
      HTTP_X_CUSTOM: 'yes',
      'wsgi.version': [1, 0],
      'wsgi.url_scheme': 'http',
      'wsgi.multithread': false,
      'wsgi.multiprocess': false,
      'wsgi.run_once': false,
      'wsgi.input_terminated': true,
      'wsgi.file_wrapper': expect.any(Function),
      'gwanmun.early_hints': expect.any(Function),
    });
    expect(plain(compiled)).toEqual(plain(read));
  });

  test('W03 SERVER_PORT is not empty behind a Unix socket, which has no client port', () => {
    for (const environ of environs({ serverPort: 0, clientPort: 0, remoteAddr: '' })) {
      expect(environ.SERVER_PORT).toBe('80');
      expect(environ.REMOTE_ADDR).toBe('');
      expect(environ).not.toHaveProperty('REMOTE_PORT');
    }
    for (const environ of environs({ serverPort: 0, tls: true })) expect(environ.SERVER_PORT).toBe('443');
  });

  test('W02 is a plain object that the application may change, fresh for every request', () => {
    const seen: Environ[] = [];
    const { link } = worker((environ, startResponse) => {
      expect(Object.getPrototypeOf(environ)).toBe(Object.prototype);
      expect(Object.keys(environ)).toContain('REQUEST_METHOD');
      expect('HTTP_MARK' in environ).toBe(false);
      environ['HTTP_MARK'] = 'changed';
      delete (environ as Partial<Environ>).REQUEST_METHOD;
      seen.push(environ);
      startResponse('200 OK', []);
      return '';
    });
    link.deliver(names(1, ['host']));
    for (let sequence = 1; sequence <= 3; sequence++) {
      link.deliver(request({ sequence, names: 1, headers: [['Host', `h${sequence}`]] }));
      link.forget();
    }
    // Strings stay as they are after the received bytes are gone.
    expect(seen.map((environ) => environ['HTTP_HOST'])).toEqual(['h1', 'h2', 'h3']);
  });

  test('W04 every value is a string of bytes, also beyond ASCII', () => {
    for (const environ of environs({ pathInfo: '/\u00ff\u0080', headers: [['X-Name', 'caf\u00e9']] })) {
      expect(environ.PATH_INFO).toBe('/\u00ff\u0080');
      expect(environ['HTTP_X_NAME']).toBe('caf\u00e9');
      expect(Buffer.from(environ.PATH_INFO, 'latin1')).toEqual(Buffer.from([0x2f, 0xff, 0x80]));
    }
  });

  test('W05 PATH_INFO is decoded by the core, QUERY_STRING stays raw', () => {
    for (const environ of environs({ target: '/A%2fb?x=%zz', pathInfo: '/A/b', query: 'x=%zz' })) {
      expect([environ.PATH_INFO, environ.QUERY_STRING, environ.REQUEST_URI]).toEqual(['/A/b', 'x=%zz', '/A%2fb?x=%zz']);
    }
  });

  test('W06 repeated headers are joined, cookies with a semicolon', () => {
    const headers = [
      ['Cookie', 'a=1'],
      ['Accept', 'text/html'],
      ['cookie', 'b=2'],
      ['ACCEPT', '*/*'],
      ['Accept', ''],
    ] as const;
    for (const environ of environs({ headers })) {
      expect(environ['HTTP_COOKIE']).toBe('a=1; b=2');
      expect(environ['HTTP_ACCEPT']).toBe('text/html, */*, ');
    }
  });

  test('W06 Content-Type and Content-Length are not HTTP_ keys', () => {
    const headers = [
      ['Content-Length', '3'],
      ['Content-Type', 'a/b'],
    ] as const;
    for (const environ of environs({ headers, body: 'abc' })) {
      expect(Object.keys(environ).filter((key) => key.startsWith('HTTP_'))).toEqual([]);
      expect([environ.CONTENT_LENGTH, environ.CONTENT_TYPE]).toEqual(['3', 'a/b']);
    }
  });

  test('W06 an empty header is there, an absent one is not', () => {
    for (const environ of environs({ headers: [['X-Empty', '']] })) {
      expect(environ['HTTP_X_EMPTY']).toBe('');
      expect('HTTP_X_OTHER' in environ).toBe(false);
    }
  });

  test('C11 CONTENT_LENGTH is the length in the head, also of a chunked body', () => {
    for (const environ of environs({ headers: [['Transfer-Encoding', 'chunked']], body: 'x'.repeat(70_000) }))
      expect(environ.CONTENT_LENGTH).toBe('70000');
    for (const environ of environs({ body: '' })) expect(environ.CONTENT_LENGTH).toBe('0');
    for (const environ of environs({ headers: [['Content-Length', '5']] }))
      expect(environ).not.toHaveProperty('CONTENT_LENGTH');
  });

  test('W08 HTTPS and the scheme tell whether the connection is TLS', () => {
    for (const environ of environs({ tls: true }))
      expect([environ.HTTPS, environ['wsgi.url_scheme']]).toEqual(['on', 'https']);
    for (const environ of environs({})) {
      expect(environ['wsgi.url_scheme']).toBe('http');
      expect(environ).not.toHaveProperty('HTTPS');
    }
  });

  test('W09 SERVER_PROTOCOL and wsgi.multiprocess are truthful', () => {
    for (const environ of environs({ http10: true }, { hello: { multiprocess: true } })) {
      expect(environ.SERVER_PROTOCOL).toBe('HTTP/1.0');
      expect(environ['wsgi.multiprocess']).toBe(true);
    }
  });

  test('W11 the core adds pairs of the deployer, which win over headers', () => {
    const pairs = [
      ['APP_MODE', 'it\'s "quoted"\u2028\\'],
      ['HTTP_X_USER', 'deployer'],
      ['__proto__', 'polluted'],
    ] as const;
    for (const environ of environs({ headers: [['X-User', 'client']] }, { hello: { pairs } })) {
      expect(environ['APP_MODE']).toBe(Buffer.from(pairs[0][1], 'latin1').toString('latin1'));
      expect(environ['HTTP_X_USER']).toBe('deployer');
      expect(Object.getPrototypeOf(environ)).toBe(Object.prototype);
    }
  });

  test('W12 nothing of the process environment is in it', () => {
    for (const environ of environs({})) {
      expect(environ).not.toHaveProperty('PATH');
      expect(environ).not.toHaveProperty('HTTP_PROXY');
    }
  });

  test('W07 names that cannot be a key of their own are not compiled', () => {
    const { link, faults } = worker(() => '');
    link.deliver(names(1, ["a'] = evil()"]), request({ names: 1, headers: [['a', 'b']] }));
    expect(link.logs()[0]).toContain('may not cross');
    expect(link.answer().reset).toBe(1);
    expect(faults).toEqual([]);
  });

  test('an environ is read as well where code may not be made from strings', () => {
    // What --disallow-code-generation-from-strings does.
    const original = globalThis.Function;
    const refusing = function refusing(): never {
      throw new EvalError('Code generation from strings disallowed for this context');
    };
    globalThis.Function = refusing as never;
    try {
      const [read, fallback] = environs({
        headers: [
          ['X-Without-Code-Generation', 'yes'],
          ['Host', 'h'],
        ],
      });
      expect(plain(fallback)).toEqual(plain(read));
    } finally {
      globalThis.Function = original;
    }
  });
});
