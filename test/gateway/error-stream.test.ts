/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import type { ErrorStream } from '../../src/gateway/types.js';
import { request, worker } from './fake-link.js';

/** `extra` of what is written. */
const WRITTEN = f.LOG_INFORMATION + f.LOG_FROM_WSGI_ERRORS * 65_536;

test('W27 wsgi.errors takes any text, names its stream, and never raises', () => {
  let errors: ErrorStream | undefined;
  const { link } = worker((environ, startResponse) => {
    errors = environ['wsgi.errors'];
    errors.write('one\n');
    errors.writelines(['two\n', '\udc80☃']);
    errors.flush();
    errors.write({ toString: () => 'three' } as unknown as string);
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request({ stream: 4 }));
  expect(link.logs(WRITTEN)).toEqual(['one\n', 'two\n', '\ufffd☃', 'three']);
  expect(link.frames.filter((frame) => frame.kind === f.KIND_LOG).every((frame) => frame.stream === 4)).toBe(true);
  errors!.write('late');
});

test('W27 after the request the text is on no stream, whose number may be used again, and names the request', async () => {
  let errors: ErrorStream | undefined;
  const { link } = worker((environ, startResponse) => {
    errors = environ['wsgi.errors'];
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request({ stream: 4, method: 'PUT', target: '/a?b', headers: [['X-Request-Id', 'an-id']] }));
  errors!.write('late');
  await link.until(() => link.frames.some(({ kind }) => kind === f.KIND_LOG));
  const { stream, extra, payload } = link.frames.find(({ kind }) => kind === f.KIND_LOG)!;
  expect([stream, extra, payload.toString()]).toEqual([0, WRITTEN + 5 * 256 + f.LOG_NAMED, 'an-idPUT /a?b\nlate']);
});

test('W27 an application that empties its environ has no name for what comes late', async () => {
  let errors: ErrorStream | undefined;
  const { link } = worker((environ, startResponse) => {
    errors = environ['wsgi.errors'];
    for (const key of Object.keys(environ)) delete environ[key as 'HTTP_A'];
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request({ stream: 4 }));
  errors!.write('late');
  await link.until(() => link.logs(WRITTEN).length > 0);
  expect(link.logs(WRITTEN)).toEqual(['late']);
});

test('W27 a long text is split between characters', () => {
  const long = '😀'.repeat(30_000);
  const { link } = worker((environ, startResponse) => {
    environ['wsgi.errors'].write(`x${long}`);
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request());
  const parts = link.logs(WRITTEN);
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.join('')).toBe(`x${long}`);
});
