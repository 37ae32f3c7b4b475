// What is measured, in which order, and what gwanmun has to reach.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** CPU time a request, requests a second, or median latency. @typedef {'cpu' | 'rate' | 'p50'} Metric */

/**
 * @typedef {object} Target
 * @property {string} rival a name from peers.mjs
 * @property {Metric} metric of which gwanmun's is divided by the rival's
 * @property {number} ratio at most this for `cpu` and `p50`, at least this for `rate`
 */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} title
 * @property {import('./peers.mjs').Application} application
 * @property {string} request the bytes of one request
 * @property {string | Buffer} body what every peer has to answer
 * @property {number} connections
 * @property {number} pipelined requests on their way at once on each connection
 * @property {string[]} peers names from peers.mjs, in the order of the rounds
 * @property {Target} target
 */

const hello = {
  application: /** @type {const} */ ('hello'),
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
  application: /** @type {const} */ ('environ'),
  request: request(`/articles/search?${query}`, browser),
  body: `GET /articles/search ${query.length + browser['User-Agent'].length + browser['Accept-Language'].length + browser.Cookie.length} true`,
  connections: 64,
  pipelined: 1,
};

/** @type {Scenario[]} */
export const scenarios = [
  {
    ...hello,
    name: 'hello',
    title: '13 bytes from the application',
    peers: ['gwanmun', 'uws', 'node-http', 'floor'],
    target: { rival: 'uws', metric: 'cpu', ratio: 1.05 },
  },
  {
    ...environ,
    name: 'environ',
    title: 'a browser’s request with 14 headers; the application reads 6 values and counts the keys',
    peers: ['gwanmun', 'uws', 'node-http'],
    target: { rival: 'uws', metric: 'cpu', ratio: 0.95 },
  },
  {
    ...hello,
    name: 'hello-pipelined',
    title: 'hello, 16 requests on their way on each connection',
    pipelined: 16,
    peers: ['gwanmun', 'uws', 'node-http', 'floor'],
    target: { rival: 'uws', metric: 'rate', ratio: 1.5 },
  },
  {
    ...environ,
    name: 'environ-pipelined',
    title: 'environ, 16 requests on their way on each connection',
    pipelined: 16,
    peers: ['gwanmun', 'uws', 'node-http'],
    target: { rival: 'uws', metric: 'rate', ratio: 1.5 },
  },
  {
    ...hello,
    name: 'hello-1',
    title: 'hello on one connection: nothing to batch',
    connections: 1,
    peers: ['gwanmun', 'uws', 'node-http', 'floor'],
    target: { rival: 'uws', metric: 'p50', ratio: 1.25 },
  },
  {
    ...hello,
    name: 'two-tier',
    title: 'hello, against nginx as a proxy in front of an application server; both tiers on the same core',
    peers: ['gwanmun', 'nginx-uws'],
    target: { rival: 'nginx-uws', metric: 'cpu', ratio: 0.3 },
  },
  {
    ...hello,
    name: 'file',
    title: 'a static file of 1 KiB',
    application: 'file',
    request: request('/page.html', {}),
    body: readFileSync(join(import.meta.dirname, 'apps/site/page.html')),
    peers: ['gwanmun', 'nginx', 'nginx-read'],
    target: { rival: 'nginx', metric: 'cpu', ratio: 0.75 },
  },
];

/**
 * The same bytes for every peer: the Host has no port, because ports differ.
 * @param {string} target
 * @param {Record<string, string>} headers
 */
function request(target, headers) {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}
