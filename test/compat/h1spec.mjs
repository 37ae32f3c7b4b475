#!/usr/bin/env node
// uNetworking's h1spec against gwanmun.
//
//   git clone https://github.com/uNetworking/h1spec /tmp/h1spec && npm install --prefix /tmp/h1spec deno
//   npm run build && node test/compat/h1spec.mjs /tmp/h1spec
//
// Exit code 0 only if every case passed.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const [checkout] = process.argv.slice(2);
if (checkout === undefined) {
  process.stderr.write('usage: node test/compat/h1spec.mjs <checkout of h1spec, with deno in its node_modules>\n');
  process.exit(2);
}
const spec = resolve(checkout);
const folder = mkdtempSync(join(tmpdir(), 'gwanmun-h1spec-'));
// It wants every body echoed.
writeFileSync(
  join(folder, 'echo.mjs'),
  `export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return environ['wsgi.input'].bytes();
}
`,
);
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const server = spawn(process.execPath, [main, 'echo.mjs', '--port', '0'], {
  cwd: folder,
  stdio: ['ignore', 'ignore', 'pipe'],
});
let said = '';
const port = await new Promise((found) => {
  server.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
    const match = /127\.0\.0\.1:(\d+)/.exec(said);
    if (match) found(match[1]);
  });
});
const deno = join(spec, 'node_modules/.bin/deno');
const { stdout } = spawnSync(deno, ['run', '--allow-net', join(spec, 'http_test.ts'), '127.0.0.1', port], {
  encoding: 'utf8',
  timeout: 120_000,
});
server.kill();
rmSync(folder, { recursive: true });
process.stdout.write(stdout);
const [, passed, all] = /(\d+) out of (\d+) tests passed/.exec(stdout) ?? [];
process.exit(passed !== undefined && passed === all ? 0 : 1);
