// The certificate that every server of a run shows, and how clients speak TLS with it: all the same way.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { scratch } from './process.mjs';

/**
 * Paths of PEM files.
 * @typedef {object} Certificate
 * @property {string} cert
 * @property {string} key
 * @property {string} both one file with both
 */

/** What browsers offer first. */
/** @type {import('node:tls').SecureVersion} */
const VERSION = 'TLSv1.3';
const SUITE = 'TLS_AES_128_GCM_SHA256';
const GROUP = 'X25519';

/** @type {Certificate | undefined} */
let made;

/** ECDSA P-256, signed by itself; made when it is first wanted. @returns {Certificate} */
export function certificate() {
  if (made) return made;
  const [cert, key, both] = ['cert.pem', 'key.pem', 'both.pem'].map((name) => join(scratch, name));
  const kind = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost';
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  try {
    execFileSync('openssl', ['req', '-x509', ...kind.split(' '), ...names, '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    });
  } catch (error) {
    const why = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : 'it is not installed';
    throw new Error(`no certificate could be made with openssl: ${why}`, { cause: error });
  }
  writeFileSync(both, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'));
  made = { cert, key, both };
  return made;
}

/** What a command with OpenSSL in it is started with, so that it speaks what is measured. @returns {string[]} */
export function openSsl() {
  const file = join(scratch, 'openssl.cnf');
  const settings = `MinProtocol = ${VERSION}\nCiphersuites = ${SUITE}\nGroups = ${GROUP}\n`;
  writeFileSync(file, `openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n${settings}`);
  return ['env', `OPENSSL_CONF=${file}`];
}

/** For Node: what a client asks for. */
export function clientOptions() {
  return {
    ca: readFileSync(certificate().cert, 'utf8'),
    minVersion: VERSION,
    ciphers: SUITE,
    ecdhCurve: GROUP,
  };
}

/**
 * A connection to a server of this run. Its errors are the socket's.
 * @param {number} port
 * @param {boolean} secure
 * @returns {import('node:net').Socket}
 */
export function connectTo(port, secure) {
  if (!secure) return connectPlain(port, '127.0.0.1');
  const socket = connectTls({ ...clientOptions(), port, host: '127.0.0.1' });
  socket.on('secureConnect', () => {
    const spoken = `${socket.getProtocol()} with ${socket.getCipher().name}`;
    if (spoken !== `${VERSION} with ${SUITE}`) socket.destroy(new Error(`it speaks ${spoken}`));
  });
  return socket;
}
