// What a Node handler writes, and what the client gets of it.

import { Agent, type OutgoingHttpHeaders, type ServerResponse, request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { header } from '../http/raw-client.js';
import { request, serving } from './serving.js';

const MIB = 1024 * 1024;

describe('the head', () => {
  test('status, reason and headers are the handler’s', async () => {
    await using target = await serving((_req, res) => {
      res.writeHead(299, 'Quite Fine', { 'X-Case': 'kept', 'Set-Cookie': ['a=1', 'b=2'] });
      res.end('x');
    });
    const client = await target.connect();
    await client.send(request('GET /'));
    const head = (await client.until('\r\n\r\n')).toString('latin1');
    client.close();
    expect(head.startsWith('HTTP/1.1 299 Quite Fine\r\n')).toBe(true);
    expect(head).toContain('X-Case: kept\r\n');
    expect(head).toContain('Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n');
    expect(head.match(/^date:/gim)).toHaveLength(1);
    expect(head).not.toMatch(/^(connection|keep-alive):/im);
  });

  test('a response written by hand to the socket ends with the connection', async () => {
    await using target = await serving((req) => {
      req.socket.write('HTTP/1.1 200 By Hand\r\nX-A: b\r\n\r\n');
      req.socket.write('body');
      req.socket.end();
    });
    const client = await target.connect();
    await client.send(request('GET /'));
    const response = await client.response();
    expect([header(response, 'x-a'), header(response, 'connection'), String(response.body)]).toEqual([
      'b',
      'close',
      'body',
    ]);
    expect(await client.closed()).toBe('end');
  });

  test('values beyond ASCII are latin-1, also before a body that is UTF-8', async () => {
    await using target = await serving((_req, res) => {
      res.setHeader('X-Name', 'caf\u00e9');
      res.write(Buffer.from('\u00e9'));
      res.end('h\u00e9');
    });
    const response = await target.ask(request('GET /'));
    expect(header(response, 'x-name')).toBe('caf\u00e9');
    expect(response.body.toString()).toBe('\u00e9h\u00e9');
  });

  test('Connection: close closes the connection', async () => {
    await using target = await serving((_req, res) => {
      res.setHeader('Connection', 'close');
      res.end('bye');
    });
    const client = await target.connect();
    await client.send(request('GET /'));
    const response = await client.response();
    expect(header(response, 'connection')).toBe('close');
    expect(await client.closed()).toBe('end');
  });

  test('what Node does not check and HTTP does not allow is a 500, and the worker lives', async () => {
    await using target = await serving((req, res) => {
      if (req.url === '/bad') res.setHeader('Content-Length', 'many');
      res.end('x');
    });
    expect((await target.ask(request('GET /bad'))).status).toBe(500);
    expect((await target.ask(request('GET /good'))).status).toBe(200);
  });

  test('one larger than a frame is a 500', async () => {
    await using target = await serving((req, res) => {
      if (req.url === '/large') res.setHeader('X-Large', 'x'.repeat(70_000));
      res.end('x');
    });
    expect((await target.ask(request('GET /large'))).status).toBe(500);
    expect((await target.ask(request('GET /'))).status).toBe(200);
  });
});

describe('the body', () => {
  test.each<[string, (res: ServerResponse) => void, string]>([
    ['end with a string', (res) => res.end('h\u00e9llo'), 'h\u00e9llo'],
    ['end with bytes', (res) => res.end(Buffer.from('bytes')), 'bytes'],
    ['end with an encoding', (res) => res.end('aGV4', 'base64'), 'hex'],
    ['writeHead, then end', (res) => res.writeHead(200).end('whole'), 'whole'],
    ['writeHead, then an empty end', (res) => res.writeHead(200).end(), ''],
    ['flushHeaders, then end', (res) => (res.flushHeaders(), res.end('flushed')), 'flushed'],
    ['writes', (res) => (res.write('a'), res.write(Buffer.from('b')), res.write('63', 'hex'), res.end('d')), 'abcd'],
    [
      'Transfer-Encoding of its own',
      (res) => (res.setHeader('Transfer-Encoding', 'chunked'), res.write('a'), res.end('b')),
      'ab',
    ],
    [
      'Transfer-Encoding of its own and one end',
      (res) => (res.setHeader('Transfer-Encoding', 'chunked'), res.end('ab')),
      'ab',
    ],
    ['a removed Content-Length', (res) => (res.removeHeader('Content-Length'), res.end('ab')), 'ab'],
    ['corked writes', (res) => (res.cork(), res.write('a'), res.write('b'), res.uncork(), res.end('c')), 'abc'],
    [
      'an empty write, and corked until the end',
      (res) => (res.cork(), res.write(''), res.write('a'), res.end('b')),
      'ab',
    ],
    ['a head that is flushed before a write', (res) => (res.flushHeaders(), res.write('a'), res.end('b')), 'ab'],
    ['a head that is flushed behind a write', (res) => (res.write('a'), res.flushHeaders(), res.end('b')), 'ab'],
    [
      'a head that is flushed behind a write, and the rest in another tick',
      (res) => (res.write('é'), res.flushHeaders(), setImmediate(() => (res.write('ff', 'hex'), res.end('b')))),
      'é\ufffdb',
    ],
    ['a head that is flushed and no body', (res) => (res.removeHeader('Date'), res.flushHeaders(), res.end()), ''],
    ['0, which looks like a last chunk', (res) => (res.write('0\r\n\r\n'), res.end()), '0\r\n\r\n'],
  ])('%s', async (_what, answer, expected) => {
    await using target = await serving((_req, res) => answer(res));
    const client = await target.connect();
    // Twice: the connection goes on.
    for (let i = 0; i < 2; i++) {
      await client.send(request('GET /'));
      const response = await client.response();
      expect(response.status).toBe(200);
      expect(response.body.toString()).toBe(expected);
    }
    client.close();
  });

  test.each<[string, (res: ServerResponse) => void, string, string[]]>([
    [
      'behind pieces',
      (res) => (res.setHeader('Trailer', 'X-Sum'), res.write('a'), res.addTrailers({ 'X-Sum': 'é' }), res.end('b')),
      'ab',
      ['X-Sum: é'],
    ],
    [
      'behind a body that comes at once',
      (res) => (
        res.setHeader('Trailer', 'X-A'),
        res.addTrailers([
          ['X-A', '1'],
          ['X-B', '2'],
        ] as never),
        res.end('ab')
      ),
      'ab',
      ['X-A: 1', 'X-B: 2'],
    ],
    [
      'behind a large body, in another tick',
      (res) => {
        res.write('a'.repeat(MIB));
        setImmediate(() => (res.addTrailers({ 'X-Sum': '1' }), res.end()));
      },
      'a'.repeat(MIB),
      ['X-Sum: 1'],
    ],
    ['behind nothing', (res) => (res.flushHeaders(), res.addTrailers({ 'X-Sum': '1' }), res.end()), '', ['X-Sum: 1']],
    // As with Node: where the body has a length, there is no place for them.
    ['where the length is known: none', (res) => (res.addTrailers({ 'X-Sum': '1' }), res.end('ab')), 'ab', []],
    [
      'that would frame the message: none',
      (res) => (res.write('a'), res.addTrailers({ 'X-Sum': '1', 'Content-Length': '7' }), res.end('b')),
      'ab',
      [],
    ],
    [
      'that belong to the connection: none',
      (res) => (res.write('a'), res.addTrailers({ 'Transfer-Encoding': 'chunked' }), res.end('b')),
      'ab',
      [],
    ],
  ])('trailers %s', async (_what, answer, body, trailers) => {
    await using target = await serving((_req, res) => answer(res));
    const client = await target.connect();
    // Twice: the connection goes on, and trailers are one response's.
    for (let i = 0; i < 2; i++) {
      client.trailers = [];
      await client.send(request('GET /'));
      expect((await client.response()).body.toString() === body).toBe(true);
      expect(client.trailers).toEqual(trailers);
    }
    client.close();
  });

  test('trailers are announced as the application does', async () => {
    await using target = await serving((_req, res) => {
      res.setHeader('Trailer', 'X-Sum');
      res.write('a');
      res.addTrailers({ 'X-Sum': '1' });
      res.end('b');
    });
    expect((await target.ask(request('GET /'))).headers).toContainEqual(['trailer', 'X-Sum']);
  });

  test('trailers are dropped for a client of HTTP/1.0', async () => {
    await using target = await serving(
      (_req, res) => (res.write('a'), res.addTrailers({ 'X-Sum': '1' }), res.end('b')),
    );
    const client = await target.connect();
    await client.send('GET / HTTP/1.0\r\n\r\n');
    expect((await client.rest()).toString('latin1')).toMatch(/\r\n\r\nab$/);
  });

  test('that comes later, in pieces', async () => {
    let res: ServerResponse | undefined;
    await using target = await serving((_req, response) => {
      res = response;
      response.write('first');
    });
    const client = await target.connect();
    await client.send(request('GET /'));
    expect((await client.until('\r\n\r\n')).toString()).toContain('Transfer-Encoding: chunked');
    expect(String(await client.chunk())).toBe('first');
    for (const piece of ['second', 'third']) {
      res?.write(piece);
      expect(String(await client.chunk())).toBe(piece);
    }
    res?.end();
    expect(await client.chunk()).toHaveLength(0);
    client.close();
  });

  test.each([70_000, 3 * MIB])('of %i bytes in one end', async (length) => {
    const text = 'x'.repeat(length - 1) + '\n';
    await using target = await serving((req, res) => void res.end(req.url === '/text' ? text : Buffer.from(text)));
    for (const path of ['/text', '/bytes']) {
      const { body } = await target.ask(request(`GET ${path}`));
      expect(body.toString() === text).toBe(true);
    }
  });

  test('piped from a stream arrives whole, whatever its chunks', async () => {
    await using target = await serving((_req, res) => {
      const chunks = Array.from({ length: 200 }, (_, i) => Buffer.alloc(i * 331, i));
      Readable.from(chunks).pipe(res);
    });
    const { body } = await target.ask(request('GET /'));
    const expected = Buffer.concat(Array.from({ length: 200 }, (_, i) => Buffer.alloc(i * 331, i)));
    expect(body.equals(expected)).toBe(true);
  });

  test('to HEAD is left out', async () => {
    await using target = await serving((_req, res) => void res.end('hidden'));
    const client = await target.connect();
    await client.send(request('HEAD /') + request('GET /'));
    expect((await client.response('HEAD')).status).toBe(200);
    expect(String((await client.response()).body)).toBe('hidden');
    client.close();
  });

  test('to an HTTP/1.0 client ends with the connection', async () => {
    await using target = await serving((_req, res) => {
      res.write('a');
      setImmediate(() => res.end('b'));
    });
    const response = await target.ask('GET / HTTP/1.0\r\n\r\n');
    expect([response.framing, String(response.body)]).toEqual(['close', 'ab']);
  });

  test('write gives false at a slow client, and drain follows', async () => {
    let drained = 0;
    let full: () => void = () => {};
    const isFull = new Promise<void>((resolve) => (full = resolve));
    await using target = await serving((_req, res) => {
      let left = 64;
      const go = (): void => {
        while (left > 0) {
          left -= 1;
          if (!res.write(Buffer.alloc(MIB, left))) {
            full();
            return;
          }
        }
        res.end();
      };
      res.on('drain', () => {
        drained += 1;
        expect(res.writableNeedDrain).toBe(false);
        go();
      });
      go();
    });
    const client = await target.connect();
    client.socket.pause();
    await client.send(request('GET /'));
    await isFull;
    client.socket.resume();
    const response = await client.response();
    client.close();
    expect(response.body).toHaveLength(64 * MIB);
    expect(drained).toBeGreaterThan(4);
  });
});

describe('informational responses', () => {
  test('writeEarlyHints and writeProcessing go out before the response', async () => {
    await using target = await serving((_req, res) => {
      res.writeProcessing();
      res.writeEarlyHints({ link: '</a.css>; rel=preload', 'x-trace': '1' });
      res.end('done');
    });
    const client = await target.connect();
    await client.send(request('GET /'));
    expect((await client.response()).status).toBe(102);
    const hints = await client.response();
    expect([hints.status, hints.headers]).toEqual([
      103,
      [
        ['link', '</a.css>; rel=preload'],
        ['x-trace', '1'],
      ],
    ]);
    expect(String((await client.response()).body)).toBe('done');
    client.close();
  });
});

describe('events', () => {
  test('finish, close and the callbacks come in the order of Node', async () => {
    const run = async (
      start: (listener: (req: never, res: ServerResponse) => void) => Promise<[number, () => Promise<void>]>,
    ) => {
      const events: string[] = [];
      let closed: () => void = () => {};
      const done = new Promise<void>((resolve) => (closed = resolve));
      const [port, stop] = await start((_req, res) => {
        for (const event of ['prefinish', 'finish', 'close']) {
          res.on(event, () => events.push(`${event} ${String(res.socket === null)} ${res.writableEnded}`));
        }
        res.on('close', () => closed());
        res.write('a', () => events.push('written'));
        res.end('b', () => events.push('ended'));
        events.push('returned');
      });
      const agent = new Agent();
      const ask = httpRequest({ port, agent }).end();
      const [response] = (await once(ask, 'response')) as [Readable];
      response.resume();
      await once(response, 'end');
      await done;
      agent.destroy();
      await stop();
      return events;
    };
    const ours = await run(async (listener) => {
      const target = await serving(listener as never);
      return [target.port, () => target.server.close({ graceMs: 0 })];
    });
    const nodes = await run(async (listener) => {
      const { createServer } = await import('node:http');
      const server = createServer(listener as never).listen(0, '127.0.0.1');
      await once(server, 'listening');
      return [(server.address() as { port: number }).port, async () => void server.close()];
    });
    expect(ours).toEqual(nodes);
  });

  test('headersSent, writableEnded and the headers stay readable after the end', async () => {
    const seen: unknown[] = [];
    let headers: OutgoingHttpHeaders = {};
    await using target = await serving((_req, res) => {
      seen.push(res.headersSent);
      res.setHeader('X-A', 'b');
      res.on('close', () => {
        seen.push(res.headersSent, res.writableEnded, res.statusCode, res.destroyed);
        headers = res.getHeaders();
      });
      res.end();
    });
    await target.ask(request('GET /'));
    await target.ask(request('GET /'));
    expect(seen.slice(0, 5)).toEqual([false, true, true, 200, true]);
    expect({ ...headers }).toEqual({ 'x-a': 'b' });
  });
});
