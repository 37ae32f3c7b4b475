// A server in this process for one Node handler.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { serve, type Server, type ServeOptions } from '../../dist/index.js';
import { RawClient, type Response } from '../http/raw-client.js';

export interface NodeServer extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  connect(): Promise<RawClient>;
  /** Sends one request on a connection of its own, and reads the answer. */
  ask(request: string, method?: string): Promise<Response>;
}

/** Starts a server for a handler on a free port. */
export async function serving(
  node: (request: IncomingMessage, response: ServerResponse) => unknown,
  options: ServeOptions = {},
): Promise<NodeServer> {
  const server = await serve({ errorLog: { file: '/dev/null' }, port: 0, threads: 1, node, ...options });
  const port = server.port as number;
  const connect = (): Promise<RawClient> => RawClient.connect({ port });
  return {
    server,
    port,
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

/** A request with a Host. */
export function request(line: string, ...headers: string[]): string {
  return [`${line} HTTP/1.1`, 'Host: a', ...headers, '', ''].join('\r\n');
}
