// Signals: requests in progress are answered, and no process stays behind.

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Gwanmun } from './gwanmun-process.js';
import { Client } from './http-client.js';

/** A server with a request in progress, and the process that has it. */
async function busy(group = false): Promise<{ server: Gwanmun; port: number; client: Client; worker: number }> {
  const server = new Gwanmun({ group });
  const port = await server.port();
  const client = await Client.connect(port);
  client.get('/hold');
  const [, pid] = await server.says(/holding in (\d+)/);
  return { server, port, client, worker: Number(pid) };
}

/** Resolves when the server takes no more connections, which is how a client sees that it drains. */
async function refuses(port: number): Promise<void> {
  const attempt = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  await expect.poll(attempt, { timeout: 5000, interval: 10 }).toBe(false);
}

async function drains({ server, port, client, worker }: Awaited<ReturnType<typeof busy>>): Promise<void> {
  await refuses(port);
  process.kill(worker, 'SIGUSR2');
  const answer = await client.answer();
  expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, `held ${worker}`, true]);
  expect(answer.headers.get('connection')).toBe('close');
  await client.closed();
  expect(client.error).toBeUndefined();
  expect(await server.exit()).toBe(0);
  await server.leavesNobody();
}

describe('a stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s lets a request in progress finish, then exits with 0',
    async (signal) => {
      const running = await busy();
      await using server = running.server;
      server.child.kill(signal);
      await drains(running);
    },
  );

  test('Ctrl-C reaches the whole group, and a program that started it passes it on: still in order', async () => {
    const running = await busy(true);
    await using server = running.server;
    const pid = server.child.pid as number;
    process.kill(-pid, 'SIGINT');
    process.kill(pid, 'SIGINT');
    await drains(running);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('a second %s, later, does not wait for the request', async (signal, code) => {
    const { server: started, port, client } = await busy();
    await using server = started;
    server.child.kill(signal);
    await refuses(port);
    // Signals within 500 ms count as one; nothing tells when that time is over.
    await sleep(600);
    server.child.kill(signal);
    expect(await server.exit()).toBe(code);
    await client.closed();
    await server.leavesNobody();
  });

  test('what is not finished after shutdownTimeout is cut, and the exit is orderly', async () => {
    await using server = new Gwanmun({ config: { shutdownTimeout: 300 } });
    const client = await Client.connect(await server.port());
    client.get('/hold');
    await server.says(/holding in/);
    server.child.kill('SIGTERM');
    await client.closed();
    expect(await server.exit()).toBe(0);
    await server.leavesNobody();
  });

  test('a worker that spins is stopped too', async () => {
    await using server = new Gwanmun({ config: { shutdownTimeout: 100 } });
    const client = await Client.connect(await server.port());
    client.get('/spin');
    await server.says(/spinning in/);
    server.child.kill('SIGTERM');
    expect(await server.exit()).toBe(0);
    await server.leavesNobody();
    client.destroy();
  });

  test('a killed main process takes its workers along, also one that spins in JavaScript', async () => {
    await using server = new Gwanmun({ config: { workers: 2 } });
    const client = await Client.connect(await server.port());
    await expect.poll(() => server.workers().length).toBe(2);
    client.get('/spin');
    await server.says(/spinning in/);
    server.child.kill('SIGKILL');
    await server.leavesNobody();
    client.destroy();
  });
});
