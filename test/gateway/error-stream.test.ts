/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import type { ErrorStream } from '../../src/gateway/types.js';
import { request, worker } from './fake-link.js';

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
  expect(link.logs(f.LOG_WSGI_ERRORS)).toEqual(['one\n', 'two\n', '\ufffd☃', 'three']);
  expect(link.frames.filter((frame) => frame.kind === f.KIND_LOG).every((frame) => frame.stream === 4)).toBe(true);
  errors!.write('late');
});

test('W27 after the request the text belongs to no stream, whose number may be used again', async () => {
  let errors: ErrorStream | undefined;
  const { link } = worker((environ, startResponse) => {
    errors = environ['wsgi.errors'];
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request({ stream: 4 }));
  errors!.write('late');
  await link.until(() => link.logs(f.LOG_WSGI_ERRORS).length > 0);
  expect(link.frames.find((frame) => frame.kind === f.KIND_LOG)!.stream).toBe(0);
});

test('W27 a long text is split between characters', () => {
  const long = '😀'.repeat(30_000);
  const { link } = worker((environ, startResponse) => {
    environ['wsgi.errors'].write(`x${long}`);
    startResponse('200 OK', []);
    return '';
  });
  link.deliver(request());
  const parts = link.logs(f.LOG_WSGI_ERRORS);
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.join('')).toBe(`x${long}`);
});
