import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

let directory: string;
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-cli-')));
  mkdirSync(join(directory, 'empty'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function gwanmun(args: readonly string[], cwd = directory): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NO_COLOR: '1', PORT: '', HOST: '' };
  return spawnSync(process.execPath, [MAIN, ...args], { cwd, env, encoding: 'utf8', timeout: 15_000 });
}

function write(name: string, text: string): void {
  writeFileSync(join(directory, name), text);
}

describe('gwanmun', () => {
  test('--help fits on a screen and begins with examples', () => {
    const { status, stdout, stderr } = gwanmun(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.indexOf('Examples')).toBeLessThan(stdout.indexOf('Options'));
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const word of ['fetch', 'init', '--port', '--workers', '--config', 'Exit codes'])
      expect(stdout).toContain(word);
    // No colour codes into a pipe.
    expect(stdout).not.toContain('\u001B');
  });

  test.each(['serve', 'check', 'fetch', 'init'])('help %s and %s --help show that command, examples first', (name) => {
    const { status, stdout, stderr } = gwanmun(['help', name]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^gwanmun .*: .*\n\nExamples\n/);
    expect(stdout).toContain(`gwanmun ${name}`);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(gwanmun([name, '--help']).stdout).toBe(stdout);
  });

  test('help of an error says what helps, in any case of letters', () => {
    const { status, stdout } = gwanmun(['help', 'gwm_port_in_use']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^GWM_PORT_IN_USE\n/);
    expect(stdout).toContain('What helps:');
  });

  test('help of anything else is exit 2, with what was meant', () => {
    expect(gwanmun(['help', 'chek'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('there is no help for "chek"; did you mean "check"?') as string,
    });
  });

  test('--version prints the version of the package', () => {
    expect(gwanmun(['--version']).stdout).toMatch(/^gwanmun \d+\.\d+\.\d+\n$/);
    expect(gwanmun(['-v']).status).toBe(0);
  });

  test('an unknown option is exit 2, with what was meant, on standard error', () => {
    expect(gwanmun(['--prot', '80'])).toMatchObject({
      status: 2,
      stdout: '',
      stderr: '✗ GWM_USAGE  there is no option --prot; did you mean "--port"?\n  try: run: gwanmun --help\n',
    });
  });

  test('an unknown command is exit 2, with what was meant', () => {
    const { status, stderr } = gwanmun(['chek']);
    expect(status).toBe(2);
    expect(stderr).toContain('there is no command and no file "chek"; did you mean "check"?');
  });

  test('in a folder with nothing to serve is exit 3, with three things to try', () => {
    const { status, stderr } = gwanmun([], join(directory, 'empty'));
    expect(status).toBe(3);
    expect(stderr).toMatch(/^✗ GWM_NO_ENTRY /);
    expect(stderr).toMatch(/try: gwanmun \.\/public .*\n\s+gwanmun app\.ts .*\n\s+gwanmun --config FILE /);
  });

  test('a target that is not there, or is no module, is exit 2', () => {
    write('notes.txt', '');
    write('app.ts', '');
    expect(gwanmun(['ap.ts'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('did you mean "app.ts"?') as string,
    });
    expect(gwanmun(['notes.txt'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('notes.txt is neither a folder nor a module') as string,
    });
  });

  test('a PORT that is no port is told as such', () => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, './empty'], {
      cwd: directory,
      env: { ...process.env, PORT: 'http' },
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toContain('PORT: expected a port from 0 to 65535, got "http"');
  });
});

describe('gwanmun check', () => {
  test('accepts a valid configuration and says what it means', () => {
    write(
      'good.config.ts',
      "export default { listen: ':8123', mounts: [{ path: '/', files: './empty', app: './app.ts' }] };\n",
    );
    write('app.ts', '');
    expect(gwanmun(['check', '-c', 'good.config.ts'])).toEqual(
      expect.objectContaining({
        status: 0,
        stderr: '',
        stdout:
          '✓ good.config.ts is valid\n  listen   http://127.0.0.1:8123\n  /        empty, then app.ts\n  workers  1\n',
      }),
    );
  });

  test('names every fault with its line, and is exit 2', () => {
    write(
      'bad.config.ts',
      "export default {\n  mounts: [\n    { path: '/', files: './empty' },\n    { path: '/a', fils: './empty' },\n  ],\n  timeouts: { header: '15s' },\n};\n",
    );
    const { status, stderr } = gwanmun(['check', '--config', 'bad.config.ts']);
    expect(status).toBe(2);
    expect(stderr).toBe(`✗ GWM_CONFIG_INVALID  bad.config.ts has 2 faults

  bad.config.ts:4:19  mounts[1].fils
    unknown key; did you mean "files"?

  bad.config.ts:6:15  timeouts.header
    expected milliseconds from 1 to 2147483647, got "15s"

  try: correct it, then run: gwanmun check
  more: gwanmun help GWM_CONFIG_INVALID
`);
  });

  test.each(['syntax.mjs', 'syntax.ts'])('names the line of a syntax error in %s', (name) => {
    write(name, 'export default {\n  mounts: [],\n  workers = = 2,\n};\n');
    const { status, stderr } = gwanmun(['check', '--config', name]);
    expect(status).toBe(2);
    expect(stderr).toContain('GWM_CONFIG_LOAD');
    expect(stderr).toContain(`at ${name}:3`);
  });

  test('without a configuration is exit 3, with a missing one exit 2', () => {
    expect(gwanmun(['check'], join(directory, 'empty')).status).toBe(3);
    expect(gwanmun(['check', '-c', 'missing.ts'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('GWM_CONFIG_NOT_FOUND  missing.ts does not exist') as string,
    });
  });
});
