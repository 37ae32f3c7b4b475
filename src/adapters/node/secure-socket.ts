import { X509Certificate } from 'node:crypto';
import type { CipherNameAndProtocol, DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { connectionVariables } from '../../gateway/connection.js';
import { RequestSocket, type SocketOwner } from './socket.js';

/** What stands in for the `tls.TLSSocket` of a request that came over TLS, as far as a handler asks it. */
export class SecureRequestSocket extends RequestSocket {
  readonly encrypted = true;
  readonly #tail: string | undefined;
  #variables: Readonly<Record<string, string>> | undefined;
  #certificate: X509Certificate | undefined;

  /** `tail`: what the core says of the connection. Undefined: it is a trusted proxy that the client has come to over TLS. */
  constructor(owner: SocketOwner, tail: string | undefined) {
    super(owner);
    this.#tail = tail;
  }

  /** The client has a certificate, and an authority vouches for it. */
  get authorized(): boolean {
    return this.#get('SSL_CLIENT_VERIFY') === 'SUCCESS';
  }

  /** The core lets no client in whose certificate is not good. */
  get authorizationError(): null {
    return null;
  }

  get servername(): string | false {
    return this.#get('SSL_TLS_SNI') ?? false;
  }

  get alpnProtocol(): string | false {
    return this.#get('SSL_ALPN_PROTOCOL') ?? false;
  }

  getProtocol(): string | null {
    return this.#get('SSL_PROTOCOL') ?? null;
  }

  getCipher(): CipherNameAndProtocol | null {
    const name = this.#get('SSL_CIPHER');
    return name === undefined ? null : { name, standardName: standardName(name), version: this.getProtocol() ?? '' };
  }

  isSessionReused(): boolean {
    return this.#get('SSL_SESSION_RESUMED') === 'Resumed';
  }

  /** Empty if the client has none. The certificates that were sent with it are not there. */
  getPeerCertificate(detailed?: false): PeerCertificate;
  getPeerCertificate(detailed: true): DetailedPeerCertificate;
  getPeerCertificate(): PeerCertificate {
    return this.getPeerX509Certificate()?.toLegacyObject() ?? ({} as PeerCertificate);
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    const pem = this.#get('SSL_CLIENT_CERT');
    return pem === undefined ? undefined : (this.#certificate ??= new X509Certificate(pem));
  }

  #get(name: string): string | undefined {
    this.#variables ??= connectionVariables(this.#tail ?? '');
    return this.#variables[name];
  }
}

/** The name of the RFCs for OpenSSL's: TLS 1.3's are the same in both. */
function standardName(name: string): string {
  if (name.startsWith('TLS_')) return name;
  const [, key, cipher] = /^(ECDHE-[A-Z]+)-(.+)$/.exec(name) ?? [];
  if (key === undefined || cipher === undefined) return name;
  const suite = cipher.startsWith('CHACHA20') ? `${cipher}-SHA256` : cipher.replace('AES', 'AES-');
  return `TLS-${key}-WITH-${suite}`.replaceAll('-', '_');
}
