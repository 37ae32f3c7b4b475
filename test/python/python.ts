// A gwanmun that hosts a Python application of the fixtures.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RawClient, type Response } from '../http/raw-client.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';

/** Where the applications of the tests are. */
export const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url));

/** A Python to test with: the newest that `python3` is. */
export const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();

/** Starts a server whose mounts run applications of the fixtures folder: path → `module:callable`. */
export function startPython(mounts: Record<string, string>, { config, env, ...settings }: Settings = {}): Gwanmun {
  return new Gwanmun({
    ...settings,
    config: { mounts: Object.entries(mounts).map(([path, wsgi]) => ({ path, wsgi, python })), ...config },
    env: { PYTHONPATH: FIXTURES, PYTHONDONTWRITEBYTECODE: '1', ...env },
  });
}

/** One request on a connection of its own; `line` is `GET /path`. */
export async function ask(
  port: number,
  line: string,
  headers: readonly string[] = [],
  body: string | Uint8Array = '',
): Promise<Response> {
  const client = await RawClient.connect({ port });
  try {
    const length = body.length > 0 ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
    await client.send(`${[`${line} HTTP/1.1`, 'Host: example.org', ...length, ...headers].join('\r\n')}\r\n\r\n`);
    if (body.length > 0) await client.send(body);
    return await client.response(line.split(' ')[0]);
  } finally {
    client.close();
  }
}
