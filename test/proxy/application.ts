// An application of each kind, which says in JSON where it sees a request from.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Environ, FetchInfo, StartResponse } from '../../dist/index.js';

export function application(environ: Environ, startResponse: StartResponse): string {
  startResponse('200 OK', [['Content-Type', 'application/json']]);
  const strings = Object.entries(environ).filter(([, value]) => typeof value === 'string');
  return JSON.stringify(Object.fromEntries(strings));
}

export function fetch(request: Request, info: FetchInfo): Response {
  const { url, headers } = request;
  const { remoteAddress, remotePort, localPort } = info;
  return Response.json({ url, headers: Object.fromEntries(headers), remoteAddress, remotePort, localPort });
}

export default function node(request: IncomingMessage, response: ServerResponse): void {
  const { remoteAddress, remotePort, localPort, encrypted } = request.socket as TLSSocket;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ headers: request.headers, remoteAddress, remotePort, localPort, encrypted }));
}
