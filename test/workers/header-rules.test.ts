// What a worker's library lets through, the core takes: else an application, or a client that it echoes, could end its worker.

import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as f from '../../src/gateway/frame.js';
import { HeaderBlock } from '../../src/gateway/headers.js';
import { head, TestCore } from './fake-worker.js';
import { Client } from './http-client.js';

/** A status and a header. */
type Given = [status: string, name: string, value: string];
/** A response head as it crosses: its text, and the form of that. */
type Written = [text: string, form: number];

/** What the library makes of those that it does not refuse. */
function written(given: Given[]): Written[] {
  return given.flatMap(([status, name, value]): Written[] => {
    try {
      const block = new HeaderBlock(status, [[name, value]]);
      return [[block.text(0), block.form]];
    } catch {
      return [];
    }
  });
}

/** The same of the Python worker. */
function pythonWritten(given: Given[]): Written[] {
  const program = `
import json, sys
sys.path.insert(0, sys.argv[1])
import gwanmun_worker
accepted = []
for status, name, value in json.load(sys.stdin):
    try:
        _, _, lines, form = gwanmun_worker.check(status, ((name, value),))
        accepted.append((lines.decode('latin-1'), form))
    except Exception:
        pass
json.dump(accepted, sys.stdout)`;
  const folder = fileURLToPath(new URL('../../python', import.meta.url));
  return JSON.parse(
    execFileSync('python3', ['-c', program, folder], { input: JSON.stringify(given), encoding: 'utf8' }),
  ) as Written[];
}

function hasPython(): boolean {
  return spawnSync('python3', ['--version']).status === 0;
}

async function tryOnCore(accept: (given: Given[]) => Written[]): Promise<void> {
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
  const accepted = accept([
    ...values.map((value): Given => ['200 OK', 'X-Value', value]),
    ...values.map((value): Given => [`200 ${value}`, 'X', 'v']),
    ...[...names, ...concerned].map((name): Given => ['200 OK', name, 'v']),
    ...lengths.map((length): Given => ['200 OK', 'Content-Length', length]),
  ]);
  expect(accepted.length).toBeGreaterThan(300);
  await using core = new TestCore();
  const worker = await core.worker(1);
  for (const [text, form] of accepted) {
    const client = await Client.connect(core.port);
    client.get('/app');
    const { stream } = await worker.begin();
    worker.send(head(stream, 200, text, '', f.FLAG_END, form));
    // Its Content-Length may promise more than comes.
    expect(await client.head(), JSON.stringify(text.slice(0, 100))).toMatch(/^HTTP\/1\.1 200 /);
    client.destroy();
  }
  expect(core.events.map(({ type }) => type)).toEqual(['worker-ready']);
}

describe('every status and header that a library accepts is one that the core accepts', () => {
  test('TypeScript', () => tryOnCore(written));

  test.skipIf(!hasPython())('Python', () => tryOnCore(pythonWritten));
});
