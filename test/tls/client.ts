// Clients for tests of a server's certificates.

import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { X509Certificate } from 'node:crypto';

/** A connection whose handshake is done, whatever the certificate says. */
export async function handshake(port: number, servername = 'a.example'): Promise<TLSSocket> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
  });
  await once(socket, 'secureConnect');
  return socket;
}

/** The certificate that a new connection gets, as PEM tells it apart. */
export async function certificateOf(port: number, servername?: string): Promise<string> {
  const socket = await handshake(port, servername);
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

export function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256;
}

/** Sends a request on a connection, and gives the head of the response when it has come. */
export async function ask(socket: TLSSocket, path = '/', host = 'a.example'): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  let text = '';
  socket.setEncoding('latin1');
  const take = (part: string): void => void (text += part);
  socket.on('data', take);
  while (!text.includes('\r\n\r\n')) await once(socket, 'data');
  socket.off('data', take);
  return text;
}
