// What a person at a terminal sees; the pseudo-terminal is Python's, the standard library's.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PTY = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';

let directory: string;
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-terminal-')));
  mkdirSync(join(directory, 'site'));
  writeFileSync(
    join(directory, 'gwanmun.config.json'),
    JSON.stringify({
      listen: '127.0.0.1:0',
      mounts: [
        { path: '/', files: './site' },
        { path: '/app', app: './app.mjs' },
      ],
    }),
  );
  writeFileSync(join(directory, 'app.mjs'), 'export const application = () => [];\n');
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs at a terminal until it has said `last`, and then presses Ctrl-C. */
async function atTerminal(
  last: string,
  env: Record<string, string | undefined>,
): Promise<{ text: string; code: unknown }> {
  const child = spawn('python3', ['-c', PTY, process.execPath, MAIN], {
    cwd: directory,
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: 'xterm', ...env },
    timeout: 15_000,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    const isThere = text.includes(last);
    text += piece;
    if (!isThere && text.includes(last)) child.stdin.write('\u0003');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  // Root is warned before, once.
  return {
    text: text.replaceAll('\r', '').replace(/^gwanmun: the server and its applications run as root.*\n/, ''),
    code,
  };
}

test('a few lines with colours, and Ctrl-C stops', async () => {
  const { text, code } = await atTerminal('Ctrl-C stops', {});
  expect(text).toContain('\u001B[');
  const lines = stripVTControlCharacters(text).split('\n');
  expect(lines[0]).toMatch(/^gwanmun \d+\.\d+\.\d+ {2}ready in \d+ ms$/);
  expect(lines[1]).toMatch(/^ {2}http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(lines.slice(2, 5)).toEqual([
    '  /     site',
    '  /app  app.mjs',
    '  1 worker · gwanmun.config.json · Ctrl-C stops',
  ]);
  expect(code).toBe(0);
});

test('NO_COLOR leaves the colours away', async () => {
  const { text } = await atTerminal('Ctrl-C stops', { NO_COLOR: '1' });
  expect(text).toMatch(/^gwanmun .* ready in /);
  expect(text).not.toContain('\u001B[');
});

test('a window that is closed ends the server; it is no wish for a reload', async () => {
  const child = spawn('python3', ['-c', PTY, process.execPath, MAIN], {
    cwd: directory,
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '1' },
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await expect.poll(() => text, { timeout: 10_000 }).toContain('Ctrl-C stops');
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(text) ?? [];
  // The terminal goes with the process that emulates it.
  child.kill('SIGKILL');
  const isRefused = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
      socket.once('connect', () => socket.destroy());
    });
  await expect.poll(isRefused, { timeout: 10_000 }).toBe(true);
});
