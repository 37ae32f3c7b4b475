// The peer uWebSockets.js. `node uws.mjs hello|environ`
import { createRequire } from 'node:module';

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
};

uws
  .App()
  .get('/*', applications[process.argv[2] ?? ''])
  .listen('127.0.0.1', 0, (/** @type {any} */ socket) => {
    if (!socket) throw new Error('uWebSockets.js cannot listen on 127.0.0.1');
    process.stderr.write(`listening on http://127.0.0.1:${uws.us_socket_local_port(socket)}\n`);
  });
