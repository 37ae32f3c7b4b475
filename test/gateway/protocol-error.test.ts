import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { toCoreConfig } from '../../src/config/to-core.js';
import { checkConfig } from '../../src/config/check.js';
import type { CoreEvent } from '../../src/config/core.js';
import { loadNative } from '../../src/native.js';

test('a worker that breaks the protocol loses its links, and the error log says by which rule', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-protocol-'));
  const log = join(folder, 'error.log');
  const source = { name: 'test' };
  const config = checkConfig(
    { listen: 0, threads: 1, accessLog: false, errorLog: { file: log }, mounts: [{ path: '/', files: folder }] },
    source,
  );
  const native = loadNative();
  const core = {
    ...toCoreConfig(resolveConfig({ config, directory: folder, source })),
    pools: [{ queue: 1, queueTimeoutMs: 1000, requestTimeoutMs: 0 }],
  };
  const events: CoreEvent[] = [];
  let closed = (): void => {};
  const ended = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const server = new native.Core(JSON.stringify(core), null, (text) => {
    const event = JSON.parse(text) as CoreEvent;
    events.push(event);
    if (event.type === 'closed') closed();
  });
  const { id, memory, links } = server.addWorker(0);
  native.closeFds([memory]);
  const [fd = -1] = links;
  const link = new Socket({ fd }).resume();
  link.write(Buffer.alloc(16));
  await once(link, 'close');
  server.close(0);
  await ended;
  server.dispose();
  expect(readFileSync(log, 'utf8')).toContain(
    `error worker ${id} broke the gateway protocol: frame size out of range.`,
  );
  expect(events[0]).toEqual({
    type: 'worker-gone',
    worker: id,
    reason: 'it broke the gateway protocol: frame size out of range',
  });
  rmSync(folder, { recursive: true });
});
