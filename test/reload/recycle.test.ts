// Workers that have done their part are replaced, and no client notices.

import { expect, test } from 'vitest';
import { reasonToRecycle } from '../../src/supervisor/recycle.js';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

const load = { pid: 4711, requests: 0, memory: undefined, age: 0 };
const none = { requests: undefined, memory: undefined, age: undefined };

test('each bound is one for itself, with a jitter of up to a tenth for requests and age', () => {
  expect(reasonToRecycle({ ...load, requests: 1e9, memory: 1e12, age: 1e12 }, none)).toBeUndefined();
  expect(reasonToRecycle({ ...load, requests: 899 }, { ...none, requests: 1000 })).toBeUndefined();
  expect(reasonToRecycle({ ...load, requests: 1000 }, { ...none, requests: 1000 })).toBe(
    'it has handled 1000 requests',
  );
  expect(reasonToRecycle({ ...load, age: 899 }, { ...none, age: 1000 })).toBeUndefined();
  expect(reasonToRecycle({ ...load, age: 1000 }, { ...none, age: 1000 })).toBe('it is 1 s old');
  expect(reasonToRecycle({ ...load, memory: 2 ** 20 - 1 }, { ...none, memory: 2 ** 20 })).toBeUndefined();
  expect(reasonToRecycle({ ...load, memory: 2 ** 20 }, { ...none, memory: 2 ** 20 })).toBe('it takes 1 MiB');
  const ends = Array.from({ length: 200 }, (_, pid) =>
    [...Array(201).keys()].find((n) =>
      reasonToRecycle({ ...load, pid, requests: 800 + n }, { ...none, requests: 1000 }),
    ),
  );
  expect(new Set(ends).size).toBeGreaterThan(50);
});

test('a worker that has got its requests is replaced, and every request is answered', async () => {
  await using server = new Gwanmun({ config: { accessLog: false, recycle: { requests: 100 } } });
  const client = await RawClient.connect({ port: await server.port() });
  const pids = new Set<string>();
  for (let i = 0; pids.size < 3; i += 1) {
    await client.send('GET /pid HTTP/1.1\r\nHost: a\r\n\r\n');
    const { status, body } = await client.response();
    expect(status).toBe(200);
    pids.add(body.toString());
  }
  await server.says(/worker 1 \(\d+\) is replaced: it has handled \d+ requests/);
  client.close();
});

test('a worker that takes too much memory is replaced', async () => {
  await using server = new Gwanmun({ config: { recycle: { memory: 1_000_000 } } });
  await server.port();
  await server.says(/worker 1 \(\d+\) is replaced: it takes \d+ MiB/);
});
