// Connections that do not do as most do.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CoreStatus } from '../../src/native.js';
import { issue, TlsCore } from './core.js';

const certificate = issue(['a.test', 'localhost']);
let server: TlsCore;

beforeAll(() => {
  server = new TlsCore([certificate]);
});
afterAll(() => server[Symbol.asyncDispose]());

function secured(socket?: Socket, target = server): TLSSocket {
  const ca = certificate.cert;
  const options = {
    servername: 'a.test',
    ca,
    ...(socket === undefined ? { port: target.port, host: '127.0.0.1' } : { socket }),
  };
  return connectTls(options);
}

/** Everything that comes until the end. */
async function all(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.destroy();
  return Buffer.concat(chunks);
}

const GET = 'GET /small.txt HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';

async function expectServed(target = server): Promise<void> {
  const socket = secured(undefined, target);
  socket.write(GET);
  expect((await all(socket)).toString()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*small$/);
}

/** A connection that passes bytes on as `pass` says; `hear` is told of those that come. */
async function through(
  pass: (bytes: Buffer, to: Socket) => void,
  { port } = server,
  hear: (bytes: Buffer) => void = () => {},
): Promise<Socket> {
  const { Duplex } = await import('node:stream');
  const raw = connect({ port, host: '127.0.0.1', noDelay: true });
  const between = new Duplex({
    read: () => {},
    write: (bytes: Buffer, _encoding, done) => {
      pass(bytes, raw);
      done();
    },
    final: (done) => void raw.end(done),
  });
  raw
    .on('data', hear)
    .on('data', (bytes) => between.push(bytes))
    .on('end', () => between.push(null));
  return between as unknown as Socket;
}

test('T15 the handshake and a request may come a byte at a time', async () => {
  const socket = secured(await through((bytes, to) => bytes.forEach((byte) => to.write(Buffer.of(byte)))));
  socket.write(GET);
  expect((await all(socket)).toString()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*small$/);
});

