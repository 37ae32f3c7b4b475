// How many processors this process may use: what `workers: 'auto'` means.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** The processors of the machine or of the affinity mask, and no more than the control groups' quota of time allows. At least 1. */
export function parallelism(
  processors: number = availableParallelism(),
  read: (path: string) => string | undefined = readText,
): number {
  return Math.max(1, Math.min(processors, Math.ceil(quota(read))));
}

/** Processors' worth of time that the control groups allow; of nested ones the least counts. */
function quota(read: (path: string) => string | undefined): number {
  let least = Number.POSITIVE_INFINITY;
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    // Version 2 is `0::/path`; of version 1 the line with the controller counts: `4:cpu,cpuacct:/path`.
    const [, controllers, path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined) continue;
    const isSecond = controllers === '';
    if (!isSecond && !controllers.split(',').includes('cpu')) continue;
    const root = isSecond ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu';
    for (let folder = path; ; folder = folder.slice(0, folder.lastIndexOf('/'))) {
      const own = `${root}${folder === '/' ? '' : folder}`;
      const [most, period] = isSecond
        ? (read(`${own}/cpu.max`) ?? '').split(' ')
        : [read(`${own}/cpu.cfs_quota_us`), read(`${own}/cpu.cfs_period_us`)];
      const share = Number.parseInt(most ?? '', 10) / Number.parseInt(period ?? '', 10);
      // `max`, or -1: no limit.
      if (share > 0) least = Math.min(least, share);
      if (folder === '' || folder === '/') break;
    }
  }
  return least;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
