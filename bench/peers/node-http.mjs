// The peer node:http. `node node-http.mjs hello|environ`
import { createServer } from 'node:http';

/** @type {Record<string, import('node:http').RequestListener>} */
const applications = {
  hello(_request, response) {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 13 });
    response.end('Hello, world!');
  },

  environ(request, response) {
    const { method = '', url = '', headers } = request;
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? '' : url.slice(mark + 1);
    const agent = headers['user-agent'] ?? '';
    const language = headers['accept-language'] ?? '';
    const cookie = headers.cookie ?? '';
    const count = Object.keys(headers).length;
    const body = `${method} ${path} ${query.length + agent.length + language.length + cookie.length} ${count > 10}`;
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  },
};

const server = createServer(applications[process.argv[2] ?? '']);
server.listen(0, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stderr.write(`listening on http://127.0.0.1:${address.port}\n`);
});