test.each([
  ['T100 what is no TLS', Buffer.from('\x80\x2e\x01\x00\x02\x00', 'latin1'), /^$/],
  ['T100 a PROXY header', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'), /^$/],
  ['T100 SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), /^$/],
  ['T10 a broken message', Buffer.from('\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', 'latin1'), /^1503/],
  ['T102 a record that is too long', Buffer.from('\x16\x03\x01\xff\xff', 'latin1'), /^1503/],
])('%s ends its connection and no other', async (_what, bytes, answer) => {
  const established = secured();
  await once(established, 'secureConnect');
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  socket.write(bytes);
  const came = await all(socket);
  // An alert, or words.
  expect(came[0] === 0x15 ? came.toString('hex') : came.toString('latin1')).toMatch(answer);
  established.write(GET);
  expect((await all(established)).toString()).toContain('200 OK');
});

test('T116 an end without a goodbye', async () => {
  const raw = connect({ port: server.port, host: '127.0.0.1' });
  const socket = secured(raw);
  await once(socket, 'secureConnect');
  raw.end();
  await all(socket);
  expect(server.log('error')).not.toMatch(/"?level"?.*error/i);
});

test('a record that is changed on its way ends the connection, with nothing of it understood', async () => {
  let spoil = false;
  const socket = secured(
    await through((bytes, to) => {
      if (spoil) bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
      to.write(bytes);
    }),
  );
  await once(socket, 'secureConnect');
  spoil = true;
  const came = all(socket);
  socket.write(GET);
  expect((await came).toString()).toBe('');
  expect(server.log('error')).toContain('A TLS connection from 127.0.0.1 has failed');
});

test('T84 certificates change under established connections, for all new ones', async () => {
  await using own = new TlsCore([certificate]);
  const established = secured(undefined, own);
  await once(established, 'secureConnect');
  const next = issue(['a.test']);
  own.core.setCertificates({ certificates: [next] });
  expect(own.core.certificates().map(({ names }) => names)).toEqual([['a.test']]);
  for (let times = 0; times < 4; times++) {
    const socket = connectTls({ port: own.port, host: '127.0.0.1', servername: 'a.test', ca: next.cert });
    await once(socket, 'secureConnect');
    socket.destroy();
  }
  established.write(GET);
  expect((await all(established)).toString()).toContain('200 OK');
});

test('T86 of certificates that were in use nothing stays', async () => {
  await using own = new TlsCore([certificate]);
  const many = Array.from({ length: 20 }, (_, index) => ({ ...certificate, label: `${index}` }));
  const change = (times: number): number => {
    for (let count = 0; count < times; count++) own.core.setCertificates({ certificates: many });
    return process.memoryUsage().rss;
  };
  const before = change(200);
  await expectServed(own);
  // 16 000 certificates with their configurations are some hundred MiB.
  expect(change(800) - before).toBeLessThan(32 * 1024 * 1024);
  await expectServed(own);
});

test('T83 T72 what cannot be served changes nothing, and says which it is', async () => {
  await using own = new TlsCore([certificate]);
  const mixed = { ...issue(['b.test']), label: 'b.pem', key: certificate.key };
  const change = (): void => own.core.setCertificates({ certificates: [certificate, mixed] });
  expect(change).toThrow(
    expect.objectContaining({ code: 'GWM_CERT_KEY', message: expect.stringContaining('b.pem: ') as string }),
  );
  const broken = { ...certificate, cert: certificate.cert.slice(0, 300) };
  const prepare = (): number[] => own.core.prepare(JSON.stringify(own.config()), { certificates: [broken] });
  expect(prepare).toThrow(expect.objectContaining({ code: 'GWM_CERT_INVALID' }));
  await expectServed(own);
});

test('T8 a listener with TLS and no certificate does not start', () => {
  expect(() => new TlsCore([])).toThrow(expect.objectContaining({ code: 'GWM_CONFIG_INVALID' }));
});

test('T195 T196 T197 a listener that redirects', async () => {
  const listen = (more: object) => ({ kind: 'tcp' as const, host: '127.0.0.1', port: 0, ...more });
  const config = { trustedProxies: ['127.0.0.1'] };
  await using own = new TlsCore([certificate], config, [listen({ redirect: 0 }), listen({ tls: true })]);
  const ask = async (head: string): Promise<string> => {
    const socket = connect({ port: own.port, host: '127.0.0.1' });
    socket.write(`${head}\r\nConnection: close\r\n\r\n`);
    return (await all(socket)).toString();
  };
  const location = `Location: https://a.test:${own.ports[1]}/small.txt?a=%20b\r\n`;
  const answer = await ask('GET /small.txt?a=%20b HTTP/1.1\r\nHost: A.test:8080');
  expect(answer).toMatch(/^HTTP\/1\.1 308 /);
  expect(answer.toLowerCase()).toContain(location.toLowerCase());
  expect(await ask('POST /small.txt HTTP/1.1\r\nContent-Length: 5\r\nHost: a.test')).toMatch(/^HTTP\/1\.1 308 /);
  for (const host of ['b.test', '127.0.0.1', 'a.test.b.test']) {
    expect(await ask(`GET / HTTP/1.1\r\nHost: ${host}`)).toMatch(/^HTTP\/1\.1 404 /);
  }
  expect(await ask('GET / HTTP/1.0')).toMatch(/^HTTP\/1\.1 404 /);
  expect(await ask('GET /small.txt HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: a.test')).toMatch(/^HTTP\/1\.1 200 /);
});

test('T59 a ticket of the process before resumes', async () => {
  const before = new TlsCore([certificate]);
  const first = secured(undefined, before);
  const [session] = (await once(first, 'session')) as [Buffer];
  first.destroy();
  const keys = before.core.ticketKeys();
  await before[Symbol.asyncDispose]();
  await using next = new TlsCore([certificate]);
  const reused = async (): Promise<boolean> => {
    const options = { port: next.port, host: '127.0.0.1', servername: 'a.test', ca: certificate.cert, session };
    const socket = connectTls(options);
    await once(socket, 'secureConnect');
    const is = socket.isSessionReused();
    socket.destroy();
    return is;
  };
  expect(await reused()).toBe(false);
  expect(next.core.setTicketKeys(Buffer.from('nonsense'))).toBe(false);
  expect(next.core.setTicketKeys(keys)).toBe(true);
  expect(await reused()).toBe(true);
});

test('T95 a handshake that drips is let go after 10 s', { timeout: 30_000 }, async () => {
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  const began = performance.now();
  socket.on('error', () => {});
  socket.write(Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1'));
  const ended = once(socket.resume(), 'close').then(() => true);
  while (!(await Promise.race([ended, after(300, false)]))) socket.write(Buffer.alloc(1));
  const took = performance.now() - began;
  expect(took).toBeGreaterThan(9_000);
  expect(took).toBeLessThan(20_000);
  expect((JSON.parse(server.core.status()) as CoreStatus).handshakes.failed).toMatchObject({ timeout: 1 });
});

test('T120 T121 what is large begins in small records, after a rest too; what is not is one record', async () => {
  await using own = new TlsCore([certificate]);
  writeFileSync(join(own.folder, 'first-flight.bin'), Buffer.alloc(13_000));
  let wire = Buffer.alloc(0);
  const hear = (bytes: Buffer): void => void (wire = Buffer.concat([wire, bytes]));
  const socket = secured(await through((bytes, to) => to.write(bytes), own, hear));
  /** The payloads of the records that an answer comes in. */
  const records = async (path: string, length: number): Promise<number[]> => {
    wire = Buffer.alloc(0);
    let answer = Buffer.alloc(0);
    const take = (bytes: Buffer): void => void (answer = Buffer.concat([answer, bytes]));
    socket.on('data', take);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    do await once(socket, 'data');
    while (answer.length < answer.indexOf('\r\n\r\n') + 4 + length);
    socket.off('data', take);
    const sizes = [];
    for (let at = 0; at + 5 <= wire.length; at += 5 + wire.readUInt16BE(at + 3)) sizes.push(wire.readUInt16BE(at + 3));
    return sizes;
  };
  const small = (sizes: number[]): number[] =>
    sizes.slice(
      0,
      sizes.findIndex((size) => size > 1400),
    );
  await once(socket, 'secureConnect');
  await records('/small.txt', 5);
  await after(1100);
  expect(await records('/first-flight.bin', 13_000)).toHaveLength(1);
  await after(1100);
  const rested = await records('/large.bin', 5_000_000);
  const begun = small(rested).reduce((sum, size) => sum + size, 0);
  expect(begun).toBeGreaterThan(32 * 1024);
  expect(begun).toBeLessThan(36 * 1024);
  expect(Math.max(...rested)).toBe(16 * 1024 + 17);
  expect(small(await records('/large.bin', 5_000_000))).toEqual([]);
  socket.destroy();
});

test('what one client leaves unsent is never another one’s', async () => {
  // Clients that leave at every stage, beside those that stay.
  const large = 'GET /large.bin HTTP/1.1\r\nHost: a.test\r\n\r\n';
  for (let round = 0; round < 40; round++) {
    const raw = connect({ port: server.port, host: '127.0.0.1' });
    const leaving = secured(raw);
    leaving.on('error', () => {});
    if (round % 4 > 0) await once(leaving, 'secureConnect');
    if (round % 4 > 1) leaving.write(large);
    if (round % 4 > 2) await once(leaving, 'data');
    if (round % 8 < 4) raw.resetAndDestroy();
    else leaving.destroy();
    await expectServed();
  }
});
