// What a worker writes to its report while it starts is not believed: whatever it is, the server goes on.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { python } from '../python/python.js';
import { Gwanmun } from './gwanmun-process.js';
import { get } from './http-client.js';

/** What it says before it ends, and what is told of that. */
const REPORTS: readonly (readonly [said: string, told: RegExp])[] = [
  ['hello', /exited with code 1 before it was ready/],
  ['hello\n', /exited with code 1 before it was ready/],
  ['null', /exited with code 1 before it was ready/],
  ['[]', /exited with code 1 before it was ready/],
  ['{"failure":null}\n', /exited with code 1 before it was ready/],
  ['{"cmd":"NODE_HANDLE","type":"no such"}\n', /exited with code 1 before it was ready/],
  ['{"code":"GWM_NO_SUCH","message":"x"}', /exited with code 1 before it was ready/],
  ['{"code":"GWM_APP_FAILED","message":7}', /exited with code 1 before it was ready/],
  ['{"code":"GWM_APP_FAILED","message":"x","where":7}', /exited with code 1 before it was ready/],
  ['{"code":"GWM_APP_FAILED","message":"x","problems":[null]}', /exited with code 1 before it was ready/],
  ['{"code":"GWM_APP_FAILED","message":"of its own accord"}', /GWM_APP_FAILED {2}of its own accord/],
  ['{"version":3,"kind":"x"}', /exited with code 1 before it was ready/],
  ['{"version":"3","kind":{}}', /exited with code 1 before it was ready/],
  ['{"version":"3","kind":"x","stack":7,"where":{}}', /exited with code 1 before it was ready/],
];

async function reload(server: Gwanmun, told: RegExp): Promise<void> {
  const from = server.stderr.length;
  server.child.kill('SIGHUP');
  await server.finds(/the reload failed/, () => server.stderr.slice(from));
  await server.finds(told, () => server.stderr.slice(from));
}

test('a Node worker', { timeout: 60_000 }, async () => {
  const good = `export const application = (environ, start) => { start('200 OK', []); return 'good'; };`;
  await using server = new Gwanmun({ app: './app.mjs', files: { 'app.mjs': good } });
  const port = await server.port();
  for (const [said, told] of REPORTS) {
    const writes = `import { writeSync } from 'node:fs';\nwriteSync(3, ${JSON.stringify(said)});\nprocess.exit(1);\n`;
    writeFileSync(join(server.folder, 'app.mjs'), writes);
    await reload(server, told);
  }
  // More than any report: it is not kept, and the worker's writing fails.
  const more = `
import { writeSync } from 'node:fs';
try {
  for (;;) writeSync(3, 'x'.repeat(65_536));
} catch {
  process.exit(1);
}`;
  writeFileSync(join(server.folder, 'app.mjs'), more);
  await reload(server, /exited with code 1 before it was ready/);
  expect((await get(port, '/')).body.toString()).toBe('good');
});

test('a Python worker', { timeout: 60_000 }, async () => {
  const good = `
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"good"]
`;
  const config = { mounts: [{ path: '/', wsgi: 'app:application', python }] };
  const env = { PYTHONDONTWRITEBYTECODE: '1' };
  await using server = new Gwanmun({ config, env, files: { 'app.py': good } });
  const port = await server.port();
  for (const [said, told] of REPORTS) {
    if (/GWM_/.test(told.source)) continue;
    const writes = `import os\nos.write(3, ${JSON.stringify(said)}.encode())\nos._exit(1)\n`;
    writeFileSync(join(server.folder, 'app.py'), writes);
    await reload(server, told);
  }
  // An exception of the user's own may have anything by the names that are told.
  const raises = `
class Own(Exception):
    name = object()

raise Own("its own")
`;
  writeFileSync(join(server.folder, 'app.py'), raises);
  await reload(server, /GWM_APP_FAILED {2}app could not be imported: app\.Own: its own/);
  expect((await get(port, '/')).body.toString()).toBe('good');
});
