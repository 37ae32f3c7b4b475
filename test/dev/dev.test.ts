// gwanmun dev: what changes is loaded anew, and errors are shown in the browser.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
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
  constructor(files: Record<string, string>, args = ['dev', 'app.mjs', '--port', '0'], folder?: string) {
    super({ files, args, ...(folder === undefined ? {} : { folder }) });
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

const value = (text: string): string => `export const value = '${text}';`;

describe('what is loaded is watched, wherever it lies', () => {
  /** The project is the folder `site` of a repository. `packages` stands beside it, and is linked to from node_modules. */
  class Member extends Project {
    constructor(files: Record<string, string>, args?: string[]) {
      const root = mkdtempSync(join(tmpdir(), 'gwanmun-workspace-'));
      mkdirSync(join(root, 'site/node_modules'), { recursive: true });
      symlinkSync('../../packages/words', join(root, 'site/node_modules/words'));
      super(files, args, join(root, 'site'));
    }

    override async [Symbol.asyncDispose](): Promise<void> {
      await super[Symbol.asyncDispose]();
      rmSync(dirname(this.folder), { recursive: true });
    }
  }

  const workspace = (app: string, files: Record<string, string> = {}): Member =>
    new Member({
      'app.mjs': app,
      '../packages/words/package.json': '{ "name": "words", "type": "module", "main": "./dist/index.js" }',
      '../packages/words/dist/index.js': value('linked'),
      '../beside.mjs': value('beside'),
      ...files,
    });
  const showing = (imports: string): string => `${imports}
    export function application(environ, startResponse) {
      startResponse('200 OK', []);
      return value;
    }`;

  test.each([
    ['a module beside the project', "import { value } from '../beside.mjs';", '../beside.mjs'],
    ['a CommonJS module', "import cjs from '../cjs.cjs'; const { value } = cjs;", '../cjs.cjs'],
    ['a module of a CommonJS module', "import cjs from '../middle.cjs'; const { value } = cjs;", '../cjs.cjs'],
    ['a package of the workspace', "import { value } from 'words';", '../packages/words/dist/index.js'],
    ['in a folder of a hidden name', "import { value } from './.output/chunk.mjs';", '.output/chunk.mjs'],
    ['what TypeScript imports', "import { value } from './enum.ts';", '../beside.mjs'],
  ])('%s', async (_, imports, file) => {
    await using project = workspace(showing(imports), {
      '../cjs.cjs': "exports.value = 'cjs';",
      '../middle.cjs': "exports.value = require('./cjs.cjs').value;",
      '.output/chunk.mjs': value('hidden'),
      // Which is not for Node's own way with types.
      'enum.ts':
        "import { value as other } from '../beside.mjs'; enum Kind { One } export const value = other + (Kind.One || '');",
    });
    await project.port();
    await project.ask();
    for (const text of ['first', 'second']) {
      const changed = file.endsWith('.cjs') ? `exports.value = '${text}';` : value(text);
      await project.changes(file, changed, new RegExp(`${basename(file)} changed; reloaded`));
      expect((await project.ask()).body).toMatch(text);
    }
  });

  test('a package that is built anew, with its folder', async () => {
    await using project = workspace(showing("import { value } from 'words';"));
    await project.port();
    const dist = join(project.folder, '../packages/words/dist');
    for (const text of ['first', 'second']) {
      const from = project.stderr.length;
      rmSync(dist, { recursive: true });
      mkdirSync(dist);
      project.save('../packages/words/dist/index.js', value(text));
      await project.finds(/reloaded in/, () => project.stderr.slice(from));
      await expect.poll(async () => (await project.ask()).body).toBe(text);
    }
  });

  test('what a request has loaded', async () => {
    const app = `export async function application(environ, startResponse) {
      const { value } = await import('../beside.mjs');
      startResponse('200 OK', []);
      return value;
    }`;
    await using project = workspace(app);
    expect((await project.ask()).body).toBe('beside');
    await project.changes('../beside.mjs', value('changed'));
    expect((await project.ask()).body).toBe('changed');
  });

  test.each([
    [
      'keeps the application from loading',
      /GWM_APP_SYNTAX/,
      { '../beside.mjs': 'export const value = ;' },
      '../beside.mjs',
    ],
    ['is not there yet', /GWM_APP_FAILED/, {}, '../missing.mjs'],
  ])('a file that %s', async (_, fault, files, file) => {
    await using project = workspace(showing(`import { value } from '${file}';`), files);
    await project.says(fault);
    await project.port();
    await project.changes(file, value('mended'));
    expect((await project.ask()).body).toBe('mended');
  });

  test('what the configuration imports, which is then read again', async () => {
    await using project = new Member(
      {
        'app.mjs': application('app'),
        'gwanmun.config.mjs':
          "import { path } from '../shared.mjs'; export default { listen: { port: 0 }, mounts: [{ path, app: './app.mjs' }] };",
        '../shared.mjs': "export const path = '/one';",
      },
      ['dev'],
    );
    await project.port();
    expect((await project.ask('/one')).body).toBe('app');
    for (const path of ['/two', '/three']) {
      await project.changes('../shared.mjs', `export const path = '${path}';`, /configuration \d is in use/);
      expect((await project.ask(path)).body).toBe('app');
    }
  });

  test('modules of Python, also those that a request imports', async () => {
    const python = `
import sys
sys.path.append('..')
import beside

def application(environ, start_response):
    import later
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [(beside.value + later.value).encode()]
`;
    const files = { 'hello.py': python, '../beside.py': "value = 'one '", '../later.py': "value = 'two'" };
    await using project = new Member(files, ['dev', 'hello.py', '--port', '0']);
    await project.port();
    expect((await project.ask()).body).toBe('one two');
    await project.changes('../beside.py', "value = 'changed '", /beside\.py changed; reloaded/);
    expect((await project.ask()).body).toBe('changed two');
    await project.changes('../later.py', "value = 'too'", /later\.py changed; reloaded/);
    expect((await project.ask()).body).toBe('changed too');
    await project.changes('../beside.py', 'value = (', /GWM_APP_SYNTAX/);
    await project.changes('../beside.py', "value = 'mended '");
    expect((await project.ask()).body).toBe('mended too');
  });
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
