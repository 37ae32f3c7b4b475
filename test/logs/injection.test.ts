// H63: nothing that a client or an application says ends a field or a line of a log, or talks to a terminal.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const APP = `export function application(environ, startResponse) {
  if (environ.PATH_INFO === '/errors') environ['wsgi.errors'].write('one\\n127.0.0.1 - - forged\\x1b[2J\\r\\u2028x\\n');
  if (environ.PATH_INFO === '/throws') throw new Error('bad\\n2026-01-01T00:00:00.000Z error forged\\x1b[31m');
  startResponse('200 OK', []);
  return [];
}
`;

const folder = new Folder();

beforeAll(() => {
  folder.write('app.mjs', APP);
});
afterAll(() => folder[Symbol.dispose]());

/** A combined line of which nothing is forged: six quotes, and printable ASCII alone. */
const LINE = /^127\.0\.0\.1 - - \[[^\]]{26}\] "[^" ]*(?: [^" ]+ HTTP\/1\.[01])?" \d{3} (?:\d+|-) "[^"]*" "[^"]*"$/;

async function linesAfter(...requests: Buffer[]): Promise<string[]> {
  await using server = await Gwanmun.start(folder, {
    accessLog: 'combined',
    mounts: [{ path: '/', app: './app.mjs' }],
  });
  for (const request of requests) await exchange(server.port, request);
  await server.stop();
  return server.stdout.split('\n').slice(0, -1);
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const close = 'Host: a\r\nConnection: close\r\n';

describe('the access log', () => {
  test('keeps every byte of a header in its field', async () => {
    const requests: Buffer[] = [];
    for (let byte = 0; byte < 256; byte++) {
      const value = `a${String.fromCharCode(byte)}" 200 1 "-" "x`;
      requests.push(bytes(`GET / HTTP/1.1\r\n${close}User-Agent: ${value}\r\nReferer: ${value}\r\n\r\n`));
    }
    const lines = await linesAfter(...requests);
    expect(lines).toHaveLength(256);
    for (const line of lines) expect(line).toMatch(LINE);
    expect(lines[0x22]).toContain('"a\\x22\\x22 200 1 \\x22-\\x22 \\x22x"');
    expect(lines[0x5c]).toContain('"a\\x5c\\x22 200');
    expect(lines[0x09]).toContain('"a\\x09\\x22 200');
    expect(lines[0xff]).toContain('"a\\xff\\x22 200');
    // Control bytes never get as far as a field.
    expect(lines[0x1b]).toMatch(/ "-" 400 /);
    expect(lines[0x00]).toMatch(/ "-" 400 /);
  });

  test('keeps every byte of a target and of a method in its field', async () => {
    const requests: Buffer[] = [];
    for (let byte = 0; byte < 256; byte++) {
      requests.push(
        bytes(`GET /a${String.fromCharCode(byte)}b?c${String.fromCharCode(byte)} HTTP/1.1\r\n${close}\r\n`),
      );
      requests.push(bytes(`G${String.fromCharCode(byte)}T /a HTTP/1.1\r\n${close}\r\n`));
    }
    const lines = await linesAfter(...requests);
    expect(lines).toHaveLength(512);
    for (const line of lines) expect(line).toMatch(LINE);
  });

  test('keeps what is decoded in its encoded form', async () => {
    const [line] = await linesAfter(bytes(`GET /%0d%0a127.0.0.1%20-%1b[2J%22 HTTP/1.1\r\n${close}\r\n`));
    expect(line).toMatch(LINE);
    expect(line).toContain('"GET /%0d%0a127.0.0.1%20-%1b[2J%22 HTTP/1.1"');
  });
});

describe('standard error', () => {
  test('shows no control character of an application’s text', async () => {
    await using server = await Gwanmun.start(folder, { mounts: [{ path: '/', app: './app.mjs' }] });
    await exchange(server.port, bytes(`GET /errors HTTP/1.1\r\n${close}\r\n`));
    await exchange(server.port, bytes(`GET /throws HTTP/1.1\r\n${close}\r\n`));
    await server.says(/forged[^]*forged/);
    await server.stop();
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    expect(server.stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/);
    // No line begins as one of ours that is not.
    expect(server.stderr).not.toMatch(/^127\.0\.0\.1 - - forged/m);
    expect(server.stderr).not.toMatch(/^2026-01-01T00:00:00\.000Z/m);
  });
});
