// What a worker's library lets through, the core takes: else an application, or a client that it echoes, could end its worker.

import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { HeaderBlock } from '../../src/gateway/headers.js';
import { head, TestCore } from './fake-worker.js';
import { Client } from './http-client.js';

/** The lines that the library makes of a header; null if it refuses it. */
function linesOf(name: string, value: string): string | null {
  try {
    return new HeaderBlock('200 OK', [[name, value]]).lines;
  } catch {
    return null;
  }
}

/** The same of the Python worker. */
function pythonLines(headers: [string, string][]): string[] {
  const program = `
import json, sys
sys.path.insert(0, sys.argv[1])
import gwanmun_worker
accepted = []
for header in json.load(sys.stdin):
    try:
        accepted.append(gwanmun_worker.check('200 OK', (tuple(header),))[2].decode('latin-1'))
    except Exception:
        pass
json.dump(accepted, sys.stdout)`;
  const folder = fileURLToPath(new URL('../../python', import.meta.url));
  return JSON.parse(
    execFileSync('python3', ['-c', program, folder], { input: JSON.stringify(headers), encoding: 'utf8' }),
  ) as string[];
}

function hasPython(): boolean {
  return spawnSync('python3', ['--version']).status === 0;
}

async function tryOnCore(accept: (headers: [string, string][]) => string[]): Promise<void> {
  const characters = Array.from({ length: 0x120 }, (_, code) => String.fromCharCode(code));
  const odd = ['', ' ', ' x', 'x ', '\t', 'x\ty', '"', '\\', ',', ';', ':', '\u00a0', 'é', '=?', 'a'.repeat(60_000)];
  const values = [...characters, ...characters.map((one) => `a${one}b`), ...odd];
  const names = [
    ...characters,
    ...characters.map((one) => `X${one}Y`),
    ...odd,
    'Date',
    'Server',
    'Content-Type',
    'Vary',
  ];
  const lengths = [
    '0',
    '00',
    '007',
    '1',
    '000000000000001',
    '999999999999999',
    '-1',
    '+1',
    '1e3',
    ' 1',
    '1 ',
    '0x1',
    '1,1',
    '',
  ];
  const concerned = ['X-Request-Id', 'Status', 'Connection', 'TE', 'Trailer', 'Upgrade', 'Keep-Alive', 'Proxy-X'];
  const headers: [string, string][] = [
    ...values.map((value): [string, string] => ['X-Value', value]),
    ...[...names, ...concerned].map((name): [string, string] => [name, 'v']),
    ...lengths.map((length): [string, string] => ['Content-Length', length]),
  ];
  const accepted = accept(headers);
  expect(accepted.length).toBeGreaterThan(300);
  await using core = new TestCore();
  const worker = await core.worker(1);
  for (const lines of accepted) {
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200, lines, '', f.FLAG_END));
    // Its Content-Length may promise more than comes.
    expect(await client.head(), JSON.stringify(lines.slice(0, 100))).toMatch(/^HTTP\/1\.1 200 /);
    client.destroy();
  }
  expect(core.events.map(({ type }) => type)).toEqual(['worker-ready']);
}

describe('every header that a library accepts is one that the core accepts', () => {
  test('TypeScript', () =>
    tryOnCore((headers) => headers.map(([name, value]) => linesOf(name, value)).filter((lines) => lines !== null)));

  test.skipIf(!hasPython())('Python', () => tryOnCore(pythonLines));
});
