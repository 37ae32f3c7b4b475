import { expect, test } from 'vitest';
import { parallelism } from '../../src/config/parallelism.js';

const files =
  (content: Record<string, string>) =>
  (path: string): string | undefined =>
    content[path];

test.each<[string, number, number, Record<string, string>]>([
  ['no control groups', 8, 8, {}],
  ['version 2 without a limit', 8, 8, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': 'max 100000' }],
  ['version 2 with two processors', 8, 2, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '200000 100000' }],
  ['a part of a processor', 8, 1, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '5000 100000' }],
  ['two and a half', 8, 3, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '250000 100000' }],
  ['more than there are', 4, 4, { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '800000 100000' }],
  [
    'a limit further up',
    8,
    3,
    {
      '/proc/self/cgroup': '0::/a.slice/b.service',
      '/sys/fs/cgroup/a.slice/b.service/cpu.max': 'max 100000',
      '/sys/fs/cgroup/a.slice/cpu.max': '300000 100000',
    },
  ],
  [
    'version 1',
    8,
    2,
    {
      '/proc/self/cgroup': '5:memory:/x\n4:cpu,cpuacct:/x\n0::/',
      '/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us': '150000',
      '/sys/fs/cgroup/cpu/x/cpu.cfs_period_us': '100000',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
    },
  ],
])('%s', (_, processors, expected, content) => {
  expect(parallelism(processors, files(content))).toBe(expected);
});
