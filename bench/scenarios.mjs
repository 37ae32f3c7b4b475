// What is measured, in which order, and what gwanmun has to reach.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load, loadOfWorkers } from './measure/load.mjs';
import { drip } from './measure/drip.mjs';
import { handshakes, resumptions } from './measure/handshakes.mjs';
import { memory } from './measure/memory.mjs';
import { pace } from './measure/pace.mjs';
import { start } from './measure/start.mjs';
import { bytes, makeFiles, MANY, MODIFIED, SIZES, text } from './site.mjs';

/**
 * What gwanmun has to reach: against a rival, against a figure, or, where the cost grows, against itself.
 * @typedef {object} Target
 * @property {string} metric a name from metrics.mjs
 * @property {string} [rival] a peer; gwanmun's figure is divided by its
 * @property {number} [ratio] at most this, at least this where more is better
 * @property {number} [bound] the same for the figure itself
 * @property {number} [at] the point that is meant, in a scenario with several
 * @property {number} [from] the point whose figure of gwanmun's takes the rival's place
 */

/**
 * How a scenario is measured: a file of measure/.
 * @typedef {object} Measure
 * @property {string[]} columns names from metrics.mjs, in the order of the table
 * @property {(settings: Settings) => number} seconds about how long a round takes, for the progress shown
 * @property {(start: () => Promise<import('./servers.mjs').Server>, scenario: Scenario, settings: Settings) => Promise<import('./metrics.mjs').Round>} round
 *   starts a server, measures it and stops it
 */

/**
 * @typedef {object} Settings
 * @property {import('./clients/load-generator.mjs').Client} client
 * @property {number} clientCore
 * @property {number} warmUp seconds
 * @property {number} seconds
 */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} title
 * @property {Measure} measure
 * @property {string} application what every peer is asked to be
 * @property {Record<string, string>} [applications] where a peer calls it otherwise
 * @property {boolean} [tls] over TLS, as certificate.mjs has it
 * @property {string} request the bytes of one request
 * @property {string | Buffer} body what every peer has to answer
 * @property {number} [status] instead of 200
 * @property {string} [coding] the body is compressed, and what it is before that is compared
 * @property {number} [variety] the request has `{}`, for which a number below this is taken at random
 * @property {number} connections
 * @property {number} pipelined requests on their way at once on each connection
 * @property {number} [rate] requests a second, where it is constant
 * @property {number} [size] see servers.mjs
 * @property {string[]} peers names from peers/, in the order of the rounds
 * @property {string[]} [beside] peers for orientation: measured in every second round
 * @property {Target[]} targets
 * @property {string} [chart] the metric that the plot shows; else that of the first target
 * @property {Points} [points] measured at several points
 * @property {number} [rounds] at most so many
 * @property {number} [seconds] a window has at least so many: what is under way at its end costs time and does not count, which is much of one second's large requests
 */

/**
 * @typedef {object} Points
 * @property {string} axis
 * @property {number[]} at
 * @property {(at: number) => Partial<Scenario>} scenario what differs at a point
 */

const hello = {
  measure: load,
  application: 'hello',
  request: request('/', {}),
  body: 'Hello, world!',
  connections: 64,
  pipelined: 1,
};

const query = 'q=stone+gate&category=history&sort=newest&page=3';

/** What a browser sends for a page: 14 headers. */
const browser = {
  Connection: 'keep-alive',
  'sec-ch-ua': '"Chromium";v="128", "Not;A=Brand";v="24"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'navigate',
  'Sec-Fetch-Dest': 'document',
  Referer: 'http://127.0.0.1/articles',
  'Accept-Encoding': 'gzip, deflate, br',
  'Accept-Language': 'en-GB,en;q=0.9,ko;q=0.8',
  Cookie: 'session=4f2a9c1e7b3d5086; theme=dark',
};

const environ = {
  measure: load,
  application: 'environ',
  request: request(`/articles/search?${query}`, browser),
  body: `GET /articles/search ${query.length + browser['User-Agent'].length + browser['Accept-Language'].length + browser.Cookie.length} true`,
  connections: 64,
  pipelined: 1,
};

const file = {
  ...hello,
  application: 'file',
  request: request('/page.html', {}),
  body: readFileSync(join(import.meta.dirname, 'apps/site/page.html')),
};

/** Over TLS, by all that speak it and can answer. */
const secureHello = { ...hello, tls: true, peers: ['gwanmun', 'nginx', 'h2o', 'haproxy', 'bun', 'node-http'] };

/** @param {string} name of a file in site.mjs @param {number} length */
const secureFile = (name, length) => ({
  ...hello,
  tls: true,
  application: 'files',
  request: request(`/${name}.bin`, {}),
  body: bytes(length),
});

