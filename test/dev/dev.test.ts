// gwanmun dev: what changes is loaded anew, and errors are shown in the browser.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

const application = (text: string, before = ''): string => `${before}
export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return ${JSON.stringify(text)};
}
`;

/** A project that is worked on. */
class Project extends Gwanmun {
  constructor(files: Record<string, string>, args = ['dev', 'app.mjs', '--port', '0']) {
    super({ files, args });
  }

  save(path: string, text: string): void {
    writeFileSync(join(this.folder, path), text);
  }

  /** Changes a file, and waits until the server has said what came of it. */
  async changes(path: string, text: string, pattern = /reloaded in/): Promise<string> {
    const from = this.stderr.length;
    this.save(path, text);
    const [said] = await this.finds(pattern, () => this.stderr.slice(from));
    return said;
  }

  async ask(path = '/', accept = 'text/html'): Promise<{ status: number; type: string | null; body: string }> {
    const response = await fetch(`http://127.0.0.1:${await this.port()}${path}`, { headers: { accept } });
    return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
  }
}

test('a change of the module, or of one that it imports, is seen by the next request', async () => {
  await using project = new Project({
    'app.mjs': "export { application } from './lib/other.mjs';",
    'lib/other.mjs': application('one'),
  });
  await project.port();
  expect((await project.ask()).body).toBe('one');
  await project.changes('lib/other.mjs', application('two'), /lib\/other\.mjs changed; reloaded in \d+ ms/);
  expect((await project.ask()).body).toBe('two');
});

test('a request that comes while the application loads waits for it, on a connection that stays', async () => {
  await using project = new Project({ 'app.mjs': application('old') });
  await project.port();
  const client = await RawClient.connect({ port: await project.port() });
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  await client.send(get);
  expect((await client.response()).body.toString()).toBe('old');
  const slow = `import { setTimeout } from 'node:timers/promises';\nconsole.error('loading');\nawait setTimeout(300);`;
  await project.changes('app.mjs', application('new', slow), /loading/);
  await client.send(get);
  expect((await client.response()).body.toString()).toBe('new');
  client.close();
});

test('a module that does not load is shown with its line, and mending it is enough', async () => {
  await using project = new Project({ 'app.mjs': application('fine') });
  await project.port();
  await project.changes('app.mjs', 'const x = ;\n', /GWM_APP_SYNTAX/);
  await expect.poll(async () => (await project.ask()).status).toBe(500);
  const { type, body } = await project.ask();
  expect(type).toBe('text/html; charset=utf-8');
  expect(body).toContain('GWM_APP_SYNTAX');
  expect(body).toContain('<mark>&gt; 1 | const x = ;</mark>');
  expect((await project.ask('/', 'application/json')).type).toBe('text/plain; charset=utf-8');
  await project.changes('app.mjs', application('mended'));
  expect((await project.ask()).body).toBe('mended');
});

test('it starts with a module that does not load, too', async () => {
  await using project = new Project({ 'app.mjs': "throw new Error('no database');" });
  await expect.poll(async () => (await project.ask()).body).toContain('no database');
  await project.port();
  await project.changes('app.mjs', application('mended'));
  expect((await project.ask()).body).toBe('mended');
});

test.each([
  ['application', "export function application() { throw new TypeError('<b>no</b>'); }"],
  ['promise', "export async function application() { await null; throw new TypeError('<b>no</b>'); }"],
  ['fetch', "export default { fetch() { throw new TypeError('<b>no</b>'); } };"],
  ['node', "export default () => { throw new TypeError('<b>no</b>'); };"],
])('an error of a request is shown with message, lines of code and stack, escaped: %s', async (_, text) => {
  await using project = new Project({ 'app.mjs': text });
  const { status, body } = await project.ask();
  expect(status).toBe(500);
  expect(body).toContain('<h1>TypeError: &lt;b&gt;no&lt;/b&gt;</h1>');
  expect(body).toMatch(/<mark>&gt; 1 \| export /);
  expect(body).toMatch(/at [^\n]*app\.mjs:1:/);
});

test('an error after the headers breaks the connection, as ever', async () => {
  const text = `export function* application(environ, startResponse) {
    startResponse('200 OK', []);
    yield 'some';
    throw new Error('late');
  }`;
  await using project = new Project({ 'app.mjs': text });
  await expect(project.ask()).rejects.toThrow(/terminated|fetch failed/);
});

test('without dev nobody is shown anything', async () => {
  await using project = new Project({ 'app.mjs': "export function application() { throw new Error('a secret'); }" }, [
    'app.mjs',
    '--port',
    '0',
  ]);
  const { status, body } = await project.ask();
  expect(status).toBe(500);
  expect(body).not.toContain('secret');
});

test('a change of the configuration is a reload', async () => {
  const config = (path: string): string =>
    `export default { listen: { port: 0 }, mounts: [{ path: '${path}', app: './app.mjs' }] };`;
  await using project = new Project({ 'app.mjs': application('app'), 'gwanmun.config.mjs': config('/') }, ['dev']);
  await project.port();
  await project.changes('gwanmun.config.mjs', config('/moved'), /configuration 2 is in use/);
  expect((await project.ask('/moved')).body).toBe('app');
  expect((await project.ask('/')).status).toBe(404);
});

test("a Python application's error is shown with its traceback", async () => {
  const python = `
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/html'), ('Content-Length', '3')])
    return [find(environ)]

def find(environ):
    raise LookupError('no ' + environ['PATH_INFO'])
`;
  await using project = new Project({ 'hello.py': python }, ['dev', 'hello.py', '--port', '0']);
  await project.port();
  const { status, body } = await project.ask('/such');
  expect(status).toBe(500);
  expect(body).toMatch(/hello\.py", line 7, in find\n.*\nLookupError: no \/such\n$/);
});

test('a Python application is loaded anew, and shown when it does not load', async () => {
  const python = (text: string): string => `
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'${text}']
`;
  await using project = new Project({ 'hello.py': python('one') }, ['dev', 'hello.py', '--port', '0']);
  await project.port();
  expect((await project.ask()).body).toBe('one');
  await project.changes('hello.py', python('two'));
  expect((await project.ask()).body).toBe('two');
  await project.changes('hello.py', 'def broken(:\n', /GWM_APP_SYNTAX/);
  await expect.poll(async () => (await project.ask()).body).toContain('hello is not valid Python');
  await project.changes('hello.py', python('three'));
  expect((await project.ask()).body).toBe('three');
});
