// Applications that know nothing of gwanmun: the standard library's checker, Flask and Django.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { ask, FIXTURES, python, startPython } from './python.js';

const run = promisify(execFile);
const PACKAGES = ['flask>=2.2,<4', 'django>=4.2,<6'];

/** The folder with Flask and Django, installed once for this Python; undefined where they can't be had. */
async function install(): Promise<string | undefined> {
  const key = createHash('sha256')
    .update(`${python} ${PACKAGES.join(' ')}`)
    .digest('hex')
    .slice(0, 12);
  const folder = join(tmpdir(), `gwanmun-test-packages-${key}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  try {
    const options = ['--quiet', '--disable-pip-version-check', '--no-compile', '--retries', '1', '--timeout', '10'];
    await run(python, ['-m', 'pip', 'install', ...options, '--target', fresh, ...PACKAGES], { timeout: 90_000 });
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true });
    if (!existsSync(folder)) {
      process.stderr.write(`SKIPPED: Flask and Django are not tested, pip can't install them: ${String(error)}\n`);
      return undefined;
    }
  }
  return folder;
}

const packages = await install();

test('wsgiref.validate finds no fault', async () => {
  await using server = startPython({ '/': 'validated', '/stream': 'validated:stream' });
  const port = await server.port();
  expect((await ask(port, 'GET /a%20b?c=d')).body.toString()).toBe('hello');
  expect((await ask(port, 'HEAD /')).status).toBe(200);
  expect((await ask(port, 'POST /', ['Content-Type: text/plain'], ', you')).body.toString()).toBe('hello, you');
  expect((await ask(port, 'POST /', [], 'x'.repeat(200_000))).body.length).toBe(200_005);
  expect((await ask(port, 'GET /stream')).body.toString()).toBe('one two three');
  await server.says(/GET \/a%20b\?c=d.*validated/);
  // It complains by exceptions and warnings.
  expect(server.stderr).not.toMatch(/AssertionError|Warning|Traceback/);
});

describe.skipIf(packages === undefined)('Flask', () => {
  let server: Gwanmun | undefined;
  let base: string;
  beforeAll(async () => {
    const env = { PYTHONPATH: [FIXTURES, packages].join(delimiter) };
    server = startPython({ '/': 'flask_app:app', '/below': 'flask_app:app' }, { env });
    base = `http://127.0.0.1:${await server.port()}`;
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test('answers, with status and headers of its own', async () => {
    const response = await fetch(`${base}/`);
    expect([response.status, await response.text()]).toEqual([200, '<p>Hello from Flask</p>']);
    const other = await fetch(`${base}/sum`);
    expect([other.status, other.headers.get('x-total')]).toEqual([201, '1']);
    expect((await fetch(`${base}/nowhere`)).status).toBe(404);
  });

  test('knows where it is mounted', async () => {
    const first = await fetch(`${base}/below/count`);
    expect(await first.json()).toEqual({ count: 1, url: `${base}/below/` });
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
    expect(await (await fetch(`${base}/below/count`, { headers: { cookie } })).json()).toMatchObject({ count: 2 });
    const away = await fetch(`${base}/below/away`, { redirect: 'manual' });
    expect([away.status, away.headers.get('location')]).toEqual([302, '/below/']);
  });

  test('reads forms and files, small and large', async () => {
    for (const size of [10, 1_000_000]) {
      const form = new FormData();
      form.set('name', 'j\u00f6rg');
      form.set('file', new Blob(['x'.repeat(size)]), 'file.txt');
      const response = await fetch(`${base}/echo`, { method: 'POST', body: form });
      expect(await response.json()).toEqual({ name: 'j\u00f6rg', file: size });
    }
  });

  test('streams with its context', async () => {
    expect(await (await fetch(`${base}/stream`)).text()).toBe('0 of /stream\n1 of /stream\n2 of /stream\n');
  });

  test('logs its errors with the request', async () => {
    expect((await fetch(`${base}/fails`)).status).toBe(500);
    await server?.says(/GET \/fails[^]*RuntimeError: on purpose/);
  });
});

describe.skipIf(packages === undefined)('Django', () => {
  let server: Gwanmun | undefined;
  let base: string;
  beforeAll(async () => {
    const env = { PYTHONPATH: packages ?? '', PYTHONDONTWRITEBYTECODE: '1' };
    const project = mkdtempSync(join(tmpdir(), 'gwanmun-django-'));
    const manage = (...args: string[]) =>
      run(python, args, {
        cwd: project,
        env: {
          ...process.env,
          ...env,
          DJANGO_SUPERUSER_PASSWORD: 'secret',
          DJANGO_SUPERUSER_EMAIL: 'admin@example.org',
        },
      });
    await manage('-m', 'django', 'startproject', 'mysite', '.');
    await manage('manage.py', 'migrate', '--verbosity', '0');
    await manage('manage.py', 'createsuperuser', '--no-input', '--username', 'admin');
    server = new Gwanmun({ folder: project, env, config: { mounts: [{ path: '/', wsgi: 'mysite.wsgi', python }] } });
    base = `http://127.0.0.1:${await server.port()}`;
  }, 60_000);
  afterAll(() => server?.[Symbol.asyncDispose]());

  test('a new project shows its page', async () => {
    const response = await fetch(`${base}/`);
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('The install worked')]);
  });

  test('an administrator can log in and out', async () => {
    const form = await fetch(`${base}/admin/login/`);
    const [, token = ''] = /name="csrfmiddlewaretoken" value="([^"]+)"/.exec(await form.text()) ?? [];
    const csrf = form.headers.get('set-cookie')?.split(';')[0] ?? '';
    const response = await fetch(`${base}/admin/login/?next=/admin/`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: csrf },
      body: new URLSearchParams({ csrfmiddlewaretoken: token, username: 'admin', password: 'secret' }),
    });
    expect([response.status, response.headers.get('location')]).toEqual([302, '/admin/']);
    const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
    expect(cookies).toHaveLength(2);
    const page = await fetch(`${base}/admin/`, { headers: { cookie: cookies.join('; ') } });
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('Site administration')]);
  });

  test('refuses a form without its token, and a host that is not its own', async () => {
    expect((await fetch(`${base}/admin/login/`, { method: 'POST', body: 'x=1' })).status).toBe(403);
    expect((await ask(Number(new URL(base).port), 'GET /')).status).toBe(400);
  });
});
