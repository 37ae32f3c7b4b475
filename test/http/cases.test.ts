// The table of cases.txt over sockets: what is answered, what the application sees, and whether the connection goes on.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCases, type Case } from './cases.js';
import { expectRefusal, record, request, SMUGGLED, type RecordingServer } from './recording-server.js';

let target: RecordingServer;
beforeAll(async () => void (target = await record()));
afterAll(() => target[Symbol.asyncDispose]());

const cases = readCases();
/** Longer ones are sent in two pieces. */
const LONG = 400;

/** Sends a case, in pieces or whole, and checks every one of its events. */
async function check({ bytes, events }: Case, pieces: (bytes: string) => readonly string[]): Promise<void> {
  target.seen.length = 0;
  const last = events.at(-1);
  const expected = events.filter((event) => event.kind === 'request');
  const goesOn = last?.kind === 'request';
  const client = await target.connect();
  for (const piece of pieces(bytes)) await client.send(piece);
  if (last?.kind === 'wait') client.halfClose();
  else await client.send(goesOn ? request('GET /next') : SMUGGLED);

  for (const { method, target: uri } of expected) {
    const response = await client.response(method);
    expect(response.status).toBe(uri === '*' ? 204 : 200);
  }
  if (last?.kind === 'refused') await expectRefusal(client, last.status);
  else if (goesOn) expect((await client.response()).status).toBe(200);
  else expect(await client.closed()).toBe('end');
  client.close();

  // What is asked of the server itself does not reach the application.
  const seen = expected.filter(({ target: uri }) => uri !== '*');
  expect(target.seen.map(({ method, uri, body }) => [method, uri, body.toString('latin1')])).toEqual([
    ...seen.map(({ method, target: uri, body }) => [method, uri, body]),
    ...(goesOn ? [['GET', '/next', '']] : []),
  ]);
}

describe('whole', () => {
  test.each(cases)('$name', (one) => check(one, (bytes) => [bytes]));
});

describe('byte by byte', () => {
  test.each(cases)('$name', (one) =>
    check(one, (bytes) => (bytes.length > LONG ? [bytes.slice(0, 40), bytes.slice(40)] : Array.from(bytes))),
  );
});

test('two requests of a pipeline are the two alone', async () => {
  const plain = cases.filter(({ events, bytes }) => bytes.length < LONG && events.at(-1)?.kind === 'request');
  // Each case once in front and once behind; every pair is the parser's test.
  for (const [index, first] of plain.entries()) {
    const second = plain[(index + 7) % plain.length] as Case;
    const both = { name: '', bytes: first.bytes + second.bytes, events: [...first.events, ...second.events] };
    await check(both, (bytes) => [bytes]);
  }
}, 60_000);
