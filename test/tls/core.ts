// A core that speaks TLS, as the main process makes it, without the rest.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoreClients, CoreTls } from '../../src/config/core.js';
import { loadNative, type NativeCore } from '../../src/native.js';

/** A certificate with its key, both PEM. */
export interface Issued {
  label: string;
  cert: string;
  key: string;
  isDefault: boolean;
}

/** Makes a self-signed certificate. */
export function issue(names: string[], { algorithm = 'ec', isDefault = false } = {}): Issued {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-tls-'));
  const key = algorithm === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['rsa:2048'];
  const san = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  // prettier-ignore
  execFileSync('openssl', ['req', '-x509', '-nodes', '-days', '30', '-subj', '/CN=test', '-newkey', ...key,
    '-keyout', keyFile, '-out', certFile, '-addext', `subjectAltName=${san}`], { stdio: 'ignore' });
  const issued = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  rmSync(folder, { recursive: true });
  return { label: names.join(), ...issued, isDefault };
}

interface Listener {
  kind: 'tcp';
  host: string;
  port: number;
  tls?: boolean;
  redirect?: number;
}

export class TlsCore implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-tls-core-'));
  readonly core: NativeCore;
  readonly ports: number[];
  private readonly certificates: Issued[];
  private clients: CoreClients | undefined;
  private readonly closed: Promise<void>;

  constructor(
    certificates: Issued[],
    config: Record<string, unknown> = {},
    listen?: Listener[],
    clients?: CoreClients,
  ) {
    this.certificates = certificates;
    this.clients = clients;
    writeFileSync(join(this.folder, 'small.txt'), 'small');
    writeFileSync(join(this.folder, 'large.bin'), Buffer.alloc(5_000_000, 'gwanmun '));
    let resolve = (): void => {};
    this.closed = new Promise((done) => (resolve = done));
    const { Core } = loadNative();
    const tls: CoreTls = { certificates, ...(clients === undefined ? {} : { clients }) };
    this.core = new Core(JSON.stringify(this.config(config, listen)), tls, (event: string) => {
      if (event.includes('"closed"')) resolve();
    });
    this.ports = (JSON.parse(this.core.addresses()) as Listener[]).map(({ port }) => port);
  }

  get port(): number {
    return this.ports[0] as number;
  }

  /** A configuration that differs in this. */
  config(config: Record<string, unknown> = {}, listen?: Listener[]): Record<string, unknown> {
    return {
      threads: 2,
      listen: listen ?? [{ kind: 'tcp', host: '127.0.0.1', port: 0, tls: true }],
      mounts: [{ path: '/', files: { root: this.folder, index: [] } }],
      pools: [],
      // prettier-ignore
      limits: { requestLine: 8192, headerBytes: 8192, headerCount: 100, body: 1_000_000, bodyInMemory: 0, minRate: 240 },
      timeouts: { headerMs: 10_000, bodyMs: 10_000, keepAliveMs: 10_000, writeMs: 10_000 },
      serverHeader: null,
      accessLog: { format: 'json', color: false, file: join(this.folder, 'access.log') },
      errorLog: { file: join(this.folder, 'error.log'), level: 'debug' },
      tempDir: this.folder,
      multiprocess: false,
      ...config,
    };
  }

  /** Asks new clients for something else. */
  ask(change: Partial<CoreClients>): void {
    this.clients = { ca: '', isRequired: true, ...this.clients, ...change };
    this.core.setCertificates({ certificates: this.certificates, clients: this.clients });
  }

  log(name: 'access' | 'error'): string {
    return readFileSync(join(this.folder, `${name}.log`), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.core.close(0);
    await this.closed;
    this.core.dispose();
    rmSync(this.folder, { recursive: true });
  }
}
