// Sockets that systemd has bound, which needs no rights for ports 80 and 443: what each speaks is said by the address with its port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { certificateOf, fingerprint } from './client.js';
import { made } from './made.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

async function bound(): Promise<{ socket: Server; port: number; fd: number }> {
  const socket = createServer().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  return { socket, port: (socket.address() as AddressInfo).port, fd };
}

test('one speaks TLS and another redirects, as listen says of their ports', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-activation-'));
  const site = made(['a.example']);
  // In the other order than the configuration has them.
  const [plain, secure] = [await bound(), await bound()];
  const config = {
    listen: [
      { port: secure.port, tls: true },
      { port: plain.port, redirect: 'https' },
    ],
    tls: { cert: './site.pem', key: './site-key.pem' },
    mounts: [{ path: '/', files: '.' }],
  };
  writeFileSync(join(folder, 'gwanmun.config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'site.pem'), site.cert);
  writeFileSync(join(folder, 'site-key.pem'), site.key, { mode: 0o600 });
  const script = 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" "$@"';
  const child = spawn('sh', ['-c', script, process.execPath, MAIN], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', plain.fd, secure.fd],
  });
  // Else this process would accept too.
  for (const { socket } of [plain, secure]) socket.close();
  try {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    await expect.poll(() => said, { timeout: 10_000 }).toContain('listening on');
    expect(said).toContain(`http://127.0.0.1:${plain.port}, https://127.0.0.1:${secure.port}`);
    expect(await certificateOf(secure.port)).toBe(fingerprint(site.cert));
    const location = await new Promise((resolve) => {
      get(
        { port: plain.port, host: '127.0.0.1', path: '/x', headers: { host: 'a.example' }, agent: false },
        (response) => {
          response.resume();
          resolve(response.headers.location);
        },
      );
    });
    expect(location).toBe(`https://a.example:${secure.port}/x`);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
  }
});
