// pebble, the small authority that Let's Encrypt tests clients with, and the DNS beside it, in which every name leads to 127.0.0.1.

import { spawn, type ChildProcess } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { createSocket } from 'node:dgram';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fetchWith } from '../../src/acme/fetch.js';
import { issue } from '../tls/core.js';

function program(name: string): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    process.env['GOBIN'] ?? '',
    join(homedir(), 'go/bin'),
  ];
  return folders.map((folder) => join(folder, name)).find((path) => path.startsWith('/') && existsSync(path));
}

const PEBBLE = program('pebble');
const DNS = program('pebble-challtestsrv');
export const hasPebble = PEBBLE !== undefined && DNS !== undefined;
if (!hasPebble) {
  process.stderr.write(
    'skipped: tests against an ACME authority; for them: go install github.com/letsencrypt/pebble/v2/cmd/{pebble,pebble-challtestsrv}@latest\n',
  );
}

export interface PebbleOptions {
  /** Where names are proved. */
  readonly http: number;
  readonly tls: number;
  /** Percent. */
  readonly badNonces?: number;
  /** Seconds that it takes to look whether a name is proved. */
  readonly slow?: number;
  readonly externalAccounts?: Record<string, string>;
  readonly profiles?: Record<string, { description: string; validityPeriod: number }>;
}

export class Pebble implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-pebble-'));
  readonly ca: string;
  readonly #port: number;
  readonly #management: number;
  readonly #dnsManagement: number;
  readonly #options: PebbleOptions;
  readonly #dnsPort: number;
  #pebble: ChildProcess | undefined;
  #dns: ChildProcess | undefined;
  log = '';

  private constructor(options: PebbleOptions, ports: number[]) {
    this.#options = options;
    const [port = 0, management = 0, dnsPort = 0, dnsManagement = 0] = ports;
    this.#port = port;
    this.#management = management;
    this.#dnsPort = dnsPort;
    this.#dnsManagement = dnsManagement;
    const { cert, key } = issue(['localhost', '127.0.0.1']);
    this.ca = cert;
    writeFileSync(join(this.folder, 'cert.pem'), cert);
    writeFileSync(join(this.folder, 'key.pem'), key);
    const { http, tls, externalAccounts, profiles } = options;
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(this.folder, 'cert.pem'),
      privateKey: join(this.folder, 'key.pem'),
      httpPort: http,
      tlsPort: tls,
      ocspResponderURL: '',
      externalAccountBindingRequired: externalAccounts !== undefined,
      externalAccountMACKeys: externalAccounts ?? {},
      domainBlocklist: ['blocked.example'],
      retryAfter: { authz: 1, order: 1 },
      keyAlgorithm: 'ecdsa',
      profiles: profiles ?? {
        default: { description: 'the usual one', validityPeriod: 7_776_000 },
        shortlived: { description: 'six days', validityPeriod: 518_400 },
      },
    };
    writeFileSync(join(this.folder, 'pebble.json'), JSON.stringify({ pebble }));
  }

  static async start(options: PebbleOptions): Promise<Pebble> {
    const ports = await Promise.all([freePort(), freePort(), freeDnsPort(), freePort()]);
    const own = new Pebble(options, ports);
    await own.begin();
    return own;
  }

  /** Also after {@link Pebble.end}: it has forgotten everything then. */
  async begin(): Promise<void> {
    // prettier-ignore
    this.#dns = spawn(DNS as string, ['-dnsserver', `127.0.0.1:${this.#dnsPort}`, '-management', `127.0.0.1:${this.#dnsManagement}`,
      '-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', '-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', ''], { stdio: 'ignore' });
    // prettier-ignore
    this.#pebble = spawn(PEBBLE as string, ['-config', join(this.folder, 'pebble.json'), '-dnsserver', `127.0.0.1:${this.#dnsPort}`, '-strict'], {
      env: { ...(this.#options.slow === undefined
          ? { PEBBLE_VA_NOSLEEP: '1' }
          : { PEBBLE_VA_SLEEPTIME: String(this.#options.slow) }), PEBBLE_WFE_NONCEREJECT: String(this.#options.badNonces ?? 10), PEBBLE_AUTHZREUSE: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#pebble.stdout, this.#pebble.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    }
    await this.until(/ACME directory available/);
    await this.#resolves();
  }

  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.log)) await once(this.#pebble?.stdout as NonNullable<ChildProcess['stdout']>, 'data');
  }

  /** How often the log says it. */
  count(pattern: RegExp): number {
    return this.log.split('\n').filter((line) => pattern.test(line)).length;
  }

  get directory(): string {
    return `https://localhost:${this.#port}/dir`;
  }

  /** Has a name lead nowhere, or to this machine. */
  async lead(name: string, isHere: boolean): Promise<void> {
    const path = isHere ? 'clear-servfail' : 'set-servfail';
    await this.#ask(`http://127.0.0.1:${this.#dnsManagement}/${path}`, { host: name });
  }

  /** What a certificate's authority suggests for its renewal. */
  async suggest(pem: string, from: Date, to: Date): Promise<void> {
    const response = JSON.stringify({ suggestedWindow: { start: from.toISOString(), end: to.toISOString() } });
    const body = JSON.stringify({ Certificate: pem, ARIResponse: response });
    const url = `https://127.0.0.1:${this.#management}/set-renewal-info/`;
    const answer = await fetchWith(this.ca)({ method: 'POST', url, body, signal: new AbortController().signal });
    if (answer.status !== 200) throw new Error(`pebble: ${answer.status} ${answer.body}`);
  }

  async #ask(url: string, body: unknown): Promise<void> {
    for (;;) {
      try {
        await fetch(url, { method: 'POST', body: JSON.stringify(body) });
        return;
      } catch {
        // It does not listen yet.
        if (this.#dns?.exitCode !== null) throw new Error('the DNS of pebble has ended');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Until its DNS answers. */
  async #resolves(): Promise<void> {
    const resolver = new Resolver({ timeout: 100, tries: 1 });
    resolver.setServers([`127.0.0.1:${this.#dnsPort}`]);
    while (this.#dns?.exitCode === null) {
      try {
        await resolver.resolve4('anybody.example');
        // It asks over TCP as well, which is listened for a moment later.
        const socket = connect(this.#dnsPort, '127.0.0.1');
        await once(socket, 'connect').finally(() => socket.destroy());
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async end(): Promise<void> {
    for (const child of [this.#pebble, this.#dns]) {
      if (child === undefined || child.exitCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    this.log = '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A port that is free for UDP and for TCP. */
async function freeDnsPort(): Promise<number> {
  const port = await freePort();
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  try {
    await once(socket, 'listening');
  } catch {
    return freeDnsPort();
  }
  socket.close();
  await once(socket, 'close');
  return port;
}
