// What the tests of fetch applications ask for, by path.

import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import type { FetchInfo } from '../../dist/index.js';

/** What has happened, for tests that wait for it. */
const noted: string[] = [];
let wake: () => void = () => {};
function note(event: string): void {
  noted.push(event);
  wake();
}

const storage = new AsyncLocalStorage<string>();
const encoder = new TextEncoder();

type Answer = (request: Request, info: FetchInfo) => unknown;

const answers: Record<string, Answer> = {
  '/hello': () => new Response('hello\n'),
  '/request': (request, info) =>
    Response.json({
      url: request.url,
      method: request.method,
      headers: [...request.headers],
      isRequest: request instanceof Request,
      isInstance: Object.prototype.toString.call(request),
      redirect: request.redirect,
      mode: request.mode,
      hasBody: request.body !== null,
      remoteAddress: info.remoteAddress,
      remotePort: typeof info.remotePort,
      localPort: info.localPort,
    }),
  '/text': async (request) => new Response(`<${await request.text()}>`),
  '/json': async (request) => Response.json(await request.json()),
  '/bytes': async (request) => new Response(new Uint8Array(await request.arrayBuffer())),
  '/form': async (request) =>
    Response.json([...(await request.formData())].map(([name, value]) => [name, String(value)])),
  '/used': async (request) => {
    const before = request.bodyUsed;
    await request.text();
    const second = await request.text().catch((error: unknown) => (error as Error).name);
    const third = await request.json().catch((error: unknown) => (error as Error).name);
    return Response.json([before, request.bodyUsed, second, third]);
  },
  '/clone': async (request) => {
    const copy = request.clone();
    return Response.json([await request.text(), await copy.text(), copy instanceof Request]);
  },
  '/new-request': async (request) => {
    const other = new Request(request, { headers: { 'X-Other': '1' } });
    return Response.json([other.url, other.method, other.headers.get('x-other'), await other.text()]);
  },
  '/fetch': async (request) => {
    const target = new URL(request.url).searchParams.get('url') as string;
    return fetch(target === 'self' ? request : target);
  },
  '/gone': async (request) => {
    const url = new URL('/hello', request.url);
    return fetch(new Request(url, request));
  },
  '/echo': (request) =>
    new Response(request.body, { headers: { 'X-Type': request.headers.get('content-type') ?? '' } }),
  '/stream': () => {
    let count = 0;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await turn();
          if (count === 3) controller.close();
          else controller.enqueue(encoder.encode(`piece ${++count}\n`));
        },
      }),
    );
  },
  '/endless': (request) => {
    request.signal.addEventListener('abort', () => note('endless: aborted'));
    return new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(16_384)),
        cancel: () => note('endless: cancelled'),
      }),
    );
  },
  '/silent': (request) => {
    request.signal.addEventListener('abort', () => note(`silent: ${(request.signal.reason as Error).name}`));
    return new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(encoder.encode('first\n')),
        cancel: () => note('silent: cancelled'),
      }),
    );
  },
  '/waiting': (request) => {
    note('waiting: called');
    return new Promise((resolve) => {
      request.signal.addEventListener('abort', () => {
        note('waiting: aborted');
        resolve(new Response('too late'));
      });
    });
  },
  '/breaks': () => {
    let count = 0;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await turn();
          if (count++ > 0) throw new Error('the stream broke');
          controller.enqueue(encoder.encode('some'));
        },
      }),
    );
  },
  '/strings': () => new Response(new ReadableStream({ start: (controller) => controller.enqueue('text' as never) })),
  '/throws': () => {
    throw new Error('thrown by the handler');
  },
  '/rejects': () => Promise.reject(new Error('rejected by the handler')),
  '/nothing': () => undefined,
  '/error': () => Response.error(),
  '/read-twice': async () => {
    const response = new Response('once');
    await response.text();
    return response;
  },
  '/read-clone': async () => {
    const response = new Response('once');
    await response.clone().text();
    return response;
  },
  '/large': () => new Response('x'.repeat(1_000_000)),
  '/large-bytes': () => new Response(new Uint8Array(1_000_000).fill(120)),
  '/blob': () => new Response(new Blob(['blob'], { type: 'text/css' })),
  '/params': () => new Response(new URLSearchParams({ a: 'b c' })),
  '/empty': () => new Response(null, { status: 204 }),
  '/redirect': () => Response.redirect('http://example.test/elsewhere', 303),
  '/reason': () => new Response('made', { status: 201, statusText: 'Made' }),
  '/reason-of-native': () => new Response('made', { status: 404, statusText: 'Nothing\there' }).clone(),
  '/cookies': () => {
    const headers = new Headers({ 'X-One': '1' });
    headers.append('Set-Cookie', 'a=1');
    headers.append('Set-Cookie', 'b=2; Path=/');
    return new Response('', { headers });
  },
  '/later-headers': () => {
    const response = new Response('', { headers: { 'X-One': '1' } });
    response.headers.set('X-Two', '2');
    response.headers.delete('X-One');
    return response;
  },
  '/connection': () => new Response('', { headers: { Connection: 'close', 'Keep-Alive': 'timeout=1', 'X-Kept': '1' } }),
  '/injection': () => {
    const results = [
      { 'X-A': 'a\r\nX-B: b' },
      { 'X A': 'a' },
      { 'X-A': '\u0100' },
      [['X-A', 'a\n\nb']] as [string, string][],
    ].map((headers) => {
      try {
        return new Response('', { headers }).headers.get('x-a');
      } catch (error) {
        return (error as Error).name;
      }
    });
    return Response.json(results);
  },
  '/statuses': () => {
    const results = [101, 199, 600, 99.5].map((status) => {
      try {
        return new Response(null, { status }).status;
      } catch (error) {
        return (error as Error).name;
      }
    });
    try {
      results.push(new Response('body', { status: 204 }).status);
    } catch (error) {
      results.push((error as Error).name);
    }
    return Response.json(results);
  },
  '/members': async () => {
    const text = new Response('ä', { status: 201 });
    class Own extends Response {}
    const own = new Own('own');
    const fetched = await fetch('data:text/plain,native');
    return Response.json({
      ok: text.ok,
      type: text.type,
      url: text.url,
      redirected: text.redirected,
      contentType: text.headers.get('content-type'),
      used: [text.bodyUsed, await text.text(), text.bodyUsed],
      tag: Object.prototype.toString.call(text),
      instances: [text instanceof Response, own instanceof Response, own instanceof Own, text instanceof Own],
      native: [fetched instanceof Response, fetched instanceof Own],
      name: Response.name,
    });
  },
  '/mutated': () => {
    const bytes = encoder.encode('before');
    const response = new Response(bytes);
    bytes.fill(33);
    return response;
  },
  '/background': (_request, { waitUntil }) => {
    waitUntil(turn().then(() => note('background: done')));
    waitUntil(Promise.reject(new Error('background: failed')));
    return new Response('at once');
  },
  '/storage': (request) => {
    const before = storage.getStore();
    storage.enterWith(request.url);
    return turn().then(() => Response.json([before ?? null, storage.getStore() === request.url]));
  },
  '/noted': async (request) => {
    const event = new URL(request.url).searchParams.get('event') as string;
    while (!noted.includes(event)) await new Promise<void>((resolve) => (wake = resolve));
    return new Response(event);
  },
};

export default {
  fetch(request: Request, info: FetchInfo): Response {
    const { pathname } = new URL(request.url);
    return (answers[pathname]?.(request, info) ??
      (pathname === '/nothing' ? undefined : new Response(null, { status: 404 }))) as Response;
  },
};
