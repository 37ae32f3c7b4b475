// Certificates are swapped, by their files and by reloads, and workers are killed, while clients come without a pause: no handshake fails, every
// connection gets one of the certificates, and the last swap is the one that is served.

import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { startServer } from './server.mjs';

const CLIENTS = 8;
/** As many as are made: the swaps go round. */
const CERTIFICATES = 5;
/** Files count when they have been quiet for a second. */
const SWAP_MS = 1200;

const APP = `export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return 'ok';
}
`;

/** @param {{ requests: number }} options */
export async function certificates({ requests }) {
  const made = makeCertificates();
  const swaps = Math.max(3, Math.round(requests / 100));
  const server = await startServer({
    app: APP,
    files: { 'site.pem': made[0].cert, 'site-key.pem': made[0].key },
    config: { tls: { cert: './site.pem', key: './site-key.pem' }, workers: 2 },
  });
  /** @type {string[]} */
  const failures = [];
  const served = new Set();
  let handshakes = 0;
  let swapped = 0;
  const over = new AbortController();
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!over.signal.aborted || handshakes < requests) {
      try {
        served.add(await handshake(server.port));
        handshakes += 1;
      } catch (error) {
        failures.push(String(error));
        if (failures.length > 100) break;
      }
    }
  });
  let current = 0;
  while (swapped < swaps) {
    current = (current + 1) % made.length;
    const { cert, key } = made[current];
    for (const [name, text] of /** @type {const} */ ([
      ['site-key.pem', key],
      ['site.pem', cert],
    ])) {
      writeFileSync(join(server.folder, `${name}.new`), text, { mode: 0o600 });
      renameSync(join(server.folder, `${name}.new`), join(server.folder, name));
    }
    if (swapped % 2 === 1) server.kill('SIGHUP');
    if (swapped % 5 === 4) killWorker(server.pid);
    swapped += 1;
    await new Promise((resolve) => setTimeout(resolve, SWAP_MS));
  }
  over.abort();
  await Promise.all(clients);
  const last = await handshake(server.port);
  const end = await server.stop();
  const known = new Set(made.map(({ cert }) => new X509Certificate(cert).fingerprint256));
  const faults = [];
  if (failures.length > 0) faults.push(`${failures.length} handshakes failed: ${failures[0]}`);
  if ([...served].some((one) => !known.has(one))) faults.push('a certificate was served that nobody had made');
  if (served.size < Math.min(made.length, swaps))
    faults.push(`only ${served.size} of ${made.length} certificates were served`);
  if (last !== new X509Certificate(made[current].cert).fingerprint256)
    faults.push('the last certificate is not served');
  if (/cannot be used|reload failed/.test(server.log)) faults.push('a certificate was refused');
  if (end !== 0) faults.push(`the server ended with ${end}`);
  return { facts: { handshakes, failed: failures.length, swaps, served: served.size }, faults, log: server.log };
}

/** A handshake, a request and its answer; gives the certificate's fingerprint. @param {number} port */
async function handshake(port) {
  const socket = connect({ port, host: '127.0.0.1', servername: 'site.test', rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    const { fingerprint256 = '' } = socket.getPeerCertificate();
    socket.write('GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const part of socket.setEncoding('latin1')) text += part;
    // A worker that was killed had begun it: no matter of TLS.
    if (!/^HTTP\/1\.1 (?:200|502) /.test(text)) throw new Error(`answered ${JSON.stringify(text.slice(0, 40))}`);
    return fingerprint256;
  } finally {
    socket.destroy();
  }
}

/** Ends one of a server's workers. @param {number} pid */
function killWorker(pid) {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (!readFileSync(`/proc/${name}/status`, 'utf8').includes(`\nPPid:\t${pid}\n`)) continue;
      process.kill(Number(name), 'SIGKILL');
      return;
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** @returns {{ cert: string, key: string }[]} */
function makeCertificates() {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-certificates-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const command = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=site.test -addext subjectAltName=DNS:site.test -out ${cert} -keyout ${key}`;
  try {
    return Array.from({ length: CERTIFICATES }, () => {
      execFileSync('openssl', command.split(' '), { stdio: 'ignore' });
      return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
