#!/usr/bin/env node
// Runs an application on its own server and on gwanmun's core, sends both the same requests over raw sockets, and prints what differs.
//
//   npm run build
//   node test/compat/compare.mjs flask         from its registry, on gunicorn and on the core
//   node test/compat/compare.mjs django
//   node test/compat/compare.mjs next          its standalone server, by itself and on the core
//   node test/compat/compare.mjs sveltekit     its adapter-node
//   node test/compat/compare.mjs node server.js /…    a program of yours that takes PORT and HOST, and paths to ask for
//
// What is installed and built is in target/compat. Exit code 0 only if nothing differs but what compare-exceptions.json has, each with its reason.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { KINDS, prepare } from './applications.mjs';

const START_MS = 60_000;
const ANSWER_MS = 15_000;

const [kind, place, ...paths] = process.argv.slice(2);
if (!KINDS.includes(kind) || (kind === 'node') !== (place !== undefined)) {
  console.error(
    `usage: node test/compat/compare.mjs ${KINDS.join('|').replace('|node', '')}\n       … node <program> [path…]`,
  );
  process.exit(2);
}
const application = prepare(kind, place, paths);

/** `head` is what stands before the Host; `send` are the pieces in which the request goes out. */
const get = (path, ...headers) => ({
  name: [`GET ${path}`, ...headers].join(', '),
  send: [[`GET ${path} HTTP/1.1`, 'Host: example.test', ...headers, '', ''].join('\r\n')],
});
const post = (name, path, headers, ...pieces) => ({
  name,
  send: [[`POST ${path} HTTP/1.1`, 'Host: example.test', ...headers, '', ''].join('\r\n'), ...pieces],
});
const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;

function requests() {
  const { paths: known, echo: target, file } = application;
  const form = 'Content-Type: application/x-www-form-urlencoded';
  return [
    ...known.map((path) => get(path)),
    ...known.map((path) => ({ name: `HEAD ${path}`, isHead: true, send: [get(path).send[0].replace('GET', 'HEAD')] })),
    get('/?a=b%20c&q=%C3%A9'),
    get('/', 'Cookie: a=1; b=2'),
    get('/no-such-page'),
    get('/%2e%2e/secret'),
    get(file, 'Range: bytes=2-9'),
    get(file, 'Range: bytes=900000-'),
    get(file, 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT'),
    { name: 'a head in pieces', send: ['GE', 'T / HTTP/1.1\r\nHo', 'st: example.test\r\n', '\r\n'] },
    { name: 'two on one connection', count: 2, send: [get('/?n=1').send[0], get('/?n=2').send[0]] },
    { name: 'OPTIONS', send: ['OPTIONS / HTTP/1.1\r\nHost: example.test\r\n\r\n'] },
    { name: 'DELETE', send: [`DELETE ${target} HTTP/1.1\r\nHost: example.test\r\n\r\n`] },
    post('a form', target, [form, 'Content-Length: 7'], 'a=1&b=2'),
    post('a body in pieces', target, [form, 'Content-Length: 7'], 'a=1', '&b', '=2'),
    post(
      'a chunked body',
      target,
      ['Content-Type: text/plain', 'Transfer-Encoding: chunked'],
      chunk('hello '),
      chunk('world'),
      '0\r\n\r\n',
    ),
    post(
      'an upload of 300 000 bytes',
      target,
      ['Content-Type: application/octet-stream', 'Content-Length: 300000'],
      'x'.repeat(300_000),
    ),
    post('an empty body', target, ['Content-Length: 0']),
    { name: 'no Host', send: ['GET / HTTP/1.1\r\n\r\n'] },
    { name: 'a length that is none', send: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n'] },
  ];
}

/** What an answer is compared by: status, headers of the message, and the body without its framing. */
async function ask(port, { send, isHead = false, count = 1 }) {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay();
  let bytes = Buffer.alloc(0);
  let wake = () => {};
  let isOver = false;
  socket.on('data', (more) => ((bytes = Buffer.concat([bytes, more])), wake()));
  socket.on('error', () => ((isOver = true), wake()));
  socket.on('close', () => ((isOver = true), wake()));
  socket.on('end', () => ((isOver = true), wake()));
  const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
  for (const piece of send) {
    socket.write(Buffer.from(piece, 'latin1'));
    // So that it is a piece of its own.
    await new Promise((next) => setTimeout(next, 20));
  }
  const answers = [];
  while (answers.length < count) {
    const [answer, rest] = parse(bytes, isOver, isHead);
    if (answer !== null) {
      answers.push(answer);
      bytes = rest;
    } else if (isOver) {
      answers.push({ status: 'none', headers: {}, body: '' });
    } else await new Promise((next) => (wake = next));
  }
  clearTimeout(timer);
  socket.destroy();
  return answers;
}

function parse(bytes, isOver, isHead) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return [null];
  const [line, ...fields] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(line.split(' ')[1]);
  const headers = {};
  for (const field of fields) {
    const at = field.indexOf(':');
    const name = field.slice(0, at).toLowerCase();
    headers[name] = [...(headers[name] ?? []), field.slice(at + 1).trim()];
  }
  const rest = bytes.subarray(end + 4);
  const answer = (body, left) => [{ status, headers, body: body.toString('latin1') }, left];
  if (isHead || status === 204 || status === 304) return answer(Buffer.alloc(0), rest);
  if (headers['content-length'] !== undefined) {
    const length = Number(headers['content-length'][0]);
    return rest.length >= length || isOver ? answer(rest.subarray(0, length), rest.subarray(length)) : [null];
  }
  if (headers['transfer-encoding'] === undefined) return isOver ? answer(rest, Buffer.alloc(0)) : [null];
  const chunks = [];
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return isOver ? answer(Buffer.concat(chunks), Buffer.alloc(0)) : [null];
    const length = Number.parseInt(rest.subarray(at, lineEnd).toString('latin1'), 16);
    if (rest.length < lineEnd + 2 + length + 2) return isOver ? answer(Buffer.concat(chunks), Buffer.alloc(0)) : [null];
    if (length === 0) return answer(Buffer.concat(chunks), rest.subarray(lineEnd + 4));
    chunks.push(rest.subarray(lineEnd + 2, lineEnd + 2 + length));
    at = lineEnd + 2 + length + 2;
  }
}

