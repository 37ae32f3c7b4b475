// Whether the body of a fetch application's response has a Content-Length.

import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient, type Response as RawResponse } from '../http/raw-client.js';

const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const PATHS: Record<string, () => Response | Promise<Response>> = {
  // As middleware does that touches the headers.
  '/touched': () => {
    const inner = new Response('hello');
    return new Response(inner.body, inner);
  },
  '/twice-touched': async () => {
    const inner = new Response('hello');
    const outer = new Response(inner.body, inner);
    return new Response(outer.body, { headers: { 'X-Touched': '1' } });
  },
  '/transformed': () => new Response(new Response('hello').body?.pipeThrough(new TransformStream()) ?? null),
  '/pieces': () =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const text of ['he', 'llo']) controller.enqueue(bytes(text));
          controller.close();
        },
      }),
    ),
  '/said': () => new Response(new Response('hello').body, { headers: { 'Content-Length': '5' } }),
  '/none': () => new Response(new ReadableStream({ start: (controller) => controller.close() })),
  '/long': () => new Response(new Response('x'.repeat(100_000)).body),
  '/later': () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(bytes('hel'));
          await later();
          controller.enqueue(bytes('lo'));
          controller.close();
        },
      }),
    ),
  '/failing': () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.error(new Error('on purpose'));
        },
      }),
    ),
};

async function ask(path: string): Promise<RawResponse> {
  await using server = await serve({
    port: 0,
    errorLog: { file: '/dev/null' },
    fetch: (request) => (PATHS[new URL(request.url).pathname] as () => Response)(),
  });
  const client = await RawClient.connect({ port: server.port as number });
  await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const response = await client.response();
  client.close();
  return response;
}

test.each([
  ['/touched', 'hello'],
  ['/twice-touched', 'hello'],
  ['/transformed', 'hello'],
  ['/pieces', 'hello'],
  ['/said', 'hello'],
  ['/none', ''],
])('%s: a body that ends at once has its length', async (path, body) => {
  const response = await ask(path);
  expect([response.framing, response.body.toString()]).toEqual(['length', body]);
});

test('a body that comes later is chunked, and what is there goes out before', async () => {
  const response = await ask('/later');
  expect([response.framing, response.chunks]).toEqual(['chunked', ['hel', 'lo']]);
});

test('one that is too long to be kept back arrives whole', async () => {
  expect((await ask('/long')).body.toString()).toBe('x'.repeat(100_000));
});

test('one that fails at once is a 500', async () => {
  expect((await ask('/failing')).status).toBe(500);
});

test.each([false, true])(
  'a chunk of a body shows nothing of another request through its buffer, streamed %s',
  async (stream) => {
    const seen: string[] = [];
    await using server = await serve({
      port: 0,
      stream,
      async fetch(request) {
        for await (const chunk of request.body as ReadableStream<Uint8Array>)
          seen.push(
            Buffer.from(chunk.buffer as ArrayBuffer)
              .toString('latin1')
              .replaceAll('\0', ''),
          );
        return new Response('ok');
      },
    });
    const post = async (body: string): Promise<void> => {
      const client = await RawClient.connect({ port: server.port as number });
      await client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
      await client.send(body);
      await client.response();
      client.close();
    };
    await Promise.all(['alice', 'bob'].map(post));
    expect(seen.toSorted()).toEqual(['alice', 'bob']);
  },
);
