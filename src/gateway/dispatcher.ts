import type { AsyncLocalStorage } from 'node:async_hooks';
import type { Adapter } from './adapter.js';
import { contractApplication } from './exchange.js';
import { WorkerLink, type LinkOwner, type RunningRequest } from './link.js';
import type { NativeBinding, NativeLinkConstructor } from '../native.js';
import type { Application } from './types.js';

export interface DispatcherOptions {
  /** By the index that the core uses. A function is an application of the contract. */
  applications: readonly (Application | Adapter)[];
  /** This worker's name for the log, such as `node 20.20.2`. */
  name: string;
  /** Requests that are taken at once, over all links: 1 to 65 535. */
  concurrency: number;
  /** The clients may share this event loop: then a read of a streamed body throws where it would have to block. */
  inProcess?: boolean;
  /** Milliseconds that the reads of one request's streamed body may block. Default: any. */
  patienceMs?: number;
  /** Tells which request the running code belongs to. Default: nothing does. */
  context?: AsyncLocalStorage<RunningRequest>;
  /** In development: shows an error to the client. Default: that is told nothing. */
  errorPage?: LinkOwner['errorPage'];
  /** Every link has closed: the core has no more requests. */
  onDrained: () => void;
  /** The core broke the protocol; `onDrained` follows when no link is left. Default: thrown as an uncaught exception. */
  onFault?: (error: Error) => void;
  native: Pick<NativeBinding, 'Link'>;
}

/** The worker's side of the gateway: takes requests from its links and gives them to the applications. */
export class Dispatcher implements LinkOwner {
  readonly adapters: readonly Adapter[];
  readonly name: string;
  readonly concurrency: number;
  readonly inProcess: boolean;
  readonly patienceMs: number;
  readonly context: AsyncLocalStorage<RunningRequest> | null;
  readonly Link: NativeLinkConstructor;
  readonly errorPage: LinkOwner['errorPage'];
  private readonly options: DispatcherOptions;
  private readonly links = new Set<WorkerLink>();
  private isReady = false;

  constructor(options: DispatcherOptions) {
    this.options = options;
    this.adapters = options.applications.map((application) =>
      typeof application === 'function' ? contractApplication(application) : application,
    );
    this.name = options.name;
    this.concurrency = options.concurrency;
    this.inProcess = options.inProcess ?? false;
    this.patienceMs = options.patienceMs ?? Number.POSITIVE_INFINITY;
    this.context = options.context ?? null;
    this.Link = options.native.Link;
    this.errorPage = options.errorPage ?? null;
  }

  /** Takes over the worker's end of a link and says HELLO. `slot` is the link's number in the worker's shared memory. */
  addLink(fd: number, memory: ArrayBuffer, slot: number): void {
    const link = new WorkerLink(this, fd, memory, slot);
    this.links.add(link);
    if (this.isReady) link.ready();
  }

  /** The applications are loaded: requests may come. */
  ready(): void {
    this.isReady = true;
    for (const link of this.links) link.ready();
  }

  /**
   * Sends a text to the server's log at once, with the request whose code is running. `queued`: the kernel has not taken all of
   * it yet. `nowhere`: there is no link.
   */
  log(level: number, origin: number, text: string): 'sent' | 'queued' | 'nowhere' {
    const request = this.context?.getStore();
    const [link] = this.links;
    const writer = request?.writer ?? link?.writer;
    if (writer === undefined || writer.isClosed) return 'nowhere';
    // After the end the stream's number may be another request's.
    const response = request?.exchange?.response;
    const stream = response === undefined || response.ended ? 0 : response.stream;
    writer.log(level, stream, text, request?.id, origin);
    return writer.send() ? 'sent' : 'queued';
  }

  /** Settles when the applications do nothing any more that outlives its requests, at the latest after so many milliseconds. */
  async settle(timeoutMs: number): Promise<void> {
    await Promise.all(this.adapters.map((adapter) => adapter.settle?.(timeoutMs)));
  }

  /** Lets the links keep the event loop alive, as they do from the start. */
  ref(): void {
    for (const link of this.links) link.ref();
  }

  /** Lets the process end while links are open. */
  unref(): void {
    for (const link of this.links) link.unref();
  }

  /** Closes every link at once. To let requests finish, close the core and wait for `onDrained`. */
  close(): void {
    for (const link of this.links) link.close();
  }

  /** @internal */
  onLinkClosed(link: WorkerLink, fault: Error | null): void {
    if (fault !== null) this.report(fault);
    if (this.links.delete(link) && this.links.size === 0) this.options.onDrained();
  }

  private report(fault: Error): void {
    if (this.options.onFault !== undefined) {
      this.options.onFault(fault);
      return;
    }
    process.nextTick(() => {
      throw fault;
    });
  }
}
