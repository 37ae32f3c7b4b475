// What goes on in a server, for operators.

import type { DomainStatus } from '../acme/acme.js';
import type { CertificateStatus } from '../certificates/kept-certificate.js';
import type { ClientCertificatesStatus } from '../certificates/kept-clients.js';
import type { CoreAddress } from '../config/core.js';
import type { CoreHandshakes, CoreStatus, CoreUsage } from '../native.js';
import type { Generations, Pool } from './generations.js';
import { residentBytes } from './resident.js';
import type { WorkerStatus } from './supervisor.js';

/** A worker, for operators. */
export interface WorkerLine extends Omit<WorkerStatus, 'id'> {
  /** `current`, `coming` during a reload, or `old`: it finishes what it has. */
  readonly generation: string;
  readonly inFlight: number;
  readonly requests: number;
  /** By how many milliseconds its event loop is late at this moment; of a worker in Node. */
  readonly eventLoopDelay: number | undefined;
  /** Resident bytes. */
  readonly memory: number | undefined;
}

/** A server, for operators: what `gwanmun status --json` prints. */
export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly config: string;
  /** The folder that it was started in, by the name that the shell had for it. */
  readonly directory: string;
  /** The folder of its configuration file, if it has one. */
  readonly configDirectory: string | undefined;
  /** Milliseconds. */
  readonly uptime: number;
  /** Counts the configurations since the start. */
  readonly generation: number;
  readonly state: 'serving' | 'reloading' | 'stopping';
  readonly listen: readonly CoreAddress[];
  readonly connections: number;
  /** Requests that wait for a worker. */
  readonly queue: number;
  /** For how many milliseconds the first of them has waited. */
  readonly queueAge: number;
  readonly memory: number | undefined;
  /** What of that is counted, as clients and workers cause it. */
  readonly held: CoreUsage | undefined;
  readonly handshakes: CoreHandshakes | undefined;
  readonly workers: readonly WorkerLine[];
  readonly certificates: readonly CertificateStatus[];
  /** Names whose certificates are got by themselves. */
  readonly domains: readonly DomainStatus[];
  /** Undefined: clients are not asked for certificates. */
  readonly clientCertificates: ClientCertificatesStatus | undefined;
}

/** What the server and its workers have to do. `lag` says by how many milliseconds a worker's event loop is late. */
export function describeLoad(
  { current, coming, old }: Generations,
  core: Partial<CoreStatus>,
  lag: (id: number) => number | undefined,
): Pick<ServerStatus, 'connections' | 'queue' | 'queueAge' | 'memory' | 'held' | 'handshakes' | 'workers'> {
  const queues = core.queues ?? [];
  const describe = (pool: Pool, generation: string): WorkerLine[] =>
    pool.supervisor.status().map(({ id, ...worker }) => {
      const load = core.workers?.find((other) => other.id === id);
      return {
        ...worker,
        generation,
        inFlight: load?.inFlight ?? 0,
        requests: load?.requests ?? 0,
        eventLoopDelay: id === undefined ? undefined : lag(id),
        memory: worker.pid === undefined ? undefined : residentBytes(worker.pid),
      };
    });
  return {
    connections: core.connections ?? 0,
    queue: queues.reduce((sum, { length }) => sum + length, 0),
    queueAge: Math.max(0, ...queues.map(({ oldest }) => oldest)),
    memory: residentBytes(process.pid),
    held: core.held,
    handshakes: core.handshakes,
    workers: [
      ...current.flatMap((pool) => describe(pool, 'current')),
      ...coming.flatMap((pool) => describe(pool, 'coming')),
      ...old.flatMap((pool) => describe(pool, 'old')),
    ],
  };
}
