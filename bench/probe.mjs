// Before a peer is measured: does it answer what the scenario asks for?

import { connect } from 'node:net';

/**
 * Sends the scenario's requests on one connection, as the load generator will, and checks every answer.
 * @param {number} port
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @returns {Promise<number>} the size of one response in bytes
 */
export function probe(port, scenario) {
  const { promise, resolve, reject } = withResolvers();
  const socket = connect(port, '127.0.0.1');
  const expected = Buffer.from(scenario.body);
  let input = Buffer.alloc(0);
  let size = 0;
  let left = scenario.pipelined;
  socket.setTimeout(5000, () => reject(new Error('no answer after 5 s')));
  socket.on('error', reject);
  socket.on('end', () =>
    reject(new Error(`the connection was closed with ${left} of ${scenario.pipelined} answers missing`)),
  );
  socket.on('data', (bytes) => {
    input = Buffer.concat([input, bytes]);
    try {
      for (let response = parse(input); response; response = parse(input)) {
        check(response, expected);
        size = response.size;
        input = input.subarray(size);
        left -= 1;
      }
      if (left < 0 || (left === 0 && input.length > 0)) throw new Error('more answers than requests');
      if (left === 0) resolve(size);
    } catch (error) {
      reject(error);
    }
  });
  socket.write(scenario.request.repeat(scenario.pipelined), 'latin1');
  return promise.finally(() => socket.destroy());
}

/** @typedef {{ status: string, body: Buffer, keepAlive: boolean, size: number }} Response */

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
  const length = /\r\ncontent-length: *(\d+) *\r\n/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`a response without Content-Length: ${status}`);
  const size = end + 4 + Number(length);
  if (input.length < size) return undefined;
  return { status, body: input.subarray(end + 4, size), keepAlive: !/\r\nconnection: *close/i.test(head), size };
}

/** @param {Response} response @param {Buffer} expected */
function check(response, expected) {
  if (!/^HTTP\/1\.1 200\b/.test(response.status)) throw new Error(`answered ${response.status}`);
  if (!response.keepAlive) throw new Error('it closes the connection after an answer');
  if (!response.body.equals(expected)) {
    throw new Error(`answered ${show(response.body)} instead of ${show(expected)}`);
  }
}

/** @param {Buffer} body */
function show(body) {
  return body.length > 100 ? `${body.length} other bytes` : JSON.stringify(body.toString('latin1'));
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers() {
  /** @type {(size: number) => void} */
  let resolve = () => {};
  /** @type {(error: unknown) => void} */
  let reject = () => {};
  /** @type {Promise<number>} */
  const promise = new Promise((a, b) => {
    resolve = a;
    reject = b;
  });
  return { promise, resolve, reject };
}
