// Before a peer is measured: does it answer what the scenario asks for?

import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { connectTo } from './certificate.mjs';

/**
 * Sends the scenario's requests on one connection, as the load generator will, and checks every answer.
 * @param {number} port
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @returns {Promise<{ responseSize: number, isFixed: boolean }>} the size of one response in bytes; a chunked one may vary
 */
export function probe(port, scenario) {
  const { promise, resolve, reject } = withResolvers();
  const socket = connectTo(port, scenario.tls === true);
  const expected = Buffer.from(scenario.body);
  let input = Buffer.alloc(0);
  /** @type {Buffer[]} */
  const pieces = [];
  let waiting = 0;
  let size = 0;
  let isFixed = true;
  let left = scenario.pipelined;
  socket.setTimeout(5000, () => reject(new Error('no answer after 5 s')));
  socket.on('error', reject);
  socket.on('end', () =>
    reject(new Error(`the connection was closed with ${left} of ${scenario.pipelined} answers missing`)),
  );
  socket.on('data', (bytes) => {
    pieces.push(bytes);
    waiting += bytes.length;
    // Large answers are put together once.
    if (scenario.coding === undefined && input.length + waiting < expected.length && left === 1) return;
    input = Buffer.concat([input, ...pieces.splice(0)]);
    waiting = 0;
    try {
      for (let response = parse(input); response; response = parse(input)) {
        check(response, expected, scenario);
        size = response.size;
        isFixed &&= !response.isChunked;
        input = input.subarray(size);
        left -= 1;
      }
      if (left < 0 || (left === 0 && input.length > 0)) throw new Error('more answers than requests');
      if (left === 0) resolve({ responseSize: size, isFixed });
    } catch (error) {
      reject(error);
    }
  });
  socket.write(scenario.request.replace('{}', '0').repeat(scenario.pipelined), 'latin1');
  return promise.finally(() => socket.destroy());
}

/**
 * Asks until the answer is compressed: a server may do that behind the first one.
 * @param {number} port
 * @param {import('./scenarios.mjs').Scenario} scenario
 */
export async function prime(port, scenario) {
  const path = scenario.request.split(' ')[1];
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'Accept-Encoding': 'gzip' } });
    await response.arrayBuffer();
    if (response.headers.has('content-encoding')) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the answer is not compressed');
}

/** @typedef {{ status: string, body: Buffer, keepAlive: boolean, isChunked: boolean, size: number }} Response */

/**
 * The first response in these bytes, once it is complete.
 * @param {Buffer} input
 * @returns {Response | undefined}
 */
function parse(input) {
  const end = input.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = input.toString('latin1', 0, end + 2);
  const status = head.slice(0, head.indexOf('\r\n'));
  const keepAlive = !/\r\nconnection: *close/i.test(head);
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const chunked = chunks(input, end + 4);
    return chunked && { status, keepAlive, isChunked: true, ...chunked };
  }
  if (status.includes(' 304 ')) return { status, body: Buffer.alloc(0), keepAlive, isChunked: false, size: end + 4 };
  const length = /\r\ncontent-length: *(\d+) *\r\n/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`a response without a length: ${status}`);
  const size = end + 4 + Number(length);
  if (input.length < size) return undefined;
  return { status, body: input.subarray(end + 4, size), keepAlive, isChunked: false, size };
}

/** The chunks from an offset on, once they are complete. @param {Buffer} input @param {number} start */
function chunks(input, start) {
  const parts = [];
  for (let offset = start; ;) {
    const line = input.indexOf('\r\n', offset);
    if (line < 0) return undefined;
    const length = Number.parseInt(input.toString('latin1', offset, line), 16);
    const next = line + 2 + length + 2;
    if (!(length >= 0) || input.length < next) return undefined;
    if (length === 0) return { body: Buffer.concat(parts), size: next };
    parts.push(input.subarray(line + 2, next - 2));
    offset = next;
  }
}

/** @param {Response} response @param {Buffer} expected @param {import('./scenarios.mjs').Scenario} scenario */
function check(response, expected, { status = 200, coding }) {
  if (!response.status.startsWith(`HTTP/1.1 ${status} `)) throw new Error(`answered ${response.status}`);
  if (!response.keepAlive) throw new Error('it closes the connection after an answer');
  const body = coding === undefined ? response.body : unpacked(response.body);
  if (!body.equals(expected)) {
    throw new Error(`answered ${show(body)} instead of ${show(expected)}`);
  }
}

/** What gzip, which begins with two certain bytes, or brotli holds. @param {Buffer} body */
function unpacked(body) {
  return body[0] === 0x1f && body[1] === 0x8b ? gunzipSync(body) : brotliDecompressSync(body);
}

/** @param {Buffer} body */
function show(body) {
  return body.length > 100 ? `${body.length} other bytes` : JSON.stringify(body.toString('latin1'));
}

/**
 * `Promise.withResolvers`, which Node 20 lacks.
 * @returns {{ promise: Promise<{ responseSize: number, isFixed: boolean }>, resolve: (value: object) => void, reject: (error: unknown) => void }}
 */
function withResolvers() {
  /** @type {any} */
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
}
