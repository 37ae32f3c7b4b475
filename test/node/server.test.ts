// createServer(): an http.Server on the core.

import { once } from 'node:events';
import { createServer as nodeServer, request as httpRequest, Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { createServer, type GatewayServer } from '../../dist/index.js';
import { RawClient } from '../http/raw-client.js';
import { request } from './serving.js';

const servers: GatewayServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    if (!server.listening) continue;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }
});

function create(...args: Parameters<typeof createServer>): GatewayServer {
  const server = createServer(...args);
  servers.push(server);
  return server;
}

const portOf = (server: GatewayServer): number => (server.address() as AddressInfo).port;

async function ask(port: number, path = '/'): Promise<string> {
  const [response] = (await once(httpRequest({ port, path, agent: false }).end(), 'response')) as [
    NodeJS.ReadableStream,
  ];
  return text(response);
}

describe('listen', () => {
  test('binds before it returns, and tells it later', async () => {
    const server = create((_req, res) => void res.end('hello'));
    expect(server).toBeInstanceOf(Server);
    expect([server.listening, server.address()]).toEqual([false, null]);
    let told = false;
    expect(server.listen(0, '127.0.0.1', () => (told = true))).toBe(server);
    expect([server.listening, told]).toEqual([true, false]);
    expect(server.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: expect.any(Number) as number });
    expect(await ask(portOf(server))).toBe('hello');
    expect(told).toBe(true);
  });

  test('takes its arguments in every way of Node', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gwanmun-listen-'));
    const path = join(folder, 'socket');
    try {
      for (const args of [
        [],
        [0],
        ['0'],
        [{ port: 0 }],
        [0, 'localhost'],
        [{ port: 0, host: '127.0.0.1', backlog: 5 }],
        [0, '127.0.0.1', 5],
      ]) {
        const server = create((_req, res) => void res.end('x')).listen(...(args as []));
        await once(server, 'listening');
        expect((server.address() as AddressInfo).port).toBeGreaterThan(0);
      }
      const server = create((_req, res) => void res.end('by path')).listen(path);
      expect(server.address()).toBe(path);
      const [response] = (await once(httpRequest({ socketPath: path, agent: false }).end(), 'response')) as [
        NodeJS.ReadableStream,
      ];
      expect(await text(response)).toBe('by path');
      await new Promise((resolve) => server.close(resolve));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('takes and ignores what Node takes and ignores', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gwanmun-listen-'));
    const path = join(folder, 'socket');
    const host = '127.0.0.1';
    const outcome = async (server: Server, args: unknown[]): Promise<unknown> => {
      try {
        server.listen(...(args as []));
        await once(server, 'listening');
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
      const address = server.address() as AddressInfo | string;
      // Newer Nodes take away the bits that are not asked for, even that by which the owner may connect.
      const { readableAll, writableAll } = (args[0] ?? {}) as { readableAll?: unknown; writableAll?: unknown };
      const asked = (readableAll ? 0o444 : 0) | (writableAll ? 0o222 : 0);
      const bits = asked === 0 ? 0o777 : asked;
      const mode = typeof address === 'string' ? (statSync(address).mode & bits).toString(8) : undefined;
      await new Promise((resolve) => server.close(resolve));
      return typeof address === 'string' ? { address, mode } : { ...address, port: address.port > 0 };
    };
    try {
      for (const args of [
        // As SvelteKit's server calls it.
        [{ path: false, host, port: 0 }],
        [{ path: undefined, host, port: '0' }],
        [{ path, host, port: 0 }],
        [{ path, port: undefined, host }],
        [{ path }],
        [{ path, host }],
        [{ path, readableAll: true }],
        [{ path, writableAll: true }],
        [{ path, readableAll: 1, writableAll: 'yes' }],
        [{ path: '80' }],
        [{ path: '' }],
        [{ path: 7 }],
        [{ port: null, host }],
        [{ port: null, host: false }],
        [{ port: 0, host: '' }],
        [{ port: 0, host, fd: undefined, handle: undefined, _handle: null, signal: undefined }],
        [{ port: 0, host, fd: -1, handle: false, backlog: undefined, exclusive: true }],
        [{ port: 0, host, backlog: 0 }],
        [{ port: 0, host, backlog: '5' }],
        [{ port: 0, host, ipv6Only: false, reusePort: false }],
        [{ port: 0, host, reusePort: true }],
        [{ port: 0, signal: 'stop' }],
        [{ port: true }],
        [{ port: '' }],
        [{ port: -1 }],
        [{ host }],
        [{}],
        [undefined],
        [null, host],
        [true],
        [false],
        [''],
        ['0', host, '5'],
        [0, undefined, 5],
        [path, 5],
      ]) {
        const shown = JSON.stringify(args);
        expect([shown, await outcome(create(), args)]).toEqual([shown, await outcome(nodeServer(), args)]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('ipv6Only leaves the addresses of IPv4 to others; reusePort shares an address', async () => {
    const six = create((_req, res) => void res.end('six')).listen({ port: 0, host: '::', ipv6Only: true });
    const port = portOf(six);
    const four = create((_req, res) => void res.end('four')).listen(port, '127.0.0.1');
    await once(four, 'listening');
    expect(await ask(port)).toBe('four');
    const shared = create().listen({ port: 0, host: '127.0.0.1', reusePort: true });
    const other = create().listen({ port: portOf(shared), host: '127.0.0.1', reusePort: true });
    await once(other, 'listening');
    expect(portOf(other)).toBe(portOf(shared));
  });

  test('on every address tells clients as Node does', async () => {
    const server = create((req, res) => void res.end(req.socket.remoteAddress)).listen(0);
    const { address } = server.address() as AddressInfo;
    const seen = await ask(portOf(server));
    expect(['127.0.0.1', '::1', '::ffff:127.0.0.1']).toContain(seen);
    if (address === '::' && seen.includes('127')) expect(seen).toBe('::ffff:127.0.0.1');
  });

  test('gives the errors of Node', async () => {
    const port = portOf(create().listen(0, '127.0.0.1'));
    const errors = await Promise.all(
      [create(), nodeServer()].map(async (server) => {
        server.listen(port, '127.0.0.1');
        const [{ code, errno, syscall, address, port: where, message }] = (await once(server, 'error')) as [
          NodeJS.ErrnoException & AddressInfo,
        ];
        expect(server.listening).toBe(false);
        return { code, errno, syscall, address, where, message };
      }),
    );
    expect(errors[0]).toEqual(errors[1]);
    expect(() => create().listen(70_000)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }));
    const server = create().listen(0);
    expect(() => server.listen(0)).toThrow(expect.objectContaining({ code: 'ERR_SERVER_ALREADY_LISTEN' }));
    expect(() => create().listen({ fd: 3 })).toThrow('descriptor');
    expect(() => create().listen({ port: 0, handle: {} } as object)).toThrow('handle');
  });

  test('can be called again after close', async () => {
    const server = create((_req, res) => void res.end('again'));
    for (let i = 0; i < 2; i++) {
      server.listen(0);
      expect(await ask(portOf(server))).toBe('again');
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('maxHeaderSize', () => {
  test('is what the program wishes, as far as the core can; beyond that it is warned', async () => {
    const warnings: (string | undefined)[] = [];
    const note = (warning: Error & { code?: string }): void => void warnings.push(warning.code);
    process.on('warning', note);
    const server = create({ maxHeaderSize: 131_072 }, (req, res) => {
      res.end(String(req.url?.length ?? 0 + (req.headers.cookie?.length ?? 0)));
    }).listen(0);
    const status = async (text: string): Promise<number> => {
      const client = await RawClient.connect({ port: portOf(server) });
      await client.send(text);
      const response = await client.response();
      client.close();
      return response.status;
    };
    expect(await status(request('GET /', `Cookie: ${'a'.repeat(60_000)}`))).toBe(200);
    expect(await status(request(`GET /?${'a'.repeat(60_000)}`))).toBe(200);
    // Within the limits of both, together more than a frame holds.
    expect(await status(request(`GET /?${'a'.repeat(40_000)}`, `Cookie: ${'a'.repeat(40_000)}`))).toBe(431);
    expect(await status(request('GET /', `Cookie: ${'a'.repeat(70_000)}`))).toBe(431);
    process.off('warning', note);
    expect(warnings).toContain('GWM_MAX_HEADER_SIZE');
  });
});

describe('close', () => {
  test('lets a response finish, closes idle connections, and then tells it', async () => {
    const begun = new Promise<ServerResponse>((resolve) => {
      servers.push(create((req, res) => (req.url === '/slow' ? resolve(res) : void res.end('quick'))).listen(0));
    });
    const server = servers.at(-1) as GatewayServer;
    const [idle, slow] = [
      await RawClient.connect({ port: portOf(server) }),
      await RawClient.connect({ port: portOf(server) }),
    ];
    await idle.send(request('GET /quick'));
    await idle.response();
    await slow.send(request('GET /slow'));
    const res = await begun;
    const events: string[] = [];
    server.on('close', () => events.push('close'));
    const done = new Promise<void>((resolve) => server.close(() => (events.push('callback'), resolve())));
    expect([server.listening, server.address()]).toEqual([false, null]);
    await idle.closed();
    expect(events).toEqual([]);
    res.end('slow');
    expect(String((await slow.response()).body)).toBe('slow');
    await done;
    expect(events.toSorted()).toEqual(['callback', 'close']);
    slow.close();
  });

  test('of a server that does not listen is an error for the callback', async () => {
    expect(await new Promise((resolve) => create().close(resolve))).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' });
  });

  test('closeAllConnections cuts what is in progress, and the server goes on', async () => {
    const server = create((req, res) => void (req.url === '/hang' || res.end('fine'))).listen(0);
    const client = await RawClient.connect({ port: portOf(server) });
    await client.send(request('GET /hang'));
    await once(server, 'request');
    server.closeAllConnections();
    await client.closed();
    expect(await ask(portOf(server))).toBe('fine');
  });

  test('closeIdleConnections leaves what is in progress', async () => {
    let held: ServerResponse | undefined;
    const server = create((req, res) => {
      if (req.url === '/hang') {
        held = res;
        res.write('part');
      } else res.end('fine');
    }).listen(0);
    const [idle, busy] = [
      await RawClient.connect({ port: portOf(server) }),
      await RawClient.connect({ port: portOf(server) }),
    ];
    await idle.send(request('GET /'));
    await idle.response();
    await busy.send(request('GET /hang'));
    await busy.until('part');
    server.closeIdleConnections();
    await idle.closed();
    held?.end('whole');
    await busy.until('whole');
    busy.close();
  });
});

describe('events', () => {
  test('checkContinue decides about a body', async () => {
    const server = create((req, res) => void req.resume().on('end', () => res.end('plain')));
    server.on('checkContinue', (req, res: ServerResponse) => {
      if (req.url === '/no') {
        res.writeHead(413).end();
        return;
      }
      res.writeContinue();
      req.resume().on('end', () => res.end('continued'));
    });
    server.listen(0);
    const client = await RawClient.connect({ port: portOf(server) });
    await client.send(request('POST /yes', 'Content-Length: 1', 'Expect: 100-continue'));
    expect((await client.response()).status).toBe(100);
    await client.send('x');
    expect(String((await client.response()).body)).toBe('continued');
    await client.send(request('POST /no', 'Content-Length: 1', 'Expect: 100-continue'));
    expect((await client.response()).status).toBe(413);
    client.close();
  });

  test('clientError tells of a request that the core has refused', async () => {
    const server = create((_req, res) => void res.end('hello')).listen(0, '127.0.0.1');
    const told: [code: string | undefined, isWritable: boolean][] = [];
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      told.push([error.code, socket.writable]);
      // As handlers do.
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    for (const [bytes, status] of [
      ['GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ] as const) {
      const client = await RawClient.connect({ port: portOf(server) });
      await client.send(bytes);
      expect((await client.response()).status).toBe(status);
      client.close();
    }
    await expect
      .poll(() => told)
      .toEqual([
        ['HPE_STRICT', false],
        ['HPE_HEADER_OVERFLOW', false],
      ]);
    expect(await ask(portOf(server))).toBe('hello');
  });

  test('connection gives the socket of each request', async () => {
    const sockets: unknown[] = [];
    const server = create((req, res) => {
      sockets.push(req.socket);
      res.end();
    });
    server.on('connection', (socket) => sockets.push(socket));
    server.listen(0);
    await ask(portOf(server));
    expect(sockets[0]).toBe(sockets[1]);
  });

  test('timeout of the server', async () => {
    const server = create(() => {});
    server.setTimeout(20, (socket) => socket.destroy());
    server.listen(0);
    const client = await RawClient.connect({ port: portOf(server) });
    await client.send(request('GET /'));
    await client.closed();
  });

  test('an upgrade is refused clearly', async () => {
    const server = create((_req, res) => void res.end('no upgrade asked'));
    server.on('upgrade', () => {});
    const warned = once(process, 'warning');
    server.listen(0);
    expect(String(await warned)).toContain('upgrade');
    const client = await RawClient.connect({ port: portOf(server) });
    await client.send(request('GET /', 'Connection: Upgrade', 'Upgrade: websocket'));
    expect((await client.response()).status).toBe(501);
    expect(await ask(portOf(server))).toBe('no upgrade asked');
    client.close();
  });

  test('classes of its own for requests and responses', async () => {
    const { IncomingMessage: Request, ServerResponse: Response } = await import('node:http');
    class OwnRequest extends Request {
      readonly own = true;
    }
    class OwnResponse extends Response {
      greet(): void {
        this.end('own');
      }
    }
    const server = create({ IncomingMessage: OwnRequest, ServerResponse: OwnResponse as never }, (req, res) => {
      expect((req as OwnRequest).own).toBe(true);
      (res as unknown as OwnResponse).greet();
    }).listen(0);
    expect(await ask(portOf(server))).toBe('own');
  });
});

test('a target that is no path reaches the handler, as from Node', async () => {
  const server = create((req, res) => void res.end(req.url)).listen(0);
  const client = await RawClient.connect({ port: portOf(server) });
  for (const target of ['/%zz', '/../../x', '/a/%2e%2e/%2e%2e/%2e%2e/x']) {
    await client.send(request(`GET ${target}`));
    expect(String((await client.response()).body)).toBe(target);
  }
  await client.send(request('OPTIONS *'));
  expect(String((await client.response()).body)).toBe('*');
  client.close();
});
