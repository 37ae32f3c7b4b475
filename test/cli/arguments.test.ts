import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.js';
import { GwanmunError } from '../../src/errors.js';

const serve = (rest: object): object => ({
  name: 'serve',
  target: undefined,
  config: undefined,
  ...rest,
  overrides: {
    port: undefined,
    host: undefined,
    workers: undefined,
    settings: {},
    ...('overrides' in rest ? (rest.overrides as object) : {}),
  },
});

const fetch = (url: string, request: object): object => ({
  name: 'fetch',
  target: undefined,
  config: undefined,
  request: { url, method: undefined, headers: [], data: [], isJson: false, include: false, ...request },
});

describe('a command line', () => {
  test.each<[string, object]>([
    ['', serve({})],
    ['serve', serve({})],
    ['./site', serve({ target: './site' })],
    ['serve ./site', serve({ target: './site' })],
    ['serve serve', serve({ target: 'serve' })],
    ['app.ts -p 8080', serve({ target: 'app.ts', overrides: { port: 8080 } })],
    ['--port=0 --host ::1', serve({ overrides: { port: 0, host: '::1' } })],
    ['--workers auto', serve({ overrides: { workers: 'auto' } })],
    ['--workers 4 --workers 2', serve({ overrides: { workers: 2 } })],
    ['-c my.ts', serve({ config: 'my.ts' })],
    ['-- --odd', serve({ target: '--odd' })],
    [
      'app.ts --domain Example.org --domain www.example.org --email a@example.org',
      serve({
        target: 'app.ts',
        overrides: { tls: { domains: ['example.org', 'www.example.org'], email: 'a@example.org' } },
      }),
    ],
    ['check', { name: 'check', config: undefined }],
    ['check --config my.ts', { name: 'check', config: 'my.ts' }],
    ['--help', { name: 'help', topic: undefined }],
    ['check -h', { name: 'help', topic: 'check' }],
    ['app.ts --help', { name: 'help', topic: undefined }],
    ['help', { name: 'help', topic: undefined }],
    ['help fetch', { name: 'help', topic: 'fetch' }],
    ['help GWM_CORE', { name: 'help', topic: 'GWM_CORE' }],
    ['init', { name: 'init', folder: undefined }],
    ['init site', { name: 'init', folder: 'site' }],
    ['fetch /', fetch('/', {})],
    ['fetch /a?b=1 app.ts', { ...fetch('/a?b=1', {}), target: 'app.ts' }],
    ['fetch http://site.example/ -c my.ts', { ...fetch('http://site.example/', {}), config: 'my.ts' }],
    ['fetch -X PUT -d a=1 -d b=2 /', fetch('/', { method: 'PUT', data: ['a=1', 'b=2'] })],
    ['fetch / --json {"a":1}', fetch('/', { data: ['{"a":1}'], isJson: true })],
    ['fetch / -H A:1 --header=B:2 -i', fetch('/', { headers: ['A:1', 'B:2'], include: true })],
    ['fetch -I /', fetch('/', { method: 'HEAD', include: true })],
    ['-v', { name: 'version' }],
    ['--version', { name: 'version' }],
  ])('%j is understood', (line, expected) => {
    expect(parseCommand(line.split(' ').filter(Boolean))).toEqual(expected);
  });

  test.each([
    ['--prot 80', 'there is no option --prot; did you mean "--port"?'],
    ['-x', 'there is no option -x'],
    ['--zzzzzzz', 'there is no option --zzzzzzz'],
    ['--port', '--port needs a value'],
    ['--port --host x', '--port needs a value'],
    ['--port 99999', '--port: expected a port from 0 to 65535, got "99999"'],
    ['--port=-1', '--port: expected a port from 0 to 65535, got "-1"'],
    ['--port 1e3', '--port: expected a port from 0 to 65535, got "1e3"'],
    ['--workers 0', '--workers: expected a whole number from 1 to 1024 or "auto", got "0"'],
    ['--help=yes', '--help takes no value, got "yes"'],
    ['a b', 'gwanmun serves one target, got "a" and "b"'],
    ['scael 3', 'there is no command "scael"; did you mean "scale"?'],
    ['ftech / app.ts', 'there is no command "ftech"; did you mean "fetch"?'],
    ['stauts --json', 'there is no command "stauts"; did you mean "status"?'],
    ['a -c b', 'name either a target or a --config'],
    ['check x', 'gwanmun check takes no target, got "x"'],
    ['check --port 1', 'gwanmun check takes no --port; gwanmun serve does'],
    ['fetch', 'gwanmun fetch needs a path'],
    ['fetch app.ts /', 'gwanmun fetch: expected a path that begins with "/", got "app.ts"'],
    ['fetch / a b', 'gwanmun fetch asks one target, got "a" and "b"'],
    ['fetch / -H oops', '--header: expected "Name: value", got "oops"'],
    ['fetch / -X G(T', '--method: expected a method such as POST, got "G(T"'],
    ['fetch / -d a --json b', 'use either --data or --json'],
    ['fetch / --port 1', 'gwanmun fetch takes no --port; gwanmun serve does'],
    ['-i ./site', 'gwanmun serve takes no --include; gwanmun fetch does'],
    ['init a b', 'gwanmun init takes one folder, got "a" and "b"'],
  ])('%j is refused', (line, message) => {
    let caught: unknown;
    try {
      parseCommand(line.split(' '));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(GwanmunError);
    expect(caught).toMatchObject({ code: 'GWM_USAGE', message, exitCode: 2 });
  });
});
