// Requests with faults, the same ones for the same seed.

import { request } from './recording-server.js';

/** mulberry32: the same numbers for the same seed. */
export function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

/** One request of each kind. */
export const VALID = [
  request('GET /a?b=c', 'Accept: */*', 'Cookie: a=b; c=d'),
  request(
    'GET /files/page.txt',
    'Range: bytes=0-1',
    'If-None-Match: "x"',
    'If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT',
  ),
  request('HEAD /files/page.txt'),
  request('OPTIONS *'),
  `${request('POST /a', 'Content-Length: 11')}hello world`,
  `${request('POST /a', 'Transfer-Encoding: chunked')}5;a=b\r\nhello\r\n6;c="d"\r\n world\r\n0\r\nE: f\r\n\r\n`,
  `${request('PUT /a', 'Expect: 100-continue', 'Content-Length: 3')}abc`,
  `${request('POST /files/page.txt', 'Content-Length: 3')}abc`,
  'GET http://b.example/x%20y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  `${request('POST /a', 'Content-Length: 100000')}${'x'.repeat(100_000)}`,
].map((text) => Buffer.from(text, 'latin1'));

const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  '0',
  '-1',
  'ffffffffffffffff',
  '%00',
  '%2e%2e/',
  '/../',
  '//',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: b\r\n',
  'Connection: close\r\n',
  '\r\n\r\n',
  'HTTP/1.1',
  '\xff',
  '"',
  ';',
  ',',
  '0\r\n\r\n',
  'Range: bytes=-0,0-,5-4\r\n',
  'Expect: 100-continue\r\n',
].map((text) => Buffer.from(text, 'latin1'));

/** A few valid requests in a row, with a few faults. */
export function mutant(random: (below: number) => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  let bytes = Buffer.concat(Array.from({ length: 1 + random(4) }, () => pick(VALID)));
  for (let faults = random(5); faults > 0; faults -= 1) {
    // Faults in the first bytes are found at once; the heads are where it matters.
    const at = random(2) === 0 ? random(bytes.length) : random(Math.min(400, bytes.length));
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    const length = random(20);
    switch (random(5)) {
      case 0:
        bytes = Buffer.concat([before, Buffer.from([random(256)]), after.subarray(1)]);
        break;
      case 1:
        bytes = Buffer.concat([before, after.subarray(length)]);
        break;
      case 2:
        bytes = Buffer.concat([before, pick(TOKENS), after]);
        break;
      case 3:
        bytes = Buffer.concat([before, after.subarray(0, length), after]);
        break;
      default:
        bytes = Buffer.concat([before, pick(TOKENS), after.subarray(length)]);
    }
  }
  return bytes;
}
