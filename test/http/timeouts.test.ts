// Time: a client that dawdles is told, or let go.

import { describe, expect, test } from 'vitest';
import { expectAlive, expectRefusal, record, request } from './recording-server.js';

/** Sends a byte every 20 ms until the server has had enough. */
async function drip(
  client: { socket: { destroyed: boolean; readableEnded: boolean }; send(bytes: string): Promise<void> },
  byte: string,
): Promise<void> {
  while (!client.socket.destroyed && !client.socket.readableEnded) {
    await client.send(byte);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('timeouts', () => {
  test.each(['GET /a HTTP/1.1\r\nHost', '\r\n', 'G'])('H41 a head that does not end: 408 (%j)', async (bytes) => {
    await using target = await record({ timeouts: { header: 150 } });
    const client = await target.connect();
    await client.send(bytes);
    await expectRefusal(client, 408);
    client.close();
    await expectAlive(target);
  });

  test('H41 every byte of a head counts against one deadline', async () => {
    await using target = await record({ timeouts: { header: 300 } });
    const client = await target.connect();
    await client.send('GET /a HTTP/1.1\r\nHost: a\r\nA: ');
    // It drips until it is refused.
    const dripping = drip(client, 'b');
    await expectRefusal(client, 408);
    client.close();
    await dripping;
  });

  test('H41 the second head of a connection has a deadline as well', async () => {
    await using target = await record({ timeouts: { header: 150 } });
    const client = await target.connect();
    await client.send(`${request('GET /a')}GET /b HT`);
    expect((await client.response()).status).toBe(200);
    await expectRefusal(client, 408);
    client.close();
  });

  test('H43 a connection without a byte is closed', async () => {
    await using target = await record({ timeouts: { header: 150 } });
    const client = await target.connect();
    expect(await client.closed()).toBe('end');
  });

  test.each<[row: string, bytes: string]>([
    ['a length', `${request('POST /a', 'Content-Length: 10')}hel`],
    ['chunks', `${request('POST /a', 'Transfer-Encoding: chunked')}5\r\nhe`],
    ['no byte of it', request('POST /a', 'Content-Length: 10')],
  ])('H42 a body that does not end: 408 (%s)', async (_row, bytes) => {
    await using target = await record({ timeouts: { body: 150 } });
    const client = await target.connect();
    await client.send(bytes);
    await expectRefusal(client, 408);
    client.close();
    expect(target.seen).toEqual([]);
    await expectAlive(target);
  });

  test('H42 a body that drips: 408', async () => {
    await using target = await record({ timeouts: { body: 300 }, limits: { minRate: 500 } });
    const client = await target.connect();
    await client.send(request('POST /a', 'Content-Length: 100000'));
    // It drips until it is refused.
    const dripping = drip(client, 'b');
    await expectRefusal(client, 408);
    client.close();
    await dripping;
    expect(target.seen).toEqual([]);
  });

  test('H42 a body at the minimum rate may take as long as it needs', async () => {
    await using target = await record({ timeouts: { body: 300 }, limits: { minRate: 500 } });
    const client = await target.connect();
    await client.send(request('POST /a', 'Content-Length: 700'));
    for (let sent = 0; sent < 700; sent += 10) {
      await client.send('0123456789');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect((await client.response()).status).toBe(200);
    client.close();
  });

  test('H42 a body nobody wants does not keep a connection for ever', async () => {
    await using target = await record({ timeouts: { body: 150 } });
    const client = await target.connect();
    await client.send(`${request('OPTIONS *', 'Content-Length: 10')}he`);
    expect((await client.response()).status).toBe(204);
    await client.closed();
    client.close();
    await expectAlive(target);
  });

  test('H43 a connection that rests after an answer is closed', async () => {
    await using target = await record({ timeouts: { keepAlive: 150 } });
    const client = await target.connect();
    await client.send(request('GET /a'));
    expect((await client.response()).status).toBe(200);
    expect(await client.closed()).toBe('end');
  });

  test('no timeout runs while the application works', async () => {
    await using target = await record({
      timeouts: { header: 100, body: 100, keepAlive: 100, write: 100 },
      answer: async (_environ, startResponse) => {
        await new Promise((resolve) => setTimeout(resolve, 400));
        startResponse('200 OK', []);
        return 'done';
      },
    });
    const client = await target.connect();
    await client.send(`${request('POST /a', 'Content-Length: 2')}hi`);
    expect((await client.response()).body.toString()).toBe('done');
    client.close();
  });
});
