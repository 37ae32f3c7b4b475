// RFC 9112 §9.6: a server that ends a connection reads on until its client has ended it too. Unread bytes would make it a reset, which takes
// the answers with it that have not crossed.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, test, vi } from 'vitest';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { OVER_TLS } from '../transport/client.js';

/** The state that the system has of the server's side of a connection: 04 is that it has ended its own direction. */
function state(port: number, peer: number): string | undefined {
  const hex = (number: number): string => number.toString(16).toUpperCase().padStart(4, '0');
  const line = new RegExp(`^\\s*\\d+: \\S+:${hex(port)} \\S+:${hex(peer)} (\\S+)`, 'm');
  return line.exec(readFileSync('/proc/net/tcp', 'latin1'))?.[1];
}

// It watches the state of the client's own socket.
test.skipIf(OVER_TLS)(
  'H56 a client that sends on and ends its side gets the answers that were on their way',
  async () => {
    using folder = new Folder();
    folder.write('www/large', Buffer.alloc(300_000, 'x'));
    await using server = await Gwanmun.start(folder, { threads: 1, mounts: [{ path: '/', files: './www' }] });
    const client = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(client, 'connect');
    // The second is refused, and ends the connection.
    client.write('GET /large HTTP/1.1\r\nHost: t\r\n\r\nGET /bad x HTTP/1.1\r\n\r\n');
    await vi.waitFor(() => expect(state(server.port, client.localPort as number)).toBe('04'), 10_000);

    // What it sends and its end come to the server together.
    server.child.kill('SIGSTOP');
    client.end(Buffer.alloc(30_000));
    await once(client, 'finish');
    server.child.kill('SIGCONT');
    expect((await fetch(`http://127.0.0.1:${server.port}/large`)).status).toBe(200);

    let received = '';
    client.setEncoding('latin1').on('data', (text: string) => (received += text));
    await once(client, 'end');
    expect(received).toMatch(/^HTTP\/1\.1 200 [\s\S]*?\r\n\r\nx{300000}HTTP\/1\.1 400 /);
  },
);
