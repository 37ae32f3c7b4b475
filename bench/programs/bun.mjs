// The peer Bun. `bun bun.mjs hello|environ|headers|files|starved`
import { files } from '../site.mjs';
import { announce, spin, tls } from './announce.mjs';

/* global Bun */
const text = { headers: { 'Content-Type': 'text/plain' } };
const page = `${import.meta.dirname}/../apps/site/page.html`;

/** @type {Record<string, (request: Request) => Response>} */
const applications = {
  hello: () => new Response('Hello, world!', text),

  environ(request) {
    const { method, url, headers } = request;
    const { pathname, search } = new URL(url);
    const length = ['user-agent', 'accept-language', 'cookie'].reduce(
      (sum, name) => sum + (headers.get(name) ?? '').length,
      Math.max(search.length - 1, 0),
    );
    let count = 0;
    for (const _ of headers.keys()) count += 1;
    return new Response(`${method} ${pathname} ${length} ${count > 10}`, text);
  },

  headers(request) {
    let count = 0;
    let length = 0;
    for (const [, value] of request.headers) {
      count += 1;
      length += value.length;
    }
    return new Response(`${count} ${length}`, text);
  },

  files(request) {
    const { url, headers } = request;
    const file = Bun.file(`${files}${new URL(url).pathname}`);
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.get('range') ?? '');
    if (range === null) return new Response(file);
    const [start, end] = [Number(range[1]), Number(range[2]) + 1];
    return new Response(file.slice(start, end), {
      status: 206,
      headers: { 'Content-Range': `bytes ${start}-${end - 1}/${file.size}` },
    });
  },

  starved: (request) => (request.url.endsWith('/spin') ? new Response(spin(), text) : new Response(Bun.file(page))),
};

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  idleTimeout: 75,
  tls,
  fetch: applications[process.argv[2] ?? ''],
});
announce(server.port);
