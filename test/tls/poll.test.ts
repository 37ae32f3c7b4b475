// T79: where nothing tells of changes (no watches are left, a network's file system), files are looked at every minute.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { LocalFiles, stateOf } from '../../src/certificates/files.js';

vi.mock('node:fs', async (original) => ({
  ...(await original<object>()),
  watch: () => {
    throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
  },
}));

afterEach(() => void vi.useRealTimers());

test('a change is seen after a minute; a file system that does not answer is asked ever more seldom', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-poll-'));
  const path = join(folder, 'site.pem');
  writeFileSync(path, 'one');
  let looks = 0;
  let isSilent = false;
  const changes: (readonly string[])[] = [];
  const files = new LocalFiles(
    async (paths) => {
      looks += 1;
      return paths.map(() => isSilent);
    },
    (changed) => changes.push(changed),
  );
  try {
    files.watch(new Map([[path, stateOf(path)]]));
    await vi.advanceTimersByTimeAsync(59_000);
    expect(looks).toBe(1);
    writeFileSync(path, 'another');
    await vi.advanceTimersByTimeAsync(3000);
    expect(changes).toEqual([[path]]);
    isSilent = true;
    looks = 0;
    await vi.advanceTimersByTimeAsync(24 * 3_600_000);
    expect(looks).toBeGreaterThan(20);
    expect(looks).toBeLessThan(40);
    isSilent = false;
    writeFileSync(path, 'the third one');
    await vi.advanceTimersByTimeAsync(3_700_000);
    expect(changes).toEqual([[path], [path]]);
  } finally {
    files.end();
    rmSync(folder, { recursive: true });
  }
});
