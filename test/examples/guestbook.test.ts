import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Application } from 'gwanmun';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Entry } from '../../examples/guestbook/entries.js';
import { type Answer, call, type CallOptions } from './call.js';

const directory = mkdtempSync(join(tmpdir(), 'guestbook-'));
const json = { HTTP_ACCEPT: 'application/json' };
const seeds = 3;

let application: Application;

beforeAll(async () => {
  // A directory that is missing: the guest book makes it.
  process.env['GUESTBOOK_DB'] = join(directory, 'data', 'guestbook.db');
  ({ application } = await import('../../examples/guestbook/app.js'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const get = (path: string, environ: Record<string, string> = {}): Promise<Answer> =>
  call(application, 'GET', path, { environ });

const sign = (name: string, message: string, environ: CallOptions['environ'] = {}): Promise<Answer> =>
  call(application, 'POST', '/entries', { body: new URLSearchParams({ name, message }), environ });

async function entries(): Promise<Entry[]> {
  return JSON.parse((await get('/entries', json)).text).entries;
}

test('a new book has its seed entries', async () => {
  expect(await entries()).toHaveLength(seeds);
});

test('the page shows the entries without script', async () => {
  const page = await get('/');
  expect(page.status).toBe('200 OK');
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(page.text).toContain('문지기');
  expect(page.text).toMatch(/<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">\d{4}-\d\d-\d\d \d\d:\d\d UTC</);
});

test('the page says how long the application took, and may run nothing but its own script', async () => {
  const { headers, text } = await get('/');
  expect(headers.get('server-timing')).toMatch(/^app;desc="worker \d+";dur=\d+\.\d\d$/);
  expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';.*script-src 'self'/);
  // What the policy would block must not be on the page.
  expect(text).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*src="\/)|(src|href)="(?!\/|#)/);
});

test('signing with the plain form leads back to the page', async () => {
  const answer = await sign('Grace', 'Without script');
  expect(answer.status).toBe('303 See Other');
  expect(answer.headers.get('location')).toBe('/');
  expect((await get('/')).text).toContain('Without script');
});

test('signing with the script answers the entry', async () => {
  const answer = await sign('Alan', 'With script', json);
  expect(answer.status).toBe('201 Created');
  expect(answer.headers.get('content-type')).toBe('application/json');
  const { entry } = JSON.parse(answer.text) as { entry: Entry };
  expect(entry).toMatchObject({ name: 'Alan', message: 'With script' });
  expect((await entries())[0]).toEqual(entry);
});

test('the list is a fragment or JSON, as asked', async () => {
  const fragment = await get('/entries', { HTTP_ACCEPT: 'text/html' });
  expect(fragment.text).toMatch(/^<div id="entries">[^]*<\/div>$/);
  expect(fragment.headers.get('vary')).toBe('Accept');
  expect((await get('/entries', json)).headers.get('vary')).toBe('Accept');
});

test('what a guest writes is text, never HTML', async () => {
  const attack = `<script>alert(1)</script>"'&<img src=x onerror=alert(1)>`;
  const escaped = '&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;img src=x onerror=alert(1)&gt;';
  await sign(attack.slice(0, 60), attack);
  for (const path of ['/', '/entries']) {
    const { text } = await get(path);
    expect(text).toContain(escaped);
    expect(text).not.toContain('<script>');
    expect(text).not.toContain('<img src=x');
  }
});

test('what is given back after a refusal is escaped too', async () => {
  const { status, text } = await sign(
    '" autofocus onfocus="alert(1)',
    '</textarea><script>alert(1)</script>'.repeat(99),
  );
  expect(status).toBe('422 Unprocessable Content');
  expect(text).toContain('value="&quot; autofocus onfocus=&quot;alert(1)"');
  expect(text).not.toContain('</textarea><script>');
});

test('what is given back after a refusal is what was sent', async () => {
  const { text } = await sign('', 'two\r\nlines');
  // HTML drops one line end after <textarea>.
  expect(text).toMatch(/<textarea[^>]*>\n?two\nlines<\/textarea>/);
});

test('names and messages may be in any script', async () => {
  const message = '안녕하세요 👩‍👩‍👧 שלום 𠮷 €';
  await sign('김민준 🏯', message);
  expect((await entries())[0]).toMatchObject({ name: '김민준 🏯', message });
  expect((await get('/')).text).toContain(message);
});

test('line ends are kept as LF, other control characters are dropped, a name is one line', async () => {
  await sign(' Two\r\nlines\0 ', 'a\r\nb\rc\td\0\u009be\n');
  expect((await entries())[0]).toMatchObject({ name: 'Two lines', message: 'a\nb\nc\tde' });
});

test('bytes that are not UTF-8 are replaced, not refused', async () => {
  const environ = { CONTENT_TYPE: 'application/x-www-form-urlencoded' };
  await call(application, 'POST', '/entries', { body: 'name=%FF&message=%ED%A0%80%zz', environ });
  expect((await entries())[0]).toMatchObject({ name: '\ufffd', message: '\ufffd\ufffd\ufffd%zz' });
});

describe('lengths', () => {
  test('the longest name and message fit, even percent-encoded', async () => {
    const answer = await sign('🏯'.repeat(60), '𠮷'.repeat(1000), json);
    expect(answer.status).toBe('201 Created');
  });

  test.each([
    ['no name', '  ', 'hello', 'name'],
    ['a long name', 'x'.repeat(61), 'hello', 'name'],
    ['no message', 'x', '\r\n', 'message'],
    ['a long message', 'x', 'y'.repeat(1001), 'message'],
  ])('%s is refused and nothing is written', async (_case, name, message, field) => {
    const before = await entries();
    const answer = await sign(name, message, json);
    expect(answer.status).toBe('422 Unprocessable Content');
    expect(Object.keys(JSON.parse(answer.text).problems)).toEqual([field]);

    const page = await sign(name, message);
    expect(page.status).toBe('422 Unprocessable Content');
    expect(page.text).toMatch(new RegExp(`aria-describedby="${field}-problem"\\s+aria-invalid="true"`));
    expect(page.text).toMatch(new RegExp(`id="${field}-problem">Please`));
    expect(await entries()).toEqual(before);
  });

  test('a form that is too large is refused unread', async () => {
    const answer = await sign('x', 'y'.repeat(20_000));
    expect(answer.status).toBe('413 Content Too Large');
    expect(answer.text).toContain('more than fits');
  });
});

test.each([
  ['a body of another type', 'text/plain'],
  ['a body without a type', ''],
])('%s is refused', async (_case, type) => {
  const answer = await call(application, 'POST', '/entries', {
    body: 'name=a&message=b',
    environ: { CONTENT_TYPE: type },
  });
  expect(answer.status).toBe('415 Unsupported Media Type');
});

test.each([
  ['cross-site', '403 Forbidden'],
  ['same-site', '403 Forbidden'],
  ['same-origin', '303 See Other'],
  ['none', '303 See Other'],
])('a form sent from %s gets %s', async (site, status) => {
  expect((await sign('Site', site, { HTTP_SEC_FETCH_SITE: site })).status).toBe(status);
});

test.each([
  ['POST', '/', 'GET, HEAD'],
  ['DELETE', '/entries', 'GET, HEAD, POST'],
  ['__proto__', '/entries', 'GET, HEAD, POST'],
])('%s %s is not allowed', async (method, path, allow) => {
  const answer = await call(application, method, path);
  expect(answer.status).toBe('405 Method Not Allowed');
  expect(answer.headers.get('allow')).toBe(allow);
  expect((await call(application, method, path, { environ: json })).headers.get('allow')).toBe(allow);
});

test.each(['/nothing', '/entries/', '', '/__proto__'])('%j is not found', async (path) => {
  const page = await get(path);
  expect(page.status).toBe('404 Not Found');
  expect(page.text).toContain('<h1>404 Not Found</h1>');
  expect(JSON.parse((await get(path, json)).text)).toEqual({ error: 'There is nothing behind this gate.' });
});

test('whoever listens is told of the newest entry at once, and again when somebody signs', async () => {
  const { changes } = await import('../../examples/guestbook/events.js');
  const [newest] = await entries();
  const events = changes();
  expect(await events.next()).toEqual({ done: false, value: `data: ${newest?.id}\n\n` });
  const next = events.next();
  const { entry } = JSON.parse((await sign('Herald', 'Hear, hear', json)).text) as { entry: Entry };
  expect(await next).toEqual({ done: false, value: `data: ${entry.id}\n\n` });
  expect(await events.return()).toEqual({ done: true, value: undefined });
});

test('HEAD does not listen', async () => {
  const answer = await call(application, 'HEAD', '/events');
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  expect(answer.text).toBe('');
});

test('HEAD has the headers of GET', async () => {
  const head = await call(application, 'HEAD', '/');
  const { status, headers } = await get('/');
  head.headers.delete('server-timing');
  headers.delete('server-timing');
  expect([head.status, head.headers]).toEqual([status, headers]);
});

test('the newest hundred entries are listed, newest first', async () => {
  for (let i = 0; i < 101; i++) {
    await sign('Counter', String(i));
  }
  const messages = (await entries()).map(({ message }) => message);
  expect(messages).toEqual(Array.from({ length: 100 }, (_, i) => String(100 - i)));
});

test('an entry is committed before the answer, so that other workers see it and can write', async () => {
  await sign('First worker', 'written');
  const other = new Database(join(directory, 'data', 'guestbook.db'));
  expect(other.prepare('SELECT message FROM entries ORDER BY id DESC LIMIT 1').all()).toEqual([{ message: 'written' }]);
  other.exec("INSERT INTO entries (name, message) VALUES ('Other worker', 'also written')");
  other.close();
  expect((await entries())[0]?.message).toBe('also written');
});

test('workers that start at once write the seed entries once', async () => {
  const program = fileURLToPath(new URL('open-guestbook.mjs', import.meta.url));
  const env = { ...process.env, GUESTBOOK_DB: join(directory, 'first', 'start.db') };
  const workers: ChildProcess[] = Array.from({ length: 4 }, () => fork(program, { env }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const found = workers.map((worker) => Promise.race([once(worker, 'message'), once(worker, 'exit')]));
  for (const worker of workers) {
    worker.send('open');
  }
  expect(await Promise.all(found)).toEqual(workers.map(() => [seeds, undefined]));
});
