// The native binding as the rest of the code uses it, so that tests can stand in for it, and the one place that loads it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VERSION } from './config/version.js';
import { GwanmunError } from './errors.js';

/** One end of a gateway link, watched on this thread's event loop. */
export interface NativeLink {
  /** Sends `outgoing[0..length)`; what the kernel does not take is copied and sent later. Returns the bytes still queued. */
  send(length: number): number;
  /** As `send`, with a descriptor, which stays the caller's, attached to the frame that stands first. Throws if it is not open. */
  sendWithFd(length: number, fd: number): number;
  /** The next descriptor that came with a frame, in order; -1 if there is none. */
  takeFd(): number;
  /** Blocks until complete frames are in `into` and returns their end; 0 on timeout, -1 at the end of the link. */
  wait(into: ArrayBuffer, timeoutMs: number): number;
  ref(): void;
  unref(): void;
  close(): void;
}

export interface NativeLinkConstructor {
  new (
    fd: number,
    received: ArrayBuffer,
    outgoing: ArrayBuffer,
    onFrames: (end: number) => void,
    onClose: (reason: string | null) => void,
  ): NativeLink;
}

/** An event for the error log; docs/logs.md describes the fields. */
export interface LogRecord {
  level: 'error' | 'warn' | 'info' | 'debug';
  event: string;
  msg: string;
  stack?: string;
  code?: string;
  worker?: number;
  pid?: number;
  stream?: 'stdout' | 'stderr';
}

/** What the core holds, counted a few times a second; in bytes but for the descriptors. */
export interface CoreUsage {
  /** For the clients' connections: requests that are in progress, and responses that are not sent. */
  readonly clients: number;
  /** Of the connections: sockets, and files that are sent or that bodies are buffered in. */
  readonly descriptors: number;
  /** Of the connection that has most. */
  readonly most: number;
  readonly mostDescriptors: number;
  /** What workers have not taken. */
  readonly queued: number;
  /** Buffers that wait to be used again. */
  readonly kept: number;
  /** Request bodies in temporary files. */
  readonly spooled: number;
}

/** What goes on in the core. */
export interface CoreStatus {
  /** Connections of clients. */
  readonly connections: number;
  /** Requests that wait for a worker, and for how many milliseconds the first one has. */
  readonly queues: readonly { readonly pool: number; readonly length: number; readonly oldest: number }[];
  readonly held: CoreUsage;
  /** The workers that are ready, by the core's ids. */
  readonly workers: readonly {
    readonly id: number;
    readonly inFlight: number;
    readonly requests: number;
    /** Beats of its event loop so far; 0: it does not tell. */
    readonly beats: number;
    /** By how many milliseconds the last one was late. */
    readonly lag: number;
  }[];
}

/** The web server: its threads, listeners and queues. */
export interface NativeCore {
  /** The bound addresses as JSON. */
  addresses(): string;
  addWorker(pool: number): { id: number; memory: number; links: number[] };
  removeWorker(id: number): void;
  /** The worker's process has ended, whoever else may hold its links: what it was at fails, and the rest goes to others. */
  workerDied(id: number): void;
  /** Makes everything that another configuration needs, while the current one goes on; gives the numbers of its pools. Throws as the constructor. */
  prepare(config: string): number[];
  /** Drops what was prepared. */
  discard(): void;
  /** Has new requests served by what was prepared; then comes the event `renewed`. */
  commit(): void;
  /** How many requests wait for a worker of the pool. */
  queued(pool: number): number;
  /** The pool has no more workers, and no request will want one. */
  forgetPool(pool: number): void;
  /** A {@link CoreStatus} as JSON. */
  status(): string;
  /** Has the logs call a worker by its number and its process. */
  nameWorker(id: number, number: number, pid: number): void;
  /** Opens the files of the logs anew by their names. */
  reopenLogs(): void;
  /** Writes an event to the error log. */
  log(record: LogRecord): void;
  /** Accepts no more, finishes requests in progress, cuts what is left after `graceMs`; then comes the event `closed`. */
  close(graceMs: number): void;
  /** The descriptors of all listening sockets, for a process that takes this one's place; they stay the core's. */
  sockets(): number[];
  /** As `close`, for when another process has the sockets: idle connections get one more response, or their keep-alive timeout. */
  leave(graceMs: number): void;
  /** Closes the clients' connections, or those on which no request is in progress. The server goes on. */
  closeConnections(idleOnly: boolean): void;
  /** Ends the watch for events and waits for the threads; called after the event `closed`. */
  dispose(): void;
}

