// What is said where nobody looks: in a file or a pipe.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { getStatus } from '../transport/client.js';

const APP = `
console.log('printed at the start');
export function application(environ, startResponse) {
  console.error('printed for a request');
  environ['wsgi.errors'].write('said for a request');
  if (environ.PATH_INFO === '/exit') process.exit(3);
  throw new Error('of the application');
}`;

/** Starts it, and has it say all kinds of things. */
async function said(config: Record<string, unknown>, args: readonly string[] = []): Promise<string[]> {
  const text = JSON.stringify({ listen: 0, accessLog: false, mounts: [{ path: '/', app: './app.mjs' }], ...config });
  await using server = new Gwanmun({
    files: { 'app.mjs': APP, 'gwanmun.config.json': text },
    args: [...args, '--config', 'gwanmun.config.json'],
  });
  const port = await server.port();
  expect(await getStatus(port, '/')).toBe(500);
  expect(await getStatus(port, '/exit')).toBe(502);
  await server.says(/worker 1 exited with code 3/);
  const client = await RawClient.connect({ port });
  await client.send('no request\r\n\r\n');
  await client.response();
  client.close();
  server.child.kill('SIGHUP');
  await server.says(/configuration 2 is in use/);
  writeFileSync(join(server.folder, 'app.mjs'), 'const x = ;');
  server.child.kill('SIGHUP');
  await server.says(/the reload failed/);
  server.child.kill('SIGTERM');
  await server.exit();
  return server.stderr.trimEnd().split('\n');
}

test('each event has time and level, whoever says it; further lines of one are indented', async () => {
  const lines = await said({});
  expect(lines.filter((line) => !/^(\d{4}-\d\d-\d\dT[\d:.]+Z (error|warn|info) \S|\t)/.test(line))).toEqual([]);
  for (const part of [
    'listening on',
    '[worker 1] printed at',
    '[worker 1] printed for',
    'said for',
    'of the app',
    'client',
  ])
    expect(lines.join('\n')).toContain(part);
});

test('with a JSON log each line is an object', async () => {
  const lines = await said({ errorLog: { format: 'json' } });
  const events = lines.map((line) => (JSON.parse(line) as { event: string }).event);
  for (const event of [
    'listening',
    'output',
    'application-error',
    'worker-exited',
    'refused',
    'reloaded',
    'reload-failed',
  ])
    expect(events).toContain(event);
});

test.runIf(process.getuid?.() === 0)('that it runs as root is said once, and before it is ready', async () => {
  for (const config of [{}, { errorLog: { format: 'json' } }]) {
    const lines = await said(config);
    const warnings = lines.flatMap((line, index) => (line.includes('run as root') ? [index] : []));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toBeLessThan(lines.findIndex((line) => line.includes('listening on')));
  }
  await using server = new Gwanmun({ files: { 'app.mjs': APP }, args: ['dev', 'app.mjs', '--port', '0'] });
  await server.port();
  expect(server.stderr).not.toContain('run as root');
});
