/* oxlint-disable typescript/no-non-null-assertion, unicorn/consistent-function-scoping -- a test fails loudly, and keeps what it uses beside it */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { CoreConfig } from '../../src/config/core.js';
import type { NativeBinding } from '../../src/native.js';
import type { Application } from '../../src/gateway/types.js';
import { type ServeOptions, serveWith } from '../../src/serve.js';
import { FakeLink, hello, request } from './fake-link.js';

const ok: Application = (_environ, startResponse) => {
  startResponse('200 OK', []);
  return 'ok';
};

/** A native binding whose core binds nothing. */
function fakeNative() {
  const links: FakeLink[] = [];
  const state = {
    config: undefined as CoreConfig | undefined,
    closes: [] as number[],
    workers: 0,
    disposed: 0,
    links,
    event: (_event: string): void => {},
  };
  const native: NativeBinding = {
    Link: class extends FakeLink {
      constructor(...args: ConstructorParameters<typeof FakeLink>) {
        super(...args);
        links.push(this);
      }
    },
    Core: class {
      constructor(config: string, _tls: unknown, onEvent: (event: string) => void) {
        state.config = JSON.parse(config) as CoreConfig;
        state.event = onEvent;
        if (state.config.listen.some((address) => address.kind === 'tcp' && address.port === 1)) {
          throw Object.assign(new Error('Port 1 of 127.0.0.1 may not be used'), { code: 'GWM_PORT_FORBIDDEN' });
        }
      }
      closeConnections(): void {}
      ref(): void {}
      unref(): void {}
      addresses(): string {
        return JSON.stringify(
          state.config!.listen.map((address) =>
            address.kind === 'tcp' ? { ...address, port: address.port || 40_000 } : address,
          ),
        );
      }
      addWorker(): { id: number; memory: number; links: number[] } {
        state.workers += 1;
        return { id: 1, memory: 9, links: [10, 11] };
      }
      removeWorker(): void {}
      workerDied(): void {}
      setCertificates(): void {}
      setChallenges(): void {}
      certificates(): [] {
        return [];
      }
      ticketKeys(): Buffer {
        return Buffer.alloc(0);
      }
      setTicketKeys(): boolean {
        return false;
      }
      prepare(): number[] {
        return [];
      }
      discard(): void {}
      commit(): void {}
      queued(): number {
        return 0;
      }
      forgetPool(): void {}
      status(): string {
        return '{}';
      }
      nameWorker(): void {}
      log(): void {}
      reopenLogs(): void {}
      sockets(): number[] {
        return [];
      }
      leave(): void {}
      dispose(): void {
        state.disposed += 1;
      }
      close(graceMs: number): void {
        state.closes.push(graceMs);
        for (const link of links) link.onClose(null);
        setImmediate(() => state.event('{"type":"closed"}'));
      }
    },
    mapMemory: () => new ArrayBuffer(4096 + 2 * 16 * 65_536),
    closeFds: () => {},
    followParent: () => true,
    preferBatches: () => {},
    keepMemory: () => {},
    notify: () => false,
    reap: () => {},
    answerWhere: () => false,
    networkFault: () => null,
    hashPassword: () => '',
    readCertificate: () => {
      throw new Error('there is none');
    },
    readAuthorities: () => {
      throw new Error('there is none');
    },
    silentPaths: async (paths) => paths.map(() => false),
  };
  return { native, state };
}

async function started(options: ServeOptions) {
  const { native, state } = fakeNative();
  const server = await serveWith(native, options);
  return { server, state };
}

const environment = { ...process.env };
afterEach(() => {
  process.env = { ...environment };
});

