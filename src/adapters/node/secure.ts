// `https.Server` on the core: what of its options the core honours, and an error for what it cannot.

import { createPrivateKey } from 'node:crypto';
import type { Server as PlainServer } from 'node:http';
import { Server } from 'node:https';
import type { SecureContextOptions, TlsOptions } from 'node:tls';
import type { CoreClients, CoreTls } from '../../config/core.js';
import { GwanmunError } from '../../errors.js';
import { GatewayServer, secureWith, useCertificates } from './server.js';

/** What `addContext` was given, by server and name. */
const contexts = new WeakMap<Server, Map<string, unknown>>();

/** Makes every `https.Server` of this process listen on the core. */
export function takeOverSecure(): void {
  const { setSecureContext, addContext } = Server.prototype;
  const { constructor: _constructor, ...methods } = Object.getOwnPropertyDescriptors(GatewayServer.prototype);
  Object.defineProperties(Server.prototype, methods as PropertyDescriptorMap);
  Object.assign(Server.prototype, {
    // Also how programs renew certificates.
    setSecureContext(this: Server, options: SecureContextOptions) {
      setSecureContext.call(this, options);
      useCertificates(plain(this), () => certificatesOf(this));
    },
    addContext(this: Server, hostname: string, context: SecureContextOptions) {
      addContext.call(this, hostname, context);
      const known = contexts.get(this) ?? new Map<string, unknown>();
      contexts.set(this, known.set(hostname, context));
      useCertificates(plain(this), () => certificatesOf(this));
    },
  });
  secureWith((server) => {
    if (!((server as unknown) instanceof Server)) return undefined;
    const own = server as unknown as Server;
    refuseOthers(own);
    const minTls = valuesOf(own).minVersion === 'TLSv1.3' ? '1.3' : '1.2';
    return { tls: certificatesOf(own), minTls };
  });
}

/** Node's two classes have nothing in common but `net.Server`; ours is written for one of them. */
function plain(server: Server): PlainServer {
  return server as unknown as PlainServer;
}

type Values = TlsOptions & SecureContextOptions & Record<symbol, unknown>;

/** Node keeps its options as properties, a few of them under symbols. */
function valuesOf(server: Server): Values {
  return server as unknown as Values;
}

/** Options that change what is spoken, each with what is left of them here. */
function refuseOthers(server: Server): void {
  const values = valuesOf(server);
  const named = (name: string): unknown => {
    const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === name);
    return key && values[key];
  };
  const refused: [option: string, isGiven: boolean, remedy: string][] = [
    [
      'pfx',
      values.pfx !== undefined,
      'make PEM files of it: openssl pkcs12 -in site.pfx -nodes -out site.pem; give them as cert and key',
    ],
    [
      'rejectUnauthorized: false',
      values.requestCert === true && values.rejectUnauthorized === false,
      "it lets nobody in whose certificate is not good; where one may be absent, let gwanmun serve: tls: { clientCertificates: { ca, mode: 'optional' } }",
    ],
    [
      'SNICallback',
      named('snicallback') !== undefined,
      'give all certificates from the start, by server.addContext(hostname, { cert, key })',
    ],
    ['ALPNCallback', values.ALPNCallback !== undefined, 'the core speaks HTTP/1.1: leave it out'],
    ['pskCallback', named('pskcallback') !== undefined, 'give a certificate: cert and key'],
    ['ciphers', isSet(values.ciphers), 'the core has its own, all of them with forward secrecy: leave it out'],
    ['sigalgs', isSet(values.sigalgs), 'leave it out'],
    ['ecdhCurve', isSet(values.ecdhCurve) && values.ecdhCurve !== 'auto', 'leave it out'],
    ['dhparam', values.dhparam !== undefined, 'leave it out: keys are agreed on elliptic curves'],
    ['secureOptions', isSet(values.secureOptions), 'minVersion says which versions of TLS are spoken; leave it out'],
    ['secureProtocol', isSet(values.secureProtocol), "write minVersion: 'TLSv1.2' instead"],
    [
      'maxVersion',
      isSet(values.maxVersion) && values.maxVersion !== 'TLSv1.3',
      'TLS 1.3 is always spoken: leave it out',
    ],
    ['privateKeyEngine', isSet(values.privateKeyEngine), 'give the key itself: key'],
  ];
  for (const [option, isGiven, remedy] of refused) if (isGiven) throw refusal(option, remedy);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== '' && value !== 0;
}

function refusal(option: string, remedy: string): GwanmunError {
  const message = `the core cannot honour ${option} of https.createServer`;
  return new GwanmunError('GWM_TLS_OPTION', message, { where: { key: option }, remedy });
}

function certificatesOf(server: Server): CoreTls {
  const { cert, key, passphrase } = valuesOf(server);
  const own = pairsOf({ cert, key, passphrase }).map((pair) => ({
    label: 'https.createServer',
    ...pair,
    isDefault: true,
  }));
  const others = [...(contexts.get(server) ?? [])].flatMap(([hostname, context]) => {
    const options = context as SecureContextOptions;
    if (options.cert === undefined) {
      throw refusal('addContext', 'give it { cert, key } instead of what tls.createSecureContext makes of them');
    }
    return pairsOf(options).map((pair) => ({ label: `addContext(${hostname})`, ...pair, isDefault: false }));
  });
  if (own.length + others.length === 0) {
    throw new GwanmunError('GWM_TLS_OPTION', 'https.createServer has no certificate', {
      where: { key: 'cert' },
      remedy: 'give it cert and key: the texts of PEM files',
    });
  }
  const clients = clientsOf(server);
  return { certificates: [...own, ...others], ...(clients === undefined ? {} : { clients }) };
}

/** Whom to let in: with `requestCert`, who has a certificate of `ca`. */
function clientsOf(server: Server): CoreClients | undefined {
  const { requestCert, ca, crl } = valuesOf(server);
  if (requestCert !== true) return undefined;
  // Node would let in whom any public authority vouches for.
  if (ca === undefined) throw refusal('requestCert', 'name the authorities whose clients are let in: ca');
  const textOfAll = (given: typeof ca): string => listOf(given).map(textOf).join('\n');
  return { ca: textOfAll(ca), ...(crl === undefined ? {} : { crl: textOfAll(crl) }), isRequired: true };
}

/** As Node pairs them: several certificates are for keys of several kinds, in the same order. */
function pairsOf({ cert, key, passphrase }: SecureContextOptions): { cert: string; key: string }[] {
  const certs = listOf(cert).map((one) => textOf(one));
  const keys = listOf(key);
  return certs.map((text, index) => {
    const own = keys.length === 1 ? keys[0] : keys[index];
    return { cert: text, key: own === undefined ? text : keyOf(own, passphrase) };
  });
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : Buffer.from(value as Uint8Array).toString('latin1');
}

function keyOf(own: unknown, passphrase: string | undefined): string {
  const isObject = typeof own === 'object' && own !== null && 'pem' in own;
  const { pem, passphrase: of = passphrase } = isObject ? (own as { pem: unknown; passphrase?: string }) : { pem: own };
  const text = textOf(pem);
  if (of === undefined) return text;
  return createPrivateKey({ key: text, passphrase: of }).export({ type: 'pkcs8', format: 'pem' }) as string;
}
