// What serve() leaves in its process, and how that process ends.

import { describe, expect, test } from 'vitest';
import { Client, get } from '../workers/http-client.js';
import { Program } from './run.js';

const MIB = 1024 * 1024;

interface Resources {
  threads: number;
  fds: number;
  sockets: number;
  memory: number;
}

describe('the end of the process', () => {
  test('comes by itself after close()', async () => {
    using program = new Program('ends-by-itself');
    expect(await program.value()).toBe('hello');
    expect(await program.value()).toBe('closed');
    expect(await program.exit()).toBe(0);
    expect(program.stderr).toBe('');
  });

  test('does not come while a server listens', async () => {
    using program = new Program('lives-on');
    const port = await program.value<number>();
    expect((await get(port, '/')).body.toString()).toBe('hello');
  });

  test('process.exit() under load is no crash', async () => {
    for (let i = 0; i < 6; i++) {
      using program = new Program(i % 2 === 0 ? 'exit' : 'exit-with-thread');
      expect([await program.exit(), program.stderr.replaceAll(/^.*as asked[^]*?\n(?=\S|$)/gm, '')]).toEqual([
        0,
        expect.not.stringMatching(/panic|fatal|assert/i),
      ]);
    }
  });

  test('a server that was forgotten is no crash', async () => {
    using program = new Program('forgotten');
    expect([await program.exit(), program.stderr]).toEqual([0, '']);
  });
});

describe('nothing is left', () => {
  test('of a hundred servers that were started and closed', { timeout: 60_000 }, async () => {
    using program = new Program('start-and-close');
    const { before, after } = await program.value<{ before: Resources; after: Resources }>();
    expect({ ...after, memory: 0 }).toEqual({ ...before, memory: 0 });
    // One server's buffers are over 1 MiB: a leak of them would be 100 MiB and more.
    expect(after.memory - before.memory).toBeLessThan(32 * MIB);
    expect([await program.exit(), program.stderr]).toEqual([0, '']);
  });

  test('of thousands of requests', { timeout: 60_000 }, async () => {
    using program = new Program('many-requests');
    const { before, after } = await program.value<{ before: Resources; after: Resources }>();
    expect(after.threads).toBeLessThanOrEqual(before.threads);
    // The client's own sockets close when they like.
    expect(after.fds).toBeLessThanOrEqual(before.fds + 16);
    expect(after.memory - before.memory).toBeLessThan(32 * MIB);
    expect(await program.exit()).toBe(0);
  });

  test.each(['terminate', 'exit', 'close'])(
    'of many worker_threads that end by %s under load',
    { timeout: 90_000 },
    async (how) => {
      using program = new Program('threads', how);
      const { before, after, refused, own } = await program.value<{
        before: Resources;
        after: Resources;
        refused: boolean;
        own: string;
      }>();
      expect([refused, own]).toEqual([true, 'hello']);
      expect(after.threads).toBeLessThanOrEqual(before.threads);
      expect(after.fds).toBeLessThanOrEqual(before.fds + 16);
      expect(after.memory - before.memory).toBeLessThan(64 * MIB);
      expect(await program.exit()).toBe(0);
    },
  );

  test('of worker_threads that are terminated while they start', { timeout: 60_000 }, async () => {
    using program = new Program('threads-early');
    expect(await program.value()).toBe('survived');
    expect(await program.exit()).toBe(0);
  });
});

describe('memory', () => {
  test('does not grow while a client reads an endless body slowly', async () => {
    using program = new Program('endless');
    const port = await program.value<number>();
    const stats = async (): Promise<{ produced: number; memory: number }> =>
      JSON.parse((await get(port, '/stats')).body.toString()) as { produced: number; memory: number };
    const client = await Client.connect(port);
    client.socket.pause();
    client.get('/');
    const standstill = async (): Promise<{ produced: number; memory: number }> => {
      let last = await stats();
      for (let quiet = 0; quiet < 20; quiet++) {
        const next = await stats();
        if (next.produced !== last.produced) quiet = 0;
        last = next;
      }
      return last;
    };
    const before = await standstill();
    expect(before.produced).toBeGreaterThan(0);
    expect(before.produced).toBeLessThan(32 * MIB);
    client.socket.resume();
    for (let read = 0; read < 200 * MIB;) {
      await client.until(1);
      read += client.take(MIB).length;
    }
    client.socket.pause();
    const after = await standstill();
    expect(after.produced).toBeGreaterThan(200 * MIB);
    expect(after.memory - before.memory).toBeLessThan(48 * MIB);
    client.destroy();
  });
});

describe('an uncaught exception of the application', () => {
  test('ends the program as it ends any Node program', async () => {
    using program = new Program('uncaught');
    await get(await program.value<number>(), '/timer').catch(() => {});
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toMatch(/Error: from a timer\n +at .*programs\.mjs:\d+:\d+/);
  });

  test("is the program's own to handle", async () => {
    using program = new Program('uncaught', 'handled');
    const port = await program.value<number>();
    for (let i = 0; i < 20; i++) expect((await get(port, '/timer')).body.toString()).toBe('hello');
  });
});
