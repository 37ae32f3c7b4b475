// The native binding as the rest of the code uses it, so that tests can stand in for it, and the one place that loads it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type * as Native from '../index.js';
import { VERSION } from './config/version.js';
import { GwanmunError } from './errors.js';
import { PACKAGE } from './package-folder.js';

// What the crates say of themselves: napi writes index.d.ts at every build of the core.
export type { AuthoritiesRecord, AuthorityRecord, CertificateRecord, LogRecord } from '../index.js';

/** One end of a gateway link, watched on this thread's event loop. */
export type NativeLink = Native.Link;
export type NativeLinkConstructor = typeof Native.Link;
/** The web server: its threads, listeners and queues. */
export type NativeCore = Native.Core;
/** Everything that the core exports, but for what tests alone ask. */
export type NativeBinding = Omit<typeof Native, 'protocolConstants'>;

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

/** TLS handshakes since the start. What there were none of is not there. */
export interface CoreHandshakes {
  readonly full: number;
  /** Those that went on with a session by its ticket. */
  readonly resumed: number;
  /** `TLSv1.3`, `TLSv1.2`. */
  readonly versions: Readonly<Record<string, number>>;
  /** What keys were exchanged with: `X25519MLKEM768`, `X25519`, … */
  readonly groups: Readonly<Record<string, number>>;
  /** Those that came to nothing, by the reason: `unknown_name`, `alert_unknown_ca`, `timeout`, … */
  readonly failed: Readonly<Record<string, number>>;
}

/** What goes on in the core. */
export interface CoreStatus {
  /** Connections of clients. */
  readonly connections: number;
  /** Requests that wait for a worker, and for how many milliseconds the first one has. */
  readonly queues: readonly { readonly pool: number; readonly length: number; readonly oldest: number }[];
  readonly held: CoreUsage;
  readonly handshakes: CoreHandshakes;
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
  const built = fileURLToPath(new URL(`native/gwanmun.${platform}.node`, PACKAGE));
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
    return new GwanmunError(
      'GWM_NATIVE_MISSING',
      `There is no prebuilt core for ${platform}; there is one for ${published}`,
      {
        remedy: `use one of those\n${BUILD}`,
        cause,
      },
    );
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
