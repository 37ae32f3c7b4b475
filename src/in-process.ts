// The core with this process's event loop as its worker.

import type { CoreAddress, CoreConfig, CoreEvent, CoreTls } from './config/core.js';
import { fromCore } from './errors.js';
import type { Adapter } from './gateway/adapter.js';
import { Dispatcher } from './gateway/dispatcher.js';
import type { Application } from './gateway/types.js';
import type { CertificateRecord, NativeBinding, NativeCore } from './native.js';

export interface CloseOptions {
  /** How long requests in progress get to finish. Default: `shutdownTimeout`, 10000. */
  graceMs?: number | undefined;
}

/** A server that listens. */
export interface Server extends AsyncDisposable {
  /** Of the first address: `http://127.0.0.1:3000/`, `https://…`, or `unix:/run/site.sock`. */
  readonly url: string;
  /** Of the first TCP address. */
  readonly port: number | undefined;
  readonly addresses: readonly CoreAddress[];
  /**
   * Stops accepting, lets requests in progress finish, and resolves when every connection has ended. Nothing then keeps the
   * process alive. Can be called again.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** The core ends every connection at the end of its grace; this much later it is taken to hang. */
const CLOSE_SLACK_MS = 2000;
/** The longest that a timer takes, and the longest grace: 24 days. */
export const MOST_MS = 2_147_483_647;

type AnyApplication = Application | Adapter;

/** The event loop as a worker of one of the core's pools. */
interface InProcessWorker {
  readonly id: number;
  readonly pool: number;
  readonly dispatcher: Dispatcher;
  readonly applications: readonly AnyApplication[];
  readonly concurrency: number;
}

export class InProcessServer implements Server {
  /** As it was last, once the server is closed. */
  private bound: readonly CoreAddress[];
  private readonly native: NativeBinding;
  private readonly core: NativeCore;
  private readonly graceMs: number;
  private readonly onRefused: (status: number, reason: string) => void;
  private readonly closed: Promise<void>;
  private resolveClosed!: () => void;
  private worker: InProcessWorker | undefined;
  /** Told of events that something waits for. */
  private readonly awaited = new Set<(event: CoreEvent) => void>();
  private closing: Promise<void> | undefined;
  private disposed = false;
  /** It keeps the process alive. */
  private isKept = true;
  /** Without an application there is no link that would keep the process alive. */
  private readonly alive = setInterval(() => {}, MOST_MS);

  /** `onRefused` is told of requests that the core has answered itself, if the configuration has `tellRefusals`. */
  constructor(
    native: NativeBinding,
    config: CoreConfig,
    graceMs: number,
    onRefused: (status: number, reason: string) => void = () => {},
    tls?: CoreTls,
  ) {
    this.onRefused = onRefused;
    this.native = native;
    this.graceMs = graceMs;
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    try {
      this.core = new native.Core(JSON.stringify(config), tls ?? null, (event) =>
        this.onEvent(JSON.parse(event) as CoreEvent),
      );
    } catch (error) {
      clearInterval(this.alive);
      throw fromCore(error);
    }
    this.bound = JSON.parse(this.core.addresses()) as CoreAddress[];
  }

  get addresses(): readonly CoreAddress[] {
    return this.bound;
  }

  get url(): string {
    const [first] = this.addresses;
    if (first === undefined) return '';
    if (first.kind === 'unix') return `unix:${first.path}`;
    const host = first.host.includes(':') ? `[${first.host}]` : first.host;
    return `${first.tls === true ? 'https' : 'http'}://${host}:${first.port}/`;
  }

  get port(): number | undefined {
    return this.addresses.find((address) => address.kind === 'tcp')?.port;
  }

  /** Makes this process's event loop the worker of the core's one pool. */
  attach(applications: readonly AnyApplication[], concurrency: number): void {
    this.worker = this.join(0, applications, concurrency);
  }

