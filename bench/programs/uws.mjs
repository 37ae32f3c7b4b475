// The peer uWebSockets.js. `node uws.mjs hello|environ|headers|json|mounts [SIZE]`
import { createRequire } from 'node:module';
import { announce } from './announce.mjs';

const require = createRequire(import.meta.url);
const uws = require('uWebSockets.js');

// Without a binary for this Node the package falls back to JavaScript, silently: that would be another server.
if (!Object.keys(require.cache).some((file) => /\buws_\w+\.node$/.test(file))) {
  throw new Error(`uWebSockets.js has no binary for Node ${process.version}`);
}

/** @type {Record<string, (response: any, request: any) => void>} */
const applications = {
  hello(response) {
    response.writeHeader('Content-Type', 'text/plain').end('Hello, world!');
  },

  environ(response, request) {
    const method = request.getCaseSensitiveMethod();
    const path = request.getUrl();
    const query = request.getQuery();
    const agent = request.getHeader('user-agent');
    const language = request.getHeader('accept-language');
    const cookie = request.getHeader('cookie');
    let keys = 0;
    request.forEach(() => {
      keys += 1;
    });
    response
      .writeHeader('Content-Type', 'text/plain')
      .end(`${method} ${path} ${query.length + agent.length + language.length + cookie.length} ${keys > 10}`);
  },

  json(response) {
    /** @type {Buffer | undefined} */
    let body;
    response.onAborted(() => {});
    response.onData((/** @type {ArrayBuffer} */ piece, /** @type {boolean} */ isLast) => {
      if (isLast && body === undefined) {
        answer(Buffer.from(piece));
        return;
      }
      // A piece is valid until this returns.
      body = Buffer.concat([body ?? Buffer.alloc(0), Buffer.from(piece)]);
      if (isLast) answer(body);
    });
    /** @param {Buffer} bytes */
    function answer(bytes) {
      const value = JSON.parse(bytes.toString());
      value.visits += 1;
      response.writeHeader('Content-Type', 'application/json').end(JSON.stringify(value));
    }
  },

  headers(response, request) {
    let count = 0;
    let length = 0;
    request.forEach((/** @type {string} */ _name, /** @type {string} */ value) => {
      count += 1;
      length += value.length;
    });
    response.writeHeader('Content-Type', 'text/plain').end(`${count} ${length}`);
  },
};

const [application = '', size = '0'] = process.argv.slice(2);
const app = uws.App();
if (application === 'mounts') {
  for (let i = 0; i < Number(size); i += 1) app.get(`/m${i}/*`, applications['hello']);
} else {
  app.any('/*', applications[application]);
}
app.listen('127.0.0.1', 0, (/** @type {any} */ socket) => {
  if (!socket) throw new Error('uWebSockets.js cannot listen on 127.0.0.1');
  announce(uws.us_socket_local_port(socket));
});
