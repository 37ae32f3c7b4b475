// Requests to an authority: with a deadline, bounded, over the proxy of the environment, and with a root of its own if it has one.

import { request as plainRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { Socket } from 'node:net';
import { connect, rootCertificates } from 'node:tls';
import { VERSION } from '../config/version.js';

export interface FetchRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface FetchResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Rejects with what Node says if nothing came back. */
export type Fetch = (request: FetchRequest) => Promise<FetchResponse>;

const DEADLINE_MS = 30_000;
const MOST_BYTES = 1_048_576;

/** `ca`: PEM of roots that this authority's own server may have, beside the public ones. */
export function fetchWith(ca: string | undefined, env: NodeJS.ProcessEnv = process.env): Fetch {
  return async ({ method, url, headers = {}, body, signal }) => {
    const target = new URL(url);
    if (target.protocol !== 'https:') throw new Error(`${url} is no https: address`);
    const until = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    const tls = ca === undefined ? {} : { ca: [...rootCertificates, ca] };
    const proxy = proxyFor(target, env);
    const options: RequestOptions = {
      method,
      headers: {
        'user-agent': `gwanmun/${VERSION}`,
        ...headers,
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
      signal: until,
    };
    try {
      const socket = proxy && (await tunnel(proxy, target, until));
      const own =
        socket === undefined
          ? {}
          : { createConnection: () => connect({ ...tls, socket, servername: target.hostname }), agent: false as const };
      return await new Promise<FetchResponse>((resolve, reject) => {
        const request = secureRequest(target, { ...options, ...tls, ...own, agent: false }, (response) => {
          read(response).then(resolve, reject);
        });
        request.on('error', reject);
        request.end(body);
      });
    } catch (error) {
      if (!signal.aborted && until.aborted) {
        throw new Error(`${target.host} has not answered for 30 s`, { cause: error });
      }
      throw error;
    }
  };
}

async function read(response: IncomingMessage): Promise<FetchResponse> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MOST_BYTES) {
      response.destroy();
      throw new Error(`the answer has more than ${MOST_BYTES} bytes`);
    }
    parts.push(part);
  }
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
  return { status: response.statusCode ?? 0, headers, body: Buffer.concat(parts).toString('utf8') };
}

/** As curl has it. */
function proxyFor({ hostname }: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const proxy = env['https_proxy'] || env['HTTPS_PROXY'];
  if (proxy === undefined || proxy === '') return undefined;
  const none = (env['no_proxy'] ?? env['NO_PROXY'] ?? '').split(',').map((name) => name.trim().replace(/^\./, ''));
  const isNone = none.some(
    (name) => name === '*' || (name !== '' && (hostname === name || hostname.endsWith(`.${name}`))),
  );
  return isNone ? undefined : new URL(proxy.includes('://') ? proxy : `http://${proxy}`);
}

function tunnel(proxy: URL, target: URL, signal: AbortSignal): Promise<Socket> {
  const host = `${target.hostname}:${target.port || 443}`;
  const { username, password } = proxy;
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  return new Promise((resolve, reject) => {
    const request = plainRequest({
      host: proxy.hostname,
      port: proxy.port || 80,
      method: 'CONNECT',
      path: host,
      headers: { host, ...(username === '' ? {} : { 'proxy-authorization': `Basic ${login}` }) },
      agent: false,
      signal,
    });
    request.on('connect', ({ statusCode }, socket) => {
      if (statusCode === 200) return resolve(socket as Socket);
      socket.destroy();
      reject(new Error(`the proxy ${proxy.host} answered ${statusCode}`));
    });
    request.on('response', ({ statusCode }) => {
      request.destroy();
      reject(new Error(`the proxy ${proxy.host} answered ${statusCode}`));
    });
    request.on('error', reject);
    request.end();
  });
}
