// Clients that read slowly, never, or leave: the application learns of it, the server goes on, memory stays bounded.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Application } from '../../dist/index.js';
import { deferred } from './deferred.js';
import { expectAlive, record, request, type RecordingServer } from './recording-server.js';

const MIB = 1024 * 1024;

/** Node cannot have a small receive buffer. Prints in how many steps it has got something. */
const SLOW_READER = `
import os, socket, ssl, sys, time
own = socket.socket()
own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
own.connect(("127.0.0.1", int(sys.argv[1])))
if os.environ.get("GWANMUN_TEST_TLS") == "1":
    own = ssl._create_unverified_context().wrap_socket(own)
own.sendall(b"GET /a HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
steps = 0
try:
    while steps < int(sys.argv[2]) and own.recv(4096):
        steps += 1
        time.sleep(0.02)
except (ConnectionResetError, ssl.SSLError):
    pass
print(steps)
`;

/** An application that streams `size` bytes in pieces of 64 KiB and tells how many it has made. */
function stream(size: number) {
  const state = { made: 0, closed: 0 };
  const over = deferred();
  const piece = Buffer.alloc(64 * 1024, 'x');
  const answer: Application = (environ, startResponse) => {
    startResponse('200 OK', []);
    if (environ.REQUEST_URI === '/alive') return 'alive';
    const body = (async function* () {
      for (; state.made < size; state.made += piece.length) {
        yield piece;
        await Promise.resolve();
      }
    })();
    return Object.assign(body, {
      close: (): void => {
        state.closed += 1;
        over.resolve();
      },
    });
  };
  // `closed` resolves when the body's close() has been called.
  return { answer, state, closed: over.promise };
}

const start = (answer: Application, write = 30_000): Promise<RecordingServer> =>
  record({ answer, timeouts: { write } });

describe('a client', () => {
  test('H42 that never reads is let go; the application made no more than fits under way', async () => {
    const { answer, state, closed } = stream(1024 * MIB);
    await using target = await start(answer, 300);
    const client = await target.connect();
    client.socket.pause();
    await client.send(request('GET /a'));
    await closed;
    expect(state.made).toBeLessThan(32 * MIB);
    expect(state.closed).toBe(1);
    client.close();
    await expectAlive(target);
  });

  test('H42 that takes a response more slowly than limits.minRate is let go, though it always takes some', async () => {
    // 4 KiB each 20 ms, through a small buffer: a byte pays for less time than it takes, so the 400 ms are used up bit by bit.
    const drip = async (minRate: number): Promise<string> => {
      const { answer, closed } = stream(1024 * MIB);
      await using target = await record({ answer, timeouts: { write: 400 }, limits: { minRate } });
      const reader = spawn('python3', ['-c', SLOW_READER, String(target.port), '100'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let steps = '';
      reader.stdout.setEncoding('utf8').on('data', (text: string) => (steps += text));
      const wasFirst = await Promise.race([closed.then(() => 'cut'), once(reader, 'close').then(() => 'read')]);
      reader.kill();
      return `${wasFirst} ${steps.trim()}`.trim();
    };
    const [strict, lenient] = await Promise.all([drip(1_048_576), drip(0)]);
    // The reader says how much it has got once it is through.
    expect(strict).toBe('cut');
    expect(lenient).toMatch(/100$/);
  });

  test('that reads 64 MiB slowly gets them all, and the application is held back', async () => {
    const size = 64 * MIB;
    const { answer, state } = stream(size);
    await using target = await start(answer);
    const client = await target.connect();
    await client.send(request('GET /a'));
    await client.until('\r\n\r\n');
    const hash = createHash('sha256');
    let received = 0;
    for (let chunk = await client.chunk(); chunk.length > 0; chunk = await client.chunk()) {
      hash.update(chunk);
      received += chunk.length;
      if (received % (4 * MIB) === 0) {
        client.socket.pause();
        await new Promise((resolve) => setTimeout(resolve, 10));
        expect(state.made - received).toBeLessThan(32 * MIB);
        client.socket.resume();
      }
    }
    expect(received).toBe(size);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(Buffer.alloc(size, 'x')).digest('hex'));
    client.close();
  });

  test.each<[row: string, leave: 'reset' | 'close']>([
    ['by a reset', 'reset'],
    ['by closing', 'close'],
  ])('that leaves in the middle of a response %s: close() runs once', async (_row, leave) => {
    const { answer, state, closed } = stream(1024 * MIB);
    await using target = await start(answer);
    const client = await target.connect();
    await client.send(request('GET /a'));
    await client.bytes(100_000);
    client[leave]();
    await closed;
    await expectAlive(target);
    expect(state.closed).toBe(1);
    expect(state.made).toBeLessThan(64 * MIB);
  });

  test('that leaves while an application is asked: it may answer in vain', async () => {
    const asked = deferred();
    const answer = deferred<string>();
    await using target = await start((environ, startResponse) => {
      startResponse('200 OK', []);
      if (environ.REQUEST_URI === '/alive') return '';
      asked.resolve();
      return answer.promise;
    });
    const client = await target.connect();
    await client.send(request('GET /a'));
    await asked.promise;
    client.reset();
    await expectAlive(target);
    answer.resolve('nobody is there');
    await expectAlive(target);
  });

  test.each<[row: string, bytes: string]>([
    ['a counted body', `${request('POST /a', 'Content-Length: 100000')}abc`],
    ['a chunked body', `${request('POST /a', 'Transfer-Encoding: chunked')}ff\r\nabc`],
    ['a body in a file', request('POST /a', 'Content-Length: 1000000') + 'x'.repeat(500_000)],
    ['a head', 'GET /a HTTP/1.1\r\nHos'],
  ])('W25 that leaves in the middle of %s: the application is not called', async (_row, bytes) => {
    await using target = await record();
    for (const leave of ['reset', 'close'] as const) {
      const client = await target.connect();
      await client.send(bytes);
      client[leave]();
      await expectAlive(target);
    }
    expect(target.seen).toEqual([]);
  });
});
