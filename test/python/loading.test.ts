// An application that can't be loaded: what the user reads.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { get } from '../workers/http-client.js';
import { python } from './python.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const FILES = {
  'good.py': 'def application(environ, start_response):\n    start_response("200 OK", [])\n    return [b"good"]\n',
  'app.py': 'import good, os\napp = good.application\nassert os.getcwd() == os.path.dirname(__file__)\n',
  'syntax.py': 'x = 1\ndef broken(:\n    pass\n',
  'uses_syntax.py': 'import syntax\n',
  'dependency.py': 'import json\nimport flask_that_is_not_there\n',
  'throws.py': 'def inner():\n    raise ValueError("on import")\n\ninner()\n',
  'exits.py': 'import sys\nsys.exit(7)\n',
  'dies.py': 'import os\nos._exit(7)\n',
  'misspelt.py': 'def aplication(environ, start_response):\n    pass\n',
  'empty.py': 'x = 1\n',
  'constant.py': 'application = "text"\n',
  'old-python':
    '#!/bin/sh\n# A Python that says it is old.\nexec "$PYTHON" -c \'import sys; sys.version_info = (3, 6, 9); sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))\' "$@"\n',
  'no-python': '#!/nowhere/python\n',
  'package/__init__.py': '',
  'package/wsgi.py': 'from good import application\n',
  '204_no_content/wsgi.py': 'from good import application\n',
  'my-site.py': 'from good import application\n',
};

let folder: string;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-loading-')));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
    if (path.endsWith('-python')) chmodSync(join(folder, path), 0o755);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `gwanmun` to its end. */
async function run(args: string[], mount?: object): Promise<{ code: number; output: string }> {
  if (mount) {
    const config = { listen: 0, mounts: [{ path: '/', python, ...mount }] };
    writeFileSync(join(folder, 'gwanmun.config.json'), JSON.stringify(config));
  }
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1', PYTHON: python },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

describe.each(['check', 'serve'])('gwanmun %s', (command) => {
  test.each([
    ['missing:app', ['GWM_APP_MODULE  There is no module missing in this folder', 'pip install missing']],
    ['package.missing:app', ['GWM_APP_MODULE  There is no module package.missing']],
    ['syntax', ['GWM_APP_SYNTAX  syntax is not valid Python', 'at syntax.py:2:', 'def broken(:', 'SyntaxError']],
    ['uses_syntax', ['GWM_APP_SYNTAX', 'at syntax.py:2:', 'uses_syntax.py", line 1']],
    [
      'dependency',
      ['GWM_APP_FAILED  dependency needs the module flask_that_is_not_there', 'at dependency.py:2', '-m pip install'],
    ],
    [
      'throws',
      ['GWM_APP_FAILED', 'ValueError: on import', 'at throws.py:2', 'line 4, in <module>', 'line 2, in inner'],
    ],
    ['exits', ['GWM_APP_FAILED', 'SystemExit: 7', 'at exits.py:2']],
    ['dies', ['GWM_WORKER_EXITED']],
    ['misspelt', ['GWM_NO_APPLICATION  The module misspelt has no app', "'misspelt:aplication'"]],
    ['good:app', ['GWM_NO_APPLICATION  The module good has no app; it has application', "wsgi: 'good:application'"]],
    ['empty', ['GWM_NO_APPLICATION', 'nothing that can be called']],
    ['constant:application', ['GWM_NO_APPLICATION', 'has application, but it cannot be called']],
  ])('%s', async (wsgi, texts) => {
    const { code, output } = await run([command], { wsgi });
    for (const text of texts) expect(output).toContain(text);
    expect(output).not.toMatch(/gwanmun_worker|importlib/);
    expect(code).toBe(1);
  });

  test('a Python that is too old', async () => {
    const { code, output } = await run([command], { wsgi: 'good', python: './old-python' });
    expect(output).toContain('GWM_PYTHON_VERSION  old-python is Python 3.6.9; 3.8 or newer is needed');
    expect(code).toBe(1);
  });

  test('a Python that is none', async () => {
    const { code, output } = await run([command], { wsgi: 'good', python: './no-python' });
    expect(output).toContain('GWM_PYTHON_MISSING  Python could not be started');
    expect(code).toBe(1);
  });

  test('a Python that is not there', async () => {
    const { code, output } = await run([command], { wsgi: 'good', python: './venv/bin/python' });
    expect(output).toMatch(/GWM_CONFIG_INVALID {2}mounts\[0\]\.python: there is no file venv\/bin\/python\n.*json:1:/);
    expect(code).toBe(2);
  });
});

test('check tells what it has found', async () => {
  const { code, output } = await run(['check'], { wsgi: 'package.wsgi:application' });
  expect(output).toMatch(/✓ gwanmun\.config\.json is valid\n.*\n {2}\/ +package\.wsgi:application \(.*python.*\)/);
  expect(code).toBe(0);
});

test.each(['204_no_content.wsgi:application', '204_no_content.wsgi', 'my-site', 'my-site:application'])(
  'a module may have any name that importlib finds: %s',
  async (wsgi) => {
    expect(await run(['check'], { wsgi })).toMatchObject({ code: 0 });
  },
);

test.each(['app.py', 'app.py:app', 'good.py', 'my-site.py'])('gwanmun %s serves it', async (target) => {
  const files = {
    'site/app.py': FILES['app.py'],
    'site/good.py': FILES['good.py'],
    'site/my-site.py': FILES['my-site.py'],
  };
  await using server = new Gwanmun({ files, args: [`site/${target}`, '--port', '0'] });
  expect((await get(await server.port(), '/')).body.toString()).toBe('good');
});

test('gwanmun "my app.py" says that no such module can be', async () => {
  writeFileSync(join(folder, 'my app.py'), '');
  const { code, output } = await run(['my app.py']);
  expect(output).toContain('GWM_TARGET  my app.py cannot be imported');
  expect(code).toBe(2);
});

test('gwanmun app.py:nothing says what there is', async () => {
  const { code, output } = await run(['good.py:nothing']);
  expect(output).toContain('GWM_NO_APPLICATION  The module good has no nothing; it has application');
  expect(code).toBe(1);
});
