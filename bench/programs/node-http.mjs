// The peer node:http. `node node-http.mjs hello|environ|headers|starved|generator|upload`
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { announce, spin, tls } from './announce.mjs';

/** @type {Record<string, (request: import('node:http').IncomingMessage) => string>} */
const applications = {
  hello: () => 'Hello, world!',

  environ(request) {
    const { method = '', url = '', headers } = request;
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? '' : url.slice(mark + 1);
    const agent = headers['user-agent'] ?? '';
    const language = headers['accept-language'] ?? '';
    const cookie = headers.cookie ?? '';
    const count = Object.keys(headers).length;
    return `${method} ${path} ${query.length + agent.length + language.length + cookie.length} ${count > 10}`;
  },

  headers({ headers }) {
    let count = 0;
    let length = 0;
    for (const name in headers) {
      count += 1;
      length += (headers[name] ?? '').length;
    }
    return `${count} ${length}`;
  },

  // Behind nginx, which has the files.
  starved: spin,
};

/** 1 MiB in 64 pieces. @param {import('node:http').ServerResponse} response */
async function generate(response) {
  const chunk = new Uint8Array(16_384).fill(120);
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  for (let i = 0; i < 64; i += 1) {
    if (!response.write(chunk)) await once(response, 'drain');
  }
  response.end();
}

/** Counts the bytes of the body as they come. @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
async function count(request, response) {
  let length = 0;
  for await (const chunk of request) length += chunk.length;
  const body = String(length);
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}

const answer = applications[process.argv[2] ?? ''];
/** @type {import('node:http').RequestListener} */
function listener(request, response) {
  if (process.argv[2] === 'generator') return void generate(response);
  if (process.argv[2] === 'upload') return void count(request, response).catch(() => response.destroy());
  const body = answer(request);
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const server = tls ? createSecureServer(tls, listener) : createServer(listener);
// Its five seconds would end connections that are measured while they idle.
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1', () => {
  announce(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
});
