// When a worker has done its part: replaced before what it has lost grows too large.

/** Bounds of one worker's life. */
export interface RecycleLimits {
  /** Requests that it has got. */
  readonly requests: number | undefined;
  /** Resident bytes. */
  readonly memory: number | undefined;
  /** Milliseconds. */
  readonly age: number | undefined;
  /** By so many requests a worker may be replaced earlier; default a tenth of `requests`. */
  readonly jitter?: number | undefined;
}

/** What is known of a worker. */
export interface WorkerLoad {
  /** One for each process, so that its bounds stay what they are. */
  readonly pid: number;
  readonly requests: number;
  readonly memory: number | undefined;
  readonly age: number;
}

/** How much earlier a worker may be replaced, so that those that began together do not end together. */
const JITTER = 0.1;

/** Why a worker is to be replaced; undefined: it goes on. */
export function reasonToRecycle({ pid, requests, memory, age }: WorkerLoad, limits: RecycleLimits): string | undefined {
  const share = 1 - JITTER * fraction(pid);
  const most = (limits.requests ?? 0) - (limits.jitter ?? JITTER * (limits.requests ?? 0)) * fraction(pid);
  if (limits.requests !== undefined && requests >= most)
    return `it has handled ${requests} ${requests === 1 ? 'request' : 'requests'}`;
  if (limits.age !== undefined && age >= limits.age * share) return `it is ${Math.round(age / 1000)} s old`;
  // Memory is what it is: no jitter makes more of it.
  if (limits.memory !== undefined && memory !== undefined && memory >= limits.memory) {
    return `it takes ${Math.round(memory / 1_048_576)} MiB`;
  }
  return undefined;
}

/** Some number from 0 to 1 for a process (Knuth's multiplicative hash). */
function fraction(pid: number): number {
  return (Math.imul(pid, 2_654_435_761) >>> 0) / 2 ** 32;
}
