// What tests connect with: TCP, or TLS over it if GWANMUN_TEST_TLS is set.

import { request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { CERT } from './certificate.mjs';

/** Tests run over TLS. */
export const OVER_TLS = process.env.GWANMUN_TEST_TLS === '1';

/** Of URLs. */
export const SCHEME = OVER_TLS ? 'https' : 'http';

/** The event that tells that a socket of {@link connectTo} can be used. */
export const CONNECTED = OVER_TLS ? 'secureConnect' : 'connect';

/** The sockets below those of TLS. */
const below = new WeakMap<Socket, Socket>();

/** A socket whose bytes are the server's. */
export function connectTo(options: NetConnectOpts): Socket {
  const socket = connect(options);
  if (!OVER_TLS || 'path' in options) return socket;
  const secured = connectTls({ socket, ca: CERT, servername: 'localhost', ALPNProtocols: ['http/1.1'] });
  secured.allowHalfOpen = options.allowHalfOpen === true;
  below.set(secured, socket);
  return secured;
}

/** Ends a connection without a word. */
export function reset(socket: Socket): void {
  (below.get(socket) ?? socket).resetAndDestroy();
}

/** `request` of node:http or node:https. */
export function request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest {
  if (!OVER_TLS) return httpRequest(options, onResponse);
  return httpsRequest({ ...options, ca: CERT, servername: 'localhost' }, onResponse);
}

/** The status of a request on a connection of its own. */
export function getStatus(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    asking.on('error', reject).end();
  });
}
