// The core's part of a configuration.

import { tmpdir } from 'node:os';
import type { CoreConfig } from './core.js';
import { parallelism } from './parallelism.js';
import type { ResolvedConfig } from './resolved.js';
import { isEmpty } from './rules.js';

/** One pool of workers runs every module, and one each Python application. */
export function toCoreConfig(config: ResolvedConfig): CoreConfig {
  const firstWsgi = config.applications.length > 0 ? 1 : 0;
  const pool = {
    queue: config.queue.length,
    queueTimeoutMs: config.queue.timeout,
    requestTimeoutMs: config.timeout,
  };
  return {
    threads: config.threads,
    listen: [...config.listen],
    mounts: config.mounts.map(
      ({ path, files, application, wsgi, fastcgi, cgi, stream, sendfile, errorPages, compress, rules }) => ({
        path,
        ...rules,
        ...(files ? { files } : {}),
        ...(errorPages.length > 0 ? { errorPages: [...errorPages] } : {}),
        ...(application === undefined ? {} : { application, pool: 0 }),
        ...(wsgi === undefined ? {} : { application: 0, pool: firstWsgi + wsgi }),
        ...(fastcgi === undefined ? {} : { fastcgi }),
        ...(cgi === undefined ? {} : { cgi }),
        ...(compress && (application ?? wsgi ?? fastcgi ?? cgi) !== undefined ? { compress } : {}),
        ...(stream === undefined ? {} : { stream }),
        ...(sendfile.length > 0 ? { sendfile: [...sendfile] } : {}),
      }),
    ),
    pools: Array.from({ length: firstWsgi + config.wsgi.length }, () => pool),
    ...(config.upstreams.length > 0 ? { upstreams: [...config.upstreams] } : {}),
    limits: config.limits,
    timeouts: config.timeouts,
    ...(config.tls === undefined ? {} : { minTls: config.tls.minVersion }),
    ...(config.tls?.acme === undefined ? {} : { domains: [...config.tls.acme.domains] }),
    ...(config.hsts === undefined ? {} : { hsts: config.hsts }),
    serverHeader: config.serverHeader,
    accessLog: config.accessLog,
    errorLog: config.errorLog,
    environ: config.environ,
    requestIds: config.requestIds,
    trustedProxies: [...config.trustedProxies],
    ...(isEmpty(config.headerRules) ? {} : { headerRules: config.headerRules }),
    ...(config.addresses === undefined ? {} : { addresses: config.addresses }),
    ...(config.login === undefined ? {} : { login: config.login }),
    ...(config.rateLimit === undefined ? {} : { rateLimit: config.rateLimit }),
    ...(config.compressionCache === undefined ? {} : { compressionCache: config.compressionCache }),
    tempDir: tmpdir(),
    reservedDescriptors: descriptorsFor(config),
    multiprocess: config.mostWorkers > 1,
  };
}

/**
 * Descriptors that a reload needs, which starts all workers anew while the old ones serve: of each, one for every I/O thread, as many again until it
 * has them, its memory, pipes and channel. The rest is for control connections and what Node opens.
 */
function descriptorsFor({ applications, wsgi, mostWorkers, threads }: ResolvedConfig): number {
  const workers = mostWorkers * ((applications.length > 0 ? 1 : 0) + wsgi.length);
  return 24 + workers * (2 * (threads === 0 ? parallelism() : threads) + 8);
}