  /**
   * Takes over another configuration with other applications. Requests that have begun end as they began; no connection is touched, and
   * no address that both have. Rejects with a GwanmunError if the configuration fails; then nothing has changed.
   */
  async renew(
    config: CoreConfig,
    applications: readonly AnyApplication[],
    concurrency: number,
    tls?: CoreTls,
  ): Promise<void> {
    if (this.closing !== undefined) return;
    let pools: number[];
    try {
      pools = this.core.prepare(JSON.stringify(config), tls);
    } catch (error) {
      throw fromCore(error);
    }
    const old = this.worker;
    const [pool] = pools;
    if (pool === undefined) this.worker = undefined;
    else {
      const next = this.join(pool, applications, concurrency);
      await this.event((event) => event.type === 'worker-ready' && event.worker === next.id);
      this.worker = next;
    }
    this.core.commit();
    this.bound = JSON.parse(this.core.addresses()) as CoreAddress[];
    await this.event((event) => event.type === 'renewed');
    if (old === undefined) return;
    this.core.removeWorker(old.id);
    void this.event((event) => event.type === 'worker-gone' && event.worker === old.id).then(() => {
      if (!this.disposed) this.core.forgetPool(old.pool);
    });
  }

  /** Settles with an event that fits, or when the server is closed. */
  private event(fits: (event: CoreEvent) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (event: CoreEvent): void => {
        if (event.type !== 'closed' && !fits(event)) return;
        this.awaited.delete(look);
        resolve();
      };
      this.awaited.add(look);
    });
  }

  private join(pool: number, applications: readonly AnyApplication[], concurrency: number): InProcessWorker {
    const { id, memory: descriptor, links } = this.core.addWorker(pool);
    const dispatcher = new Dispatcher({
      applications,
      name: `node ${process.versions.node}`,
      concurrency,
      inProcess: true,
      onDrained: () => {},
      native: this.native,
    });
    const memory = this.native.mapMemory(descriptor);
    for (const [slot, fd] of links.entries()) dispatcher.addLink(fd, memory, slot);
    if (!this.isKept) dispatcher.unref();
    dispatcher.ready();
    return { id, pool, dispatcher, applications, concurrency };
  }

  /** New handshakes get these certificates. Throws a GwanmunError if they are refused. */
  useCertificates(tls: CoreTls): void {
    if (this.disposed) return;
    try {
      this.core.setCertificates(tls);
    } catch (error) {
      throw fromCore(error);
    }
  }

  /** What there is to say of the certificates in use. */
  servedCertificates(): readonly CertificateRecord[] {
    return this.disposed ? [] : this.core.certificates();
  }

  /** How many connections there are. */
  get connections(): number {
    if (this.disposed) return 0;
    return (JSON.parse(this.core.status()) as { connections?: number }).connections ?? 0;
  }

  /** Closes the clients' connections, or those on which no request is in progress. */
  closeConnections(idleOnly: boolean): void {
    if (this.disposed) return;
    this.core.closeConnections(idleOnly);
    // While closing, nobody is to come back.
    if (!idleOnly && this.closing !== undefined) this.core.close(0);
  }

  /** Whether the server keeps the process alive. */
  keepAlive(yes: boolean): void {
    this.isKept = yes;
    for (const part of [this.alive, this.core, this.worker?.dispatcher]) {
      if (yes) part?.ref();
      else part?.unref();
    }
  }

  closeOn(signal: AbortSignal): void {
    const close = (): void => void this.close();
    signal.addEventListener('abort', close, { once: true });
    void this.closed.then(() => signal.removeEventListener('abort', close));
  }

  close(options: CloseOptions = {}): Promise<void> {
    return (this.closing ??= this.stop(options.graceMs ?? this.graceMs));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async stop(graceMs: number): Promise<void> {
    this.core.close(graceMs);
    const timer = setTimeout(
      () => {
        this.core.close(0);
        this.resolveClosed();
      },
      Math.min(graceMs + CLOSE_SLACK_MS, MOST_MS),
    );
    await this.closed;
    clearTimeout(timer);
    clearInterval(this.alive);
    // What an application has not answered by now has no client any more.
    this.worker?.dispatcher.close();
    await this.worker?.dispatcher.settle(Math.min(graceMs, MOST_MS));
    this.disposed = true;
    this.core.dispose();
  }

  private onEvent(event: CoreEvent): void {
    for (const look of this.awaited) look(event);
    if (event.type === 'closed') this.resolveClosed();
    else if (event.type === 'refused') this.onRefused(event.status, event.reason);
    else if (event.type === 'worker-gone' && this.closing === undefined && event.worker === this.worker?.id) {
      // As a supervisor would: the core has said in its log what was wrong with the last one.
      const { pool, dispatcher, applications, concurrency } = this.worker;
      dispatcher.close();
      this.worker = this.join(pool, applications, concurrency);
    }
  }
}
