// serve() with HTTPS, as a program has it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Environ, StartResponse } from '../../src/gateway/types.js';
import { serve, type Server, type ServeOptions } from '../../src/serve.js';
import { ask, certificateOf, fingerprint, handshake } from './client.js';
import { made } from './made.js';

let folder: string;
let server: Server | undefined;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'gwanmun-serve-tls-'))));
afterEach(async () => {
  await server?.close({ graceMs: 0 });
  rmSync(folder, { recursive: true });
});

function application(environ: Environ, startResponse: StartResponse): string {
  startResponse('200 OK', [['Seen', `${environ['wsgi.url_scheme']} ${environ['HTTPS']}`]]);
  return '';
}

async function start(options: ServeOptions): Promise<number> {
  server = await serve({ application, port: 0, threads: 1, errorLog: { file: '/dev/null' }, ...options });
  return server.port as number;
}

const a = made(['a.example']);
const b = made(['a.example'], { to: 80 });

test('cert and key may be texts and bytes; the url says https, and so does the environ', async () => {
  const port = await start({ tls: { cert: a.cert, key: Buffer.from(a.key) } });
  expect(server?.url).toBe(`https://127.0.0.1:${port}/`);
  expect(await certificateOf(port)).toBe(fingerprint(a.cert));
  const socket = await handshake(port);
  expect(await ask(socket)).toMatch(/^seen: https on\r$/im);
  socket.destroy();
});

test('T82 setCertificates: new connections get them, old ones go on; a bad one changes nothing', async () => {
  const port = await start({ tls: a });
  const socket = await handshake(port);
  await server?.setCertificates(b);
  expect(await certificateOf(port)).toBe(fingerprint(b.cert));
  expect(await ask(socket)).toMatch(/^HTTP\/1\.1 200 /);
  await expect(server?.setCertificates({ cert: a.cert, key: b.key })).rejects.toMatchObject({
    code: 'GWM_CERT_KEY',
    where: { file: 'setCertificates()', key: 'tls.key' },
  });
  expect(await certificateOf(port)).toBe(fingerprint(b.cert));
  socket.destroy();
});

test('files are watched', async () => {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const put = (own: typeof a): void => {
    writeFileSync(cert, own.cert, { mode: 0o600 });
    writeFileSync(key, own.key, { mode: 0o600 });
  };
  put(a);
  const port = await start({ tls: { cert, key } });
  put(b);
  await vi.waitFor(async () => expect(await certificateOf(port)).toBe(fingerprint(b.cert)), {
    timeout: 8000,
    interval: 50,
  });
});

test('T83 reload takes other certificates, or refuses all of it', async () => {
  const port = await start({ tls: a });
  const options = { application, port, threads: 1 };
  await expect(server?.reload({ ...options, tls: { cert: a.cert, key: b.key } })).rejects.toThrow(/does not belong/);
  expect(await certificateOf(port)).toBe(fingerprint(a.cert));
  await server?.reload({ ...options, tls: b });
  expect(await certificateOf(port)).toBe(fingerprint(b.cert));
});

test('a server without TLS has no certificates to set', async () => {
  await start({});
  await expect(server?.setCertificates(a)).rejects.toThrow('no address of this server speaks TLS');
});

test('what is wrong with a certificate is an error of serve()', async () => {
  await expect(serve({ application, port: 0, tls: { cert: './none.pem' } })).rejects.toMatchObject({
    code: 'GWM_CERT_INVALID',
    where: { file: 'serve()', key: 'tls.cert' },
  });
});