export interface NativeCoreConstructor {
  /** @throws an error whose `code` is a GWM_… code */
  new (config: string, onEvent: (event: string) => void): NativeCore;
}

export interface NativeBinding {
  Link: NativeLinkConstructor;
  Core: NativeCoreConstructor;
  /** Maps the memory that a worker shares with the core, and closes its descriptor. */
  mapMemory(fd: number): ArrayBuffer;
  closeFds(fds: number[]): void;
  /** This process dies with its parent, even while it spins in JavaScript. False: the parent is dead already. */
  followParent(parent: number): boolean;
  /**
   * Answers each byte that comes on the socket `fd` by what `where` returns, also while JavaScript spins: `where` is called
   * in the middle of whatever runs. False: this Node has no way to do so.
   */
  answerWhere(fd: number, where: () => string): boolean;
  /** Sends a text to a service manager's socket (sd_notify); false if nobody takes it. */
  notify(socket: string, text: string): boolean;
  /** Takes note of the end of a child that nobody waits for. */
  reap(pid: number): void;
  /** The scheduler lets this thread wait for whole batches of requests. */
  preferBatches(): void;
  /** This process keeps the memory that it frees, up to 32 MiB. */
  keepMemory(): void;
}

/** What prebuilt cores are published for. Each is a package of its own: `@gwanmun/core-linux-x64-gnu`. */
export const PLATFORMS = ['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl'] as const;

/** The name of the running platform, as in {@link PLATFORMS}. */
export function currentPlatform(): string {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  return `${platform}-${arch}-${usesMusl() ? 'musl' : 'gnu'}`;
}

/**
 * Loads the native half of gwanmun: a clone's own build, else the package for this platform. Throws GWM_NATIVE_MISSING or
 * GWM_PLATFORM.
 */
export function loadNative(): NativeBinding {
  const platform = currentPlatform();
  const require = createRequire(import.meta.url);
  const name = `@gwanmun/core-${platform}`;
  const built = fileURLToPath(new URL(`../native/gwanmun.${platform}.node`, import.meta.url));
  try {
    if (existsSync(built)) return require(built) as NativeBinding;
    // Their versions are published together and must be the same: they speak one protocol.
    const { version } = require(`${name}/package.json`) as { version: string };
    if (version === VERSION) return require(name) as NativeBinding;
    throw new GwanmunError('GWM_NATIVE_MISSING', `gwanmun is ${VERSION}, but ${name} is ${version}`, {
      remedy: `npm install gwanmun@${VERSION}`,
    });
  } catch (error) {
    if (error instanceof GwanmunError) throw error;
    throw isAbsent(error) ? absent(platform, name, error) : unloadable(platform, error);
  }
}

/** Nothing was found. */
function absent(platform: string, name: string, cause: unknown): GwanmunError {
  const published = PLATFORMS.join(', ');
  if (process.platform !== 'linux') {
    return new GwanmunError('GWM_PLATFORM', `gwanmun does not run on ${platform}; it runs on ${published}`, { cause });
  }
  if (!(PLATFORMS as readonly string[]).includes(platform)) {
    return new GwanmunError('GWM_NATIVE_MISSING', `There is no prebuilt core for ${platform}, but for ${published}`, {
      remedy: `use one of those\n${BUILD}`,
      cause,
    });
  }
  return new GwanmunError('GWM_NATIVE_MISSING', `The native core for ${platform} is not installed: ${name}`, {
    remedy: [
      'npm install --include=optional gwanmun',
      'if node_modules or the lock file came from another platform: delete both, then npm install',
      BUILD,
    ].join('\n'),
    cause,
  });
}

const BUILD =
  'or build it, with Rust: npm install && npm run build in a clone of gwanmun, then npm install that folder';

/** A core was found, and the system's loader refused it. */
function unloadable(platform: string, cause: unknown): GwanmunError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new GwanmunError('GWM_NATIVE_MISSING', `The native core for ${platform} cannot be loaded`, {
    userStack: message,
    remedy: message.includes('GLIBC_') ? `this system is older than the core supports: update it\n${BUILD}` : undefined,
    cause,
  });
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND';
}

/** Whether Node runs on musl: its process has glibc's library mapped, or it has not. */
function usesMusl(): boolean {
  try {
    return !/\/libc(?:\.so\.6|-2\.\d+\.so)$/m.test(readFileSync('/proc/self/maps', 'utf8'));
  } catch {
    // Without /proc nothing tells; most systems have glibc.
    return false;
  }
}
