// The peer node:http. `node node-http.mjs hello|environ|headers|starved`
import { createServer } from 'node:http';
import { announce, spin } from './announce.mjs';

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

const answer = applications[process.argv[2] ?? ''];
const server = createServer((request, response) => {
  const body = answer(request);
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
});
// Its five seconds would end connections that are measured while they idle.
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1', () => {
  announce(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
});
