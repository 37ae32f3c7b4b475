// validator(): each side of the contract broken once, and the row that the error names.

import { expect, test } from 'vitest';
import { serve, validator, type Application, type Environ, type StartResponse } from '../../dist/index.js';
import { OVER_TLS } from '../transport/client.js';

/** An environ without a fault. */
function environ(changes: Record<string, unknown> = {}): Environ {
  const input = {
    read: () => Buffer.from('abc'),
    readline: () => Buffer.alloc(0),
    readlines: () => [],
  };
  const values: Record<string, unknown> = {
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '',
    PATH_INFO: '/',
    QUERY_STRING: '',
    SERVER_NAME: 'a',
    SERVER_PORT: '80',
    SERVER_PROTOCOL: 'HTTP/1.1',
    'wsgi.version': [1, 0],
    'wsgi.url_scheme': 'http',
    'wsgi.input': input,
    'wsgi.errors': { write() {}, writelines() {}, flush() {} },
    'wsgi.multithread': false,
    'wsgi.multiprocess': false,
    'wsgi.run_once': false,
    ...changes,
  };
  for (const [key, value] of Object.entries(values)) if (value === undefined) delete values[key];
  return values as Environ;
}

const ok: Application = (_environ, startResponse) => {
  startResponse('200 OK', []);
  return [];
};
const start: StartResponse = () => () => {};

/** Calls a validated application and takes its body to the end, as a server would. */
function run(application: Application, changes: Record<string, unknown> = {}): void {
  const body = validator(application)(environ(changes), start);
  if (typeof body === 'object' && Symbol.iterator in body) for (const _ of body as Iterable<unknown>);
  (body as { close?: () => void }).close?.();
}

test('without a fault it changes nothing', () => {
  expect(() => run(ok)).not.toThrow();
});

test.each<[row: string, what: string, changes: Record<string, unknown>]>([
  ['W03', 'no method', { REQUEST_METHOD: undefined }],
  ['W03', 'an empty port', { SERVER_PORT: '' }],
  ['W03', 'SCRIPT_NAME /', { SCRIPT_NAME: '/' }],
  ['W03', 'a path without /', { PATH_INFO: 'a' }],
  ['W03', 'no path at all', { PATH_INFO: '' }],
  ['W03', 'a length that is no number', { CONTENT_LENGTH: '1a' }],
  ['W04', 'a value that is no string', { HTTP_X: 5 }],
  ['W04', 'a value beyond latin-1', { HTTP_X: '☃' }],
  ['W06', 'HTTP_CONTENT_TYPE', { HTTP_CONTENT_TYPE: 'a/b' }],
  ['W09', 'no wsgi.run_once', { 'wsgi.run_once': undefined }],
  ['W09', 'a wrong version', { 'wsgi.version': [2, 0] }],
  ['W09', 'a wrong scheme', { 'wsgi.url_scheme': 'ftp' }],
  ['W12', 'HTTP_PROXY', { HTTP_PROXY: 'x' }],
  ['W20', 'an input without read()', { 'wsgi.input': {} }],
  ['W27', 'errors without write()', { 'wsgi.errors': {} }],
])('%s the server gives %s', (row, _what, changes) => {
  expect(() => run(ok, changes)).toThrow(
    expect.objectContaining({ code: 'GWM_CONTRACT', message: expect.stringMatching(`^${row}: `) }),
  );
});

const broken: [row: string, what: string, application: Application][] = [
  ['W20', 'reads half a byte', (given, startResponse) => (given['wsgi.input'].read(0.5), ok(given, startResponse))],
  [
    'W30',
    'starts with one argument',
    (_environ, startResponse) => ((startResponse as unknown as (status: string) => void)('200 OK'), []),
  ],
  ['W33', 'starts twice', (given, startResponse) => (startResponse('200 OK', []), ok(given, startResponse))],
  ['W35', 'does not start', () => []],
  ['W35', 'does not start, but has a body', () => ['x']],
  ['W36', 'gives a number as status', (_environ, startResponse) => (startResponse(200 as unknown as string, []), [])],
  [
    'W38',
    'gives a header of the connection',
    (_environ, startResponse) => (startResponse('200 OK', [['Connection', 'close']]), []),
  ],
  ['W37', 'gives an object as headers', (_environ, startResponse) => (startResponse('200 OK', {} as []), [])],
  [
    'W37',
    'gives a header with a line end',
    (_environ, startResponse) => (startResponse('200 OK', [['X', 'a\nb']]), []),
  ],
  [
    'W50',
    'returns nothing',
    (_environ, startResponse) => (startResponse('200 OK', []), undefined as unknown as string),
  ],
  ['W50', 'returns what is not iterable', (_environ, startResponse) => (startResponse('200 OK', []), {} as string)],
  ['W55', 'sends too much', (_environ, startResponse) => (startResponse('200 OK', [['Content-Length', '1']]), ['ab'])],
  [
    'W55',
    'sends too little',
    (_environ, startResponse) => (startResponse('200 OK', [['Content-Length', '3']]), ['ab']),
  ],
  ['W58', 'types a 204', (_environ, startResponse) => (startResponse('204 No Content', [['Content-Type', 'a/b']]), [])],
  ['W60', 'sends a number', (_environ, startResponse) => (startResponse('200 OK', []), [5 as unknown as string])],
  ['W60', 'writes a number', (_environ, startResponse) => (startResponse('200 OK', [])(5 as unknown as string), [])],
];
test.each(broken)('%s the application %s', (row, _what, application) => {
  expect(() => run(application)).toThrow(expect.objectContaining({ message: expect.stringMatching(`^${row}: `) }));
});

test('W01 W02 W28 W30 W52 the server calls wrongly', () => {
  const application = validator(ok) as (...args: unknown[]) => unknown;
  expect(() => application(environ())).toThrow(/^W01: /);
  expect(() => application(new Map(), start)).toThrow(/^W02: /);
  expect(() => application(environ(), 5)).toThrow(/^W30: /);
  const text = environ({ 'wsgi.input': { read: () => 'text', readline() {}, readlines() {} } });
  expect(() => validator((given) => given['wsgi.input'].read())(text, start)).toThrow(/^W28: /);
  const body = validator(function* (_environ, startResponse) {
    startResponse('200 OK', []);
    yield 'a';
  })(environ(), start) as Iterable<unknown> & { close(): void };
  body.close();
  expect(() => body.close()).toThrow(/^W52: /);
  expect(() => [...body]).toThrow(/^W52: /);
});

test.skipIf(OVER_TLS)(
  'over a socket a valid application answers, a broken one is a 500 whose reason is the error’s',
  async () => {
    const application = validator((given, startResponse) => {
      const body = given['wsgi.input'].text();
      startResponse(
        '200 OK',
        given.QUERY_STRING === 'broken' ? [['X\n', '']] : [['Content-Length', String(body.length)]],
      );
      return (async function* () {
        yield body.slice(0, 2);
        yield body.slice(2);
      })();
    });
    await using server = await serve({ application, port: 0, errorLog: { file: '/dev/null' } });
    const valid = await fetch(server.url, { method: 'POST', body: 'hello' });
    expect([valid.status, await valid.text()]).toEqual([200, 'hello']);
    expect((await fetch(`${server.url}?broken`)).status).toBe(500);
  },
);
