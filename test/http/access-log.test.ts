// H63: what a client sends can neither forge a line of the log nor drive a terminal.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { record, request } from './recording-server.js';

test('H63 every request has one line, with nothing but printable ASCII in it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-log-'));
  const [file, errors] = [join(folder, 'access.log'), join(folder, 'error.log')];
  const requests = [
    request('GET /plain'),
    request('GET /%0a%0d%1b[31m"x"', 'User-Agent: a"b\\c\te\x80\xff', 'Referer: http://"x" \x9b31m'),
    request('GET /\xc2\x9b"', 'User-Agent: \u00e9'),
    request('GET /a?"%22 HTTP/1.1" 200 1 "-'.replaceAll(' ', '%20')),
    'GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n',
    'G\x1bT / HTTP/1.1\r\n\r\n',
    request('GET /a', 'A: \x00'),
  ];
  {
    await using target = await record({ accessLog: { format: 'combined', file }, errorLog: { file: errors } });
    for (const bytes of requests) await target.ask(bytes);
  }
  const log = readFileSync(file);
  expect(log.filter((byte) => byte !== 10 && (byte < 0x20 || byte > 0x7e)).length).toBe(0);
  const lines = log.toString().trimEnd().split('\n');
  expect(lines).toHaveLength(requests.length);
  expect(lines[0]).toMatch(/^127\.0\.0\.1 - - \[[^\]]+\] "GET \/plain HTTP\/1\.1" 200 4 "-" "-"/);
  // Quotes within a field are escaped: each line has the quotes of its three fields and no others.
  for (const line of lines) expect(line.replaceAll(/\\./g, '').match(/"/g)?.length, line).toBe(6);
  expect(lines.slice(-3).every((line) => / 400 \d+ /.test(line))).toBe(true);
  expect(readFileSync(errors).filter((byte) => byte !== 10 && (byte < 0x20 || byte === 0x7f)).length).toBe(0);
  rmSync(folder, { recursive: true });
});
