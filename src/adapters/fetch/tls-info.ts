import { connectionVariables, fingerprintOf } from '../../gateway/connection.js';
import type { ClientCertificate, TlsInfo } from './types.js';

/** What a handler is told of a connection, from what the core says of it. */
export function tlsInfoOf(tail: string): TlsInfo {
  const variables = connectionVariables(tail);
  return {
    protocol: variables.SSL_PROTOCOL ?? '',
    cipher: variables.SSL_CIPHER ?? '',
    servername: variables.SSL_TLS_SNI,
    isResumed: variables.SSL_SESSION_RESUMED === 'Resumed',
    clientCertificate: variables.SSL_CLIENT_VERIFY === 'SUCCESS' ? certificateOf(variables) : undefined,
  };
}

function certificateOf(variables: Readonly<Record<string, string>>): ClientCertificate {
  const value = (name: string): string => variables[`SSL_CLIENT_${name}`] ?? '';
  return {
    subject: value('S_DN'),
    issuer: value('I_DN'),
    serialNumber: value('M_SERIAL'),
    validFrom: value('V_START'),
    validTo: value('V_END'),
    fingerprint256: fingerprintOf(value('FINGERPRINT_SHA256')),
    pem: value('CERT'),
  };
}
