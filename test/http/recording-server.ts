// A real server in this process whose application writes down every request that reaches it.

import { expect } from 'vitest';
import { serve, type Application, type Server, type ServeOptions } from '../../dist/index.js';
import { header, RawClient, type Response } from './raw-client.js';

/** A request as the application saw it. */
export interface Seen {
  method: string;
  uri: string;
  /** The environ's values that are strings. */
  environ: Record<string, string>;
  body: Buffer;
}

export interface RecordingServer extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  readonly seen: Seen[];
  connect(): Promise<RawClient>;
  /** Sends one request on a connection of its own, and reads the answer. */
  ask(request: string, method?: string): Promise<Response>;
}

export interface RecordingOptions extends Omit<ServeOptions, 'application'> {
  /** Answers after the request has been written down. Default: `seen`. */
  answer?: Application;
}

/** Starts a server on a free port. */
export async function record({ answer = text, ...options }: RecordingOptions = {}): Promise<RecordingServer> {
  const seen: Seen[] = [];
  const application: Application = (environ, startResponse) => {
    const strings = Object.entries(environ).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
    seen.push({
      method: environ.REQUEST_METHOD,
      uri: environ.REQUEST_URI,
      environ: Object.fromEntries(strings),
      body: Buffer.from(environ['wsgi.input'].bytes()),
    });
    return answer(environ, startResponse);
  };
  const mounts = options.mounts?.map((mount) => ({ application, ...mount }));
  const server = await serve({
    errorLog: { file: '/dev/null' },
    port: 0,
    ...options,
    ...(mounts === undefined ? { application } : { mounts }),
  });
  const port = server.port as number;
  const connect = (): Promise<RawClient> => RawClient.connect({ port });
  return {
    server,
    port,
    seen,
    connect,
    async ask(request, method) {
      const client = await connect();
      await client.send(request);
      const response = await client.response(method);
      client.close();
      return response;
    },
    [Symbol.asyncDispose]: () => server.close({ graceMs: 0 }),
  };
}

/** The request that must never be executed: it follows every refused one. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: inside\r\n\r\n';

/** A refused request: one answer with `status`, Connection: close, the end; then the server goes on. */
export async function expectRefused(
  target: RecordingServer,
  pieces: string | readonly (string | Uint8Array)[],
  status: number | readonly number[],
): Promise<void> {
  const executed = target.seen.length;
  const client = await target.connect();
  for (const piece of typeof pieces === 'string' ? [pieces] : pieces) await client.send(piece);
  await expectRefusal(client, status);
  client.close();
  expect(target.seen.slice(executed).map(({ method, uri }) => `${method} ${uri}`)).toEqual([]);
  await expectAlive(target);
  expect(target.seen.map(({ uri }) => uri)).not.toContain('/smuggled');
}

/** The rest of a connection is one answer with `status` that announces its end. */
export async function expectRefusal(client: RawClient, status: number | readonly number[]): Promise<void> {
  const response = await client.response();
  expect([status].flat()).toContain(response.status);
  expect(header(response, 'connection')).toBe('close');
  expect(response.framing).toBe('length');
  expect(await client.closed()).toBe('end');
}

/** The server answers the next connection. */
export async function expectAlive(target: RecordingServer): Promise<void> {
  const response = await target.ask('GET /alive HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(response.status).toBe(200);
  // Requests of other connections may come at any time.
  const at = target.seen.findLastIndex(({ uri }) => uri === '/alive');
  expect(at).not.toBe(-1);
  target.seen.splice(at, 1);
}

/** What the last request was. */
export function last(target: RecordingServer): Seen {
  return target.seen.at(-1) as Seen;
}

/** A request with a Host. */
export function request(line: string, ...headers: string[]): string {
  return [`${line} HTTP/1.1`, 'Host: a', ...headers, '', ''].join('\r\n');
}

const text: Application = (_environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return 'seen';
};
