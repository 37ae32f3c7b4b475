// `gwanmun fetch /path`: one request to what would be served, by the real server on a free port.

import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { certificateForOneself } from '../certificates/oneself.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { VERSION } from '../config/version.js';
import { GwanmunError } from '../errors.js';
import { Server } from '../supervisor/server.js';
import type { FetchRequest } from './arguments.js';
import { logToStderr } from './serve.js';
import { onStopSignal } from './signals.js';

/** Prints the answer to standard output and returns the exit code: 0, 4 for a 4xx, 5 for a 5xx. Rejects with a GwanmunError. */
export async function fetchOnce(config: ResolvedConfig, request: FetchRequest): Promise<number> {
  const body = readBody(request.data);
  const isSecure = speaksTls(config, request);
  const server = new Server(forOneRequest(config, isSecure), logToStderr);
  // A reader that goes away, as `head` does, has seen enough.
  process.stdout.on('error', () => process.exit(0));
  const unwatch = onStopSignal((signal) => {
    void server.stop(0).then(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  });
  let response: IncomingMessage;
  try {
    const running = await server.start();
    const [address] = running?.addresses ?? [];
    // Stopped by a signal meanwhile: its handler ends the process.
    if (address?.kind !== 'tcp') return await new Promise<never>(() => {});
    response = await ask(address.port, isSecure, request, body);
    await print(response, request);
  } finally {
    unwatch();
    await server.stop();
  }
  // Now that the worker has ended, what it printed is above.
  const { statusCode = 0, statusMessage = '' } = response;
  if (statusCode < 400) return 0;
  if (!request.include) process.stderr.write(`gwanmun: ${statusCode} ${statusMessage}\n`);
  return statusCode < 500 ? 4 : 5;
}

/** As the URL says; else as the addresses do. */
function speaksTls({ listen }: ResolvedConfig, { url }: FetchRequest): boolean {
  const [, scheme] = /^(https?):\/\//i.exec(url) ?? [];
  return scheme === undefined ? listen.some(({ tls }) => tls === true) : scheme.toLowerCase() === 'https';
}

/** TCP and not a Unix socket: environ is then what it will be behind a port. */
function forOneRequest(config: ResolvedConfig, isSecure: boolean): ResolvedConfig {
  return {
    ...config,
    listen: [{ kind: 'tcp', host: '127.0.0.1', port: 0, ...(isSecure ? { tls: true } : {}) }],
    // The certificate is for nobody else: the server's own may be for root alone to read.
    tls: isSecure
      ? { certificates: [certificateForOneself()], minVersion: '1.3', acme: undefined, clients: undefined }
      : undefined,
    hsts: isSecure ? config.hsts : undefined,
    workers: Math.min(config.workers, 1),
    mostWorkers: Math.min(config.workers, 1),
    hooks: {},
    privileges: {},
    threads: 1,
    accessLog: { format: 'off', color: false },
    errorLog: { format: 'text', level: config.errorLog.level, timed: false },
  };
}

function readBody(parts: readonly string[]): Buffer | undefined {
  if (parts.length === 0) return undefined;
  const pieces = parts.map((part) => {
    if (!part.startsWith('@')) return Buffer.from(part);
    const file = part.slice(1);
    try {
      return readFileSync(file === '-' ? 0 : file);
    } catch (error) {
      throw new GwanmunError('GWM_USAGE', `--data: ${file} cannot be read: ${(error as Error).message}`, {
        remedy: "name a file that is there, or write: --data='@…' for a text that begins with @",
        cause: error,
      });
    }
  });
  // As curl does, and as a form's fields are.
  return Buffer.concat(pieces.flatMap((piece, index) => (index === 0 ? [piece] : [Buffer.from('&'), piece])));
}

function ask(
  port: number,
  isSecure: boolean,
  request: FetchRequest,
  body: Buffer | undefined,
): Promise<IncomingMessage> {
  const { host, path } = splitUrl(request.url);
  const method = request.method ?? (body === undefined ? 'GET' : 'POST');
  const type = request.isJson ? 'application/json' : 'application/x-www-form-urlencoded';
  const headers = new Map<string, [name: string, values: string[]]>();
  const set = (name: string, value: string): void => void headers.set(name.toLowerCase(), [name, [value]]);
  set('Host', host ?? `127.0.0.1:${port}`);
  set('User-Agent', `gwanmun/${VERSION}`);
  set('Accept', request.isJson ? 'application/json' : '*/*');
  if (body !== undefined) {
    set('Content-Type', type);
    set('Content-Length', String(body.length));
  }
  const own = new Set<string>();
  for (const header of request.headers) {
    const name = header.slice(0, header.indexOf(':'));
    const value = header.slice(name.length + 1).trim();
    const key = name.toLowerCase();
    if (own.has(key)) headers.get(key)?.[1].push(value);
    else set(name, value);
    own.add(key);
  }
  return new Promise((resolve, reject) => {
    const name = host?.replace(/:\d*$/, '') ?? '';
    const tls = { rejectUnauthorized: false, servername: name === '' || isIP(name) > 0 ? 'localhost' : name };
    const sent = (isSecure ? httpsRequest : httpRequest)({
      ...(isSecure ? tls : {}),
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: Object.fromEntries(
        [...headers.values()].map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
      ),
      agent: false,
    });
    sent.once('response', resolve);
    sent.once('error', (error) => reject(cutOff(request, error)));
    sent.end(body);
  });
}

async function print(response: IncomingMessage, request: FetchRequest): Promise<void> {
  const { statusCode = 0, statusMessage = '', httpVersion, rawHeaders } = response;
  if (request.include) {
    const lines = [`HTTP/${httpVersion} ${statusCode} ${statusMessage}`.trimEnd()];
    for (let index = 0; index < rawHeaders.length; index += 2)
      lines.push(`${rawHeaders[index]}: ${rawHeaders[index + 1]}`);
    process.stdout.write(`${lines.join('\n')}\n\n`);
  }
  try {
    await pipeline(response, process.stdout, { end: false });
  } catch (error) {
    throw cutOff(request, error as Error);
  }
}

function cutOff({ url }: FetchRequest, cause: Error): GwanmunError {
  return new GwanmunError('GWM_FETCH', `The answer to ${url} was cut off: the connection ended before it did`, {
    cause,
  });
}

/** `/a?b` or `http://host/a?b`. What is not allowed in a URL is encoded, so that a path can be typed as it reads. */
function splitUrl(url: string): { host: string | undefined; path: string } {
  const [, host, rest = ''] = /^(?:https?:\/\/([^/?#]*))?([^#]*)/i.exec(url) ?? [];
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return { host, path: path.replaceAll(/[^\x21-\x7e]+/gu, (text) => encodeURIComponent(text)) };
}