describe('serve()', () => {
  test('attaches the application to a core with one worker in this process', async () => {
    const { server, state } = await started({ application: ok, port: 0 });
    expect(state.config).toMatchObject({
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
      mounts: [{ path: '/', application: 0, pool: 0 }],
      pools: [{ queue: 1024, queueTimeoutMs: 30_000, requestTimeoutMs: 30_000 }],
      multiprocess: false,
      accessLog: { format: 'off' },
      limits: { body: 10_485_760 },
    });
    expect([server.url, server.port]).toEqual(['http://127.0.0.1:40000/', 40_000]);
    expect(state.links).toHaveLength(2);
    const [link] = state.links;
    link!.deliver(hello(), request());
    expect(link!.answer().body.toString()).toBe('ok');
    await server.close();
  });

  test('takes files and several mounts, one application at several paths', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gwanmun-serve-'));
    const other: Application = ok.bind(undefined);
    const { server, state } = await started({
      files: folder,
      application: ok,
      mounts: [
        { path: '/a/', application: other },
        { path: '/b', application: ok },
        { path: '/c', files: folder, index: [] },
      ],
      port: 0,
    });
    expect(state.config!.mounts).toMatchObject([
      { path: '/a', application: 0, pool: 0 },
      { path: '/b', application: 1, pool: 0 },
      { path: '/c', files: { root: folder, index: [] } },
      { path: '/', application: 1, pool: 0, files: { root: folder, index: ['index.html'] } },
    ]);
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test('a worker that the core gives up is replaced', async () => {
    const { server, state } = await started({ application: ok, port: 0 });
    state.event('{"type":"worker-gone","worker":1,"reason":"a test"}');
    expect([state.workers, state.links.length]).toEqual([2, 4]);
    expect(state.links.map((link) => link.closed)).toEqual([true, true, false, false]);
    await server.close();
    state.event('{"type":"worker-gone","worker":2,"reason":"closed"}');
    expect(state.workers).toBe(2);
  });

  test('without an application there is no worker', async () => {
    const { server, state } = await started({ files: tmpdir(), port: 0 });
    expect([state.workers, state.config!.pools]).toEqual([0, []]);
    await server.close();
  });

  test('PORT and HOST are defaults, options win', async () => {
    process.env['PORT'] = '4000';
    process.env['HOST'] = '::1';
    const one = await started({ application: ok });
    expect(one.server.url).toBe('http://[::1]:4000/');
    await one.server.close();
    const two = await started({ application: ok, host: '127.0.0.2', port: 0 });
    expect(two.server.url).toBe('http://127.0.0.2:40000/');
    await two.server.close();
    const three = await started({ application: ok, listen: ['unix:/tmp/x.sock', ':5000'] });
    expect([three.server.url, three.server.port]).toEqual(['unix:/tmp/x.sock', 5000]);
    await three.server.close();
  });

  test('what is wrong is told with a code', async () => {
    const { native } = fakeNative();
    await expect(serveWith(native, {})).rejects.toMatchObject({ code: 'GWM_CONFIG_INVALID' });
    await expect(serveWith(native, { application: 'x' as never })).rejects.toMatchObject({
      code: 'GWM_CONFIG_INVALID',
    });
    await expect(serveWith(native, { application: ok, limits: { bodi: 1 } as never })).rejects.toMatchObject({
      code: 'GWM_CONFIG_INVALID',
    });
    await expect(serveWith(native, { application: ok, port: 1 })).rejects.toMatchObject({
      code: 'GWM_PORT_FORBIDDEN',
      remedy: expect.stringContaining('1024'),
    });
  });
});

describe('closing', () => {
  test('is done once, and gives requests the grace that is asked for', async () => {
    const { server, state } = await started({ application: ok, port: 0 });
    await Promise.all([server.close({ graceMs: 50 }), server.close(), server.close()]);
    expect(state.closes).toEqual([50]);
    expect(state.disposed).toBe(1);
    expect(state.links.every((link) => link.closed)).toBe(true);
  });

  test('an application that never answers does not keep the links open', async () => {
    const { server, state } = await started({ application: () => new Promise(() => {}), port: 0 });
    state.links[0]!.deliver(hello(), request());
    await server.close({ graceMs: 0 });
    expect(state.links.every((link) => link.closed)).toBe(true);
  });

  test('an AbortSignal closes the server; one that is aborted already refuses to start', async () => {
    const controller = new AbortController();
    const { server, state } = await started({ application: ok, port: 0, signal: controller.signal });
    controller.abort();
    await server.close();
    expect(state.closes).toEqual([10_000]);
    await expect(started({ application: ok, signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('await using closes it', async () => {
    const { server, state } = await started({ application: ok, port: 0 });
    await server[Symbol.asyncDispose]();
    expect(state.closes).toHaveLength(1);
  });
});