/** A text that is sent compressed: here by what lies beside it. */
const packed = {
  ...hello,
  name: 'file-gzip',
  title: 'a text of 20 KiB with a `.gz` beside it',
  application: 'files',
  request: request('/packed.txt', { 'Accept-Encoding': 'gzip' }),
  coding: 'gzip',
  body: text,
  peers: ['gwanmun', 'nginx'],
  targets: [{ metric: 'cpu', rival: 'nginx', ratio: 1 }],
  rounds: 3,
};

makeFiles();

/** @type {Scenario[]} */
export const scenarios = [
  {
    ...hello,
    name: 'hello',
    title: '13 bytes from the application',
    peers: ['gwanmun', 'uws', 'node-http', 'floor'],
    beside: ['bun', 'fastify', 'express', 'hono', 'gunicorn', 'nginx-gunicorn'],
    targets: [{ metric: 'cpu', rival: 'uws', ratio: 1.05 }],
  },
  {
    ...environ,
    name: 'environ',
    title: 'a browser’s request with 14 headers; the application reads 6 values and counts the keys',
    peers: ['gwanmun', 'uws', 'node-http'],
    beside: ['bun'],
    targets: [{ metric: 'cpu', rival: 'uws', ratio: 0.95 }],
  },
  {
    ...hello,
    name: 'hello-pipelined',
    title: 'hello, 16 requests on their way on each connection',
    pipelined: 16,
    peers: ['gwanmun', 'uws'],
    beside: ['node-http', 'floor'],
    targets: [{ metric: 'rate', rival: 'uws', ratio: 0.95 }],
  },
  {
    ...environ,
    name: 'environ-pipelined',
    title: 'environ, 16 requests on their way on each connection',
    pipelined: 16,
    peers: ['gwanmun', 'uws'],
    beside: ['node-http'],
    targets: [{ metric: 'rate', rival: 'uws', ratio: 1.5 }],
  },
  {
    ...hello,
    name: 'hello-1',
    title: 'hello on one connection: nothing to batch',
    connections: 1,
    peers: ['gwanmun', 'uws'],
    beside: ['node-http', 'floor'],
    targets: [{ metric: 'p50', rival: 'uws', ratio: 1.25 }],
  },
  {
    ...hello,
    name: 'two-tier',
    title: 'hello, against nginx as a proxy in front of an application server; both tiers on the same core',
    peers: ['gwanmun', 'nginx-uws'],
    targets: [{ metric: 'cpu', rival: 'nginx-uws', ratio: 0.3 }],
  },
  {
    ...hello,
    name: 'python',
    title: 'hello in Python, as a WSGI application',
    measure: loadOfWorkers,
    application: 'python',
    peers: ['gwanmun', 'gunicorn', 'nginx-gunicorn-sync', 'nginx-uwsgi'],
    targets: [{ metric: 'worker', bound: 12 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'express',
    title: 'hello by Express, on gwanmun and on its own server',
    application: 'express',
    applications: { express: 'hello' },
    peers: ['gwanmun', 'express'],
    targets: [{ metric: 'cpu', rival: 'express', ratio: 0.8 }],
  },
  {
    ...hello,
    name: 'fastify',
    title: 'hello by Fastify, on gwanmun and on its own server',
    application: 'fastify',
    applications: { fastify: 'hello' },
    peers: ['gwanmun', 'fastify'],
    targets: [{ metric: 'cpu', rival: 'fastify', ratio: 0.8 }],
  },
  {
    ...hello,
    name: 'fetch',
    title: 'hello by a fetch handler: `Request` in, `Response` out',
    application: 'fetch',
    applications: { bun: 'hello', srvx: 'hello' },
    peers: ['gwanmun', 'bun', 'srvx'],
    targets: [
      { metric: 'cpu', rival: 'bun', ratio: 1 },
      { metric: 'cpu', rival: 'srvx', ratio: 0.5 },
    ],
  },
  {
    ...hello,
    name: 'json',
    title: 'a body of 1 KiB of JSON is parsed, changed and answered',
    application: 'json',
    request: post('application/json', JSON.stringify(order(41))),
    body: JSON.stringify(order(42)),
    peers: ['gwanmun', 'uws'],
    targets: [{ metric: 'cpu', rival: 'uws', ratio: 1 }],
  },
  {
    ...hello,
    name: 'generator',
    title: '1 MiB from the application, in chunks of 16 KiB',
    application: 'generator',
    body: Buffer.alloc(1_048_576, 'x'),
    connections: 16,
    peers: ['gwanmun', 'node-http'],
    targets: [{ metric: 'cpu', rival: 'node-http', ratio: 1 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'upload',
    title:
      'a body of 10 MiB, read by the application as it comes: a copy and a process more than in Node, which has the client’s socket itself',
    application: 'upload',
    request: post('application/octet-stream', 'x'.repeat(10_485_760)),
    body: '10485760',
    connections: 16,
    peers: ['gwanmun', 'node-http'],
    targets: [{ metric: 'cpu', rival: 'node-http', ratio: 1.6 }],
    rounds: 3,
    seconds: 5,
  },
  {
    ...file,
    name: 'file',
    title: 'a static file of 1 KiB',
    peers: ['gwanmun', 'nginx', 'nginx-read'],
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 0.75 }],
  },
  ...Object.entries(SIZES).map(([name, length]) => {
    const isLarge = length > 16_384;
    const rivals = ['nginx', 'lighttpd', 'h2o', 'bun'];
    return {
      ...hello,
      name: `file-${name}`,
      title: `a static file of ${length} bytes`,
      application: 'files',
      request: request(`/${name}.bin`, {}),
      body: bytes(length),
      connections: length > 1_048_576 ? 4 : isLarge ? 16 : 64,
      peers: ['gwanmun', ...rivals],
      targets: rivals.map((rival) => ({ metric: 'cpu', rival, ratio: isLarge ? 1.03 : 1 })),
      seconds: length > 1_048_576 ? 5 : 0,
    };
  }),
  {
    ...hello,
    name: 'file-many',
    title: `${MANY} files of 4 KiB, at random`,
    application: 'files',
    request: request('/many/{}.bin', {}),
    variety: MANY,
    body: bytes(4096),
    peers: ['gwanmun', 'nginx', 'lighttpd', 'h2o'],
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 1 }],
  },
  {
    ...hello,
    name: 'file-304',
    title: 'a file that the client has already: 304',
    application: 'files',
    request: request('/16k.bin', { 'If-Modified-Since': MODIFIED.toUTCString() }),
    status: 304,
    body: '',
    peers: ['gwanmun', 'nginx', 'lighttpd', 'h2o'],
    targets: ['nginx', 'lighttpd', 'h2o'].map((rival) => ({ metric: 'cpu', rival, ratio: 1 })),
  },
  packed,
  {
    ...packed,
    name: 'file-br',
    title: 'a text of 20 KiB with a `.br` beside it; for nginx, which has no brotli here, a `.gz`',
    request: request('/packed.txt', { 'Accept-Encoding': 'br, gzip' }),
    coding: 'br',
  },
  {
    ...packed,
    name: 'file-compressed',
    title: 'a text of 20 KiB that the server compresses: gwanmun once, nginx each time',
    request: request('/text.txt', { 'Accept-Encoding': 'gzip' }),
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 0.3 }],
  },
  {
    ...hello,
    name: 'file-range',
    title: '1 KiB in the middle of a file of 100 MiB',
    application: 'files',
    request: request('/100m.bin', { Range: 'bytes=50000000-50001023' }),
    status: 206,
    body: bytes(104_857_600).subarray(50_000_000, 50_001_024),
    peers: ['gwanmun', 'nginx', 'lighttpd', 'bun'],
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 1 }],
    rounds: 3,
  },
  {
    ...file,
    name: 'starved',
    title: 'a static file of 1 KiB, 1 000 times a second, while the application spins in JavaScript',
    measure: pace,
    application: 'starved',
    rate: 1000,
    connections: 64,
    peers: ['gwanmun', 'nginx-node', 'express', 'bun'],
    targets: [{ metric: 'delay99', bound: 10 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'idle-memory',
    title: '10 000 idle connections, after a request on each',
    measure: memory,
    connections: 10_000,
    peers: ['gwanmun', 'nginx', 'uws', 'node-http', 'bun'],
    targets: [
      { metric: 'connection', bound: 2048 },
      { metric: 'connection', bound: 1229 },
    ],
    rounds: 3,
  },
  {
    ...file,
    name: 'drip',
    title: 'a static file of 1 KiB, 1 000 times a second, beside 10 000 connections that send a byte a second',
    measure: drip,
    connections: 10_000,
    rate: 1000,
    peers: ['gwanmun', 'nginx'],
    targets: [{ metric: 'slowdown', bound: 2 }],
    rounds: 3,
  },
  {
    ...secureHello,
    name: 'tls-hello',
    title: 'hello over TLS 1.3',
    targets: [
      ...['nginx', 'h2o'].map((rival) => ({ metric: 'cpu', rival, ratio: 1 })),
      { metric: 'cpu', rival: 'bun', ratio: 1.1 },
    ],
  },
  {
    ...secureFile('1k', SIZES['1k']),
    name: 'tls-file',
    title: 'a static file of 1 KiB over TLS 1.3',
    peers: ['gwanmun', 'nginx', 'h2o', 'haproxy', 'bun'],
    targets: [
      ...['nginx', 'h2o'].map((rival) => ({ metric: 'cpu', rival, ratio: 1 })),
      { metric: 'cpu', rival: 'bun', ratio: 1.1 },
    ],
  },
  {
    ...secureFile('1m', SIZES['1m']),
    name: 'tls-file-1m',
    title: 'a static file of 1 MiB over TLS 1.3',
    connections: 16,
    peers: ['gwanmun', 'nginx', 'h2o', 'bun'],
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 1 }],
  },
  {
    ...secureFile('100m', SIZES['100m']),
    name: 'tls-file-100m',
    title: 'a static file of 100 MiB over TLS 1.3',
    connections: 4,
    peers: ['gwanmun', 'nginx', 'h2o', 'bun'],
    targets: [{ metric: 'cpu', rival: 'nginx', ratio: 1 }],
    rounds: 3,
    seconds: 5,
  },
  {
    ...secureHello,
    name: 'tls-full',
    title: 'new connections with TLS 1.3 (ECDSA P-256, X25519), one request on each',
    measure: handshakes,
    connections: 16,
    targets: [{ metric: 'handshake', rival: 'nginx', ratio: 1 }],
  },
  {
    ...secureHello,
    name: 'tls-resumed',
    title: 'new connections that resume a session of TLS 1.3, one request on each',
    measure: resumptions,
    connections: 16,
    // H2O and node:https give no ticket to who comes with one.
    peers: ['gwanmun', 'nginx', 'haproxy', 'bun'],
    targets: [{ metric: 'handshake', rival: 'nginx', ratio: 1 }],
  },
  {
    ...secureHello,
    name: 'tls-idle',
    title: '4 500 idle connections with TLS 1.3, after a request on each',
    measure: memory,
    connections: 4500,
    targets: [{ metric: 'connection', bound: 5120 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'start',
    title: 'from the command to the first answer, one worker, on one core',
    measure: start,
    applications: { gwanmun: 'hello.ts' },
    peers: ['gwanmun', 'node-http', 'express', 'bun', 'gunicorn'],
    targets: [{ metric: 'answer', bound: 140 }],
  },
  {
    ...hello,
    name: 'growth-connections',
    title: 'hello, on more and more connections',
    peers: ['gwanmun', 'uws', 'node-http'],
    points: { axis: 'connections', at: [1, 8, 64, 512, 4096], scenario: (connections) => ({ connections }) },
    targets: [{ metric: 'cpu', rival: 'uws', ratio: 1.05, at: 4096 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'growth-mounts',
    title: 'hello at the last of many mounts (routes, for the others)',
    application: 'mounts',
    peers: ['gwanmun', 'uws', 'fastify'],
    points: {
      axis: 'mounts',
      at: [10, 10_000],
      scenario: (size) => ({ size, request: request(`/m${size - 1}/page`, {}) }),
    },
    targets: [{ metric: 'cpu', ratio: 1.1, from: 10, at: 10_000 }],
    rounds: 3,
  },
  {
    ...hello,
    name: 'growth-headers',
    title: 'an application that reads all headers, few or many',
    application: 'headers',
    // uWebSockets.js refuses more than 50.
    peers: ['gwanmun', 'node-http', 'bun'],
    points: { axis: 'headers', at: [2, 60], scenario: withHeaders },
    targets: [{ metric: 'cpu', rival: 'bun', ratio: 0.5, at: 60 }],
    rounds: 3,
  },
];

/**
 * A request with so many headers, Host among them, and what an application answers that counts and measures them.
 * @param {number} count
 */
function withHeaders(count) {
  const names = Array.from({ length: count - 1 }, (_, index) => `X-Header-${index}`);
  const headers = Object.fromEntries(names.map((name) => [name, `value of ${name}`]));
  const length = Object.values(headers).reduce((sum, value) => sum + value.length, '127.0.0.1'.length);
  return { request: request('/', headers), body: `${count} ${length}` };
}

/**
 * The same bytes for every peer: the Host has no port, because ports differ.
 * @param {string} target
 * @param {Record<string, string>} headers
 */
function request(target, headers) {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** @param {string} type @param {string} body */
function post(type, body) {
  return `POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** What a shop's page would send: 1 KiB as JSON. @param {number} visits */
function order(visits) {
  const items = Array.from({ length: 11 }, (_, index) => ({
    id: 1000 + index,
    name: `roof tile ${index}`,
    price: 12.5 + index,
    quantity: index + 1,
    tags: ['clay', 'grey'],
  }));
  return { visits, customer: 'Ada Lovelace', email: 'ada@example.test', express: true, note: null, items };
}
