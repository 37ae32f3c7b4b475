// SIGUSR1: logs that were moved away are begun anew, and no line is lost.

import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';

test('a log that was moved away is begun anew by its name', async () => {
  await using server = new Gwanmun({
    config: { accessLog: { format: 'json', file: './access.log' }, errorLog: { file: './error.log' } },
  });
  const port = await server.port();
  const file = join(server.folder, 'access.log');
  const lines = (path: string): string[] => {
    const text = readFileSync(path, 'utf8');
    return [...text.matchAll(/"query":"([^"]+)"/g)].map(([, query]) => query as string);
  };
  const ask = async (path: string): Promise<void> => {
    await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  };
  await ask('/pid?1');
  await expect.poll(() => lines(file), { timeout: 10_000 }).toEqual(['1']);
  renameSync(file, `${file}.1`);
  // Until the signal, the file that was moved is the log.
  await ask('/pid?2');
  await expect.poll(() => lines(`${file}.1`), { timeout: 10_000 }).toEqual(['1', '2']);
  server.child.kill('SIGUSR1');
  await expect
    .poll(
      async () => {
        await ask('/pid?3');
        try {
          return lines(file).length > 0;
        } catch {
          return false;
        }
      },
      { timeout: 10_000 },
    )
    .toBe(true);
  expect(server.stderr).not.toContain('Debugger listening');
});