/** Of the connection, of its moment, and of the server itself. */
const OWN = new Set(['connection', 'keep-alive', 'date', 'server', 'transfer-encoding', 'expires']);

function differences(own, core) {
  const found = [];
  if (own.status !== core.status) found.push(['status', own.status, core.status]);
  // Of what a server has refused, or says of a failure, the page is its own.
  if (own.status !== core.status || own.status === 400 || own.status >= 500) return found;
  for (const name of new Set([...Object.keys(own.headers), ...Object.keys(core.headers)])) {
    if (OWN.has(name)) continue;
    const [left, right] = [own, core].map(({ headers }) => inOrder(name, headers[name])?.join(' | '));
    // A body that is whole has a length here, and may have none there.
    if (left !== right && !(name === 'content-length' && left === undefined)) found.push([name, left, right]);
  }
  if (own.body !== core.body) found.push(['body', own.body.slice(0, 200), core.body.slice(0, 200)]);
  return found;
}

/** The order of methods means nothing; Python's sets have one of each process. */
function inOrder(name, values) {
  return name === 'allow' ? values?.map((value) => value.split(/, */).toSorted().join(', ')) : values;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function start(command) {
  const port = await freePort();
  const { args, env, cwd } = command(port);
  const child = spawn(args[0], args.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text) => (said = (said + text).slice(-4000)));
  const deadline = Date.now() + START_MS;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await new Promise((tell) => socket.once('connect', () => tell(true)).once('error', () => tell(false)));
    socket.destroy();
    if (isUp) return { port, child };
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`${args.join(' ')} does not listen:\n${said}`);
    await new Promise((next) => setTimeout(next, 100));
  }
}

const exceptions = JSON.parse(readFileSync(new URL('compare-exceptions.json', import.meta.url), 'utf8'))[kind] ?? {};
const met = new Set();
let count = 0;
let unexpected = 0;
const running = [];
try {
  for (const command of application.commands) running.push(await start(command));
  // The first answers of some frameworks depend on what they have compiled and cached by then.
  for (const { port } of running) for (const request of requests()) await ask(port, request);
  for (const request of requests()) {
    const [own, core] = await Promise.all(running.map(({ port }) => ask(port, request)));
    count += 1;
    for (const [index, answer] of own.entries()) {
      for (const [what, left, right] of differences(answer, core[index])) {
        const title = `${request.name}: ${what}`;
        if (title in exceptions) {
          met.add(title);
          continue;
        }
        unexpected += 1;
        console.error(`✗ ${title}\n    own server: ${JSON.stringify(left)}\n    gwanmun:    ${JSON.stringify(right)}`);
      }
    }
  }
} finally {
  for (const { child } of running) child.kill('SIGTERM');
}
const stale = kind === 'node' ? [] : Object.keys(exceptions).filter((title) => !met.has(title));
for (const title of stale)
  console.error(`✗ this does not differ any more; take it out of compare-exceptions.json:\n    ${title}`);
console.log(`${count} requests, ${met.size} known differences, ${unexpected} others`);
process.exitCode = unexpected + stale.length === 0 ? 0 : 1;
