/**
 * A guest book: one application behind gwanmun, in plain CGI terms.
 *
 * The core serves style.css, script.js and the pictures from ./public without waking JavaScript. What is left reaches
 * `application`: it reads the request from `environ`, announces status and headers with `startResponse`, and returns the body.
 */

import type { Application, Environ } from 'gwanmun';

import { addEntry, latestEntries, problemsOf, type Draft, type Problems } from './entries.js';
import { changes } from './events.js';
import type { Html } from './html.js';
import { entryList, guestbookPage, refusalPage, refusedText, type Author } from './page.js';

export const application: Application = (environ, startResponse) => {
  const started = performance.now();
  const elapsed = (): string => (performance.now() - started).toFixed(2);
  const { status, headers = [], body = '' } = answer(environ, elapsed);
  startResponse(status, [
    ...headers,
    ['Cache-Control', 'no-cache'],
    ['Server-Timing', `app;desc="worker ${process.pid}";dur=${elapsed()}`],
    ['X-Content-Type-Options', 'nosniff'],
  ]);
  return body;
};

interface Answer {
  status: string;
  headers?: [name: string, value: string][];
  body?: string | AsyncIterable<string>;
}
type Handler = (environ: Environ, elapsed: () => string) => Answer;

const routes = new Map<string, Map<string, Handler>>([
  ['/', new Map([['GET', showGuestbook]])],
  [
    '/entries',
    new Map([
      ['GET', listEntries],
      ['POST', postEntry],
    ]),
  ],
  ['/events', new Map([['GET', watchEntries]])],
]);

function answer(environ: Environ, elapsed: () => string): Answer {
  const methods = routes.get(environ.PATH_INFO);
  if (methods === undefined) {
    return refusal(environ, '404 Not Found', 'There is nothing behind this gate.');
  }
  // HEAD is a GET whose body the server leaves out, so the application need not know it.
  const method = environ.REQUEST_METHOD === 'HEAD' ? 'GET' : environ.REQUEST_METHOD;
  const handler = methods.get(method);
  if (handler === undefined) {
    const allow = [...methods.keys()].flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : name)).join(', ');
    return refusal(environ, '405 Method Not Allowed', `This address only accepts ${allow}.`, [['Allow', allow]]);
  }
  return handler(environ, elapsed);
}

function showGuestbook(environ: Environ, elapsed: () => string): Answer {
  return page('200 OK', guestbookPage(latestEntries(), author(environ, elapsed)));
}

function author(environ: Environ, elapsed: () => string): Author {
  return { server: environ.SERVER_SOFTWARE ?? '', pid: process.pid, elapsed };
}

/** Server-sent events: a body that goes on until the reader leaves. */
function watchEntries(environ: Environ): Answer {
  const headers: Answer['headers'] = [['Content-Type', 'text/event-stream']];
  return environ.REQUEST_METHOD === 'HEAD'
    ? { status: '200 OK', headers }
    : { status: '200 OK', headers, body: changes() };
}

function listEntries(environ: Environ): Answer {
  const entries = latestEntries();
  const listed = wantsJson(environ) ? json('200 OK', { entries }) : page('200 OK', entryList(entries));
  listed.headers?.push(['Vary', 'Accept']);
  return listed;
}

/** A form this large holds the longest name and message, even if each of their characters is percent-encoded. */
const formLimit = 16 * 1024;

function postEntry(environ: Environ, elapsed: () => string): Answer {
  // Other sites may not sign in a visitor's name. Browsers tell where a form was sent from; programs need not.
  const site = environ.HTTP_SEC_FETCH_SITE ?? 'none';
  if (site !== 'same-origin' && site !== 'none') {
    return refusal(environ, '403 Forbidden', 'Please sign the guest book on its own page.');
  }
  if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(environ.CONTENT_TYPE ?? '')) {
    return refusal(environ, '415 Unsupported Media Type', 'Please send a form (application/x-www-form-urlencoded).');
  }
  const sent = environ['wsgi.input'].read(formLimit + 1);
  if (sent.length > formLimit) {
    return refusal(environ, '413 Content Too Large', 'That is more than fits on a page of the guest book.');
  }

  const form = new URLSearchParams(sent.toString());
  const draft: Draft = { name: oneLine(form.get('name')), message: manyLines(form.get('message')) };
  const problems = problemsOf(draft);
  if (problems !== undefined) {
    return unprocessable(environ, elapsed, draft, problems);
  }
  const entry = addEntry(draft);
  if (wantsJson(environ)) {
    return json('201 Created', { entry });
  }
  // 303 makes the browser GET the page, so that reloading it does not sign twice.
  return { status: '303 See Other', headers: [['Location', '/']] };
}

// Control characters have no business in a text; browsers send a line end as CR LF.
function oneLine(text: string | null): string {
  return (text ?? '').replace(/[\p{Cc}\s]+/gu, ' ').trim();
}

function manyLines(text: string | null): string {
  return (text ?? '')
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]/gu, '')
    .trim();
}

function wantsJson(environ: Environ): boolean {
  return environ.HTTP_ACCEPT?.includes('application/json') ?? false;
}

function unprocessable(environ: Environ, elapsed: () => string, draft: Draft, problems: Problems): Answer {
  const status = '422 Unprocessable Content';
  if (wantsJson(environ)) {
    return json(status, { error: refusedText, problems });
  }
  return page(status, guestbookPage(latestEntries(), author(environ, elapsed), draft, problems));
}

function refusal(environ: Environ, status: string, text: string, headers: Answer['headers'] = []): Answer {
  const refused = wantsJson(environ) ? json(status, { error: text }) : page(status, refusalPage(status, text));
  refused.headers?.push(...headers);
  return refused;
}

function json(status: string, value: unknown): Answer {
  return { status, headers: [['Content-Type', 'application/json']], body: JSON.stringify(value) };
}

/** Everything comes from this server and nothing is written inline: whatever slips into a page cannot run. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "connect-src 'self'",
  "img-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

function page(status: string, body: Html): Answer {
  return {
    status,
    headers: [
      ['Content-Type', 'text/html; charset=utf-8'],
      ['Content-Security-Policy', contentSecurityPolicy],
    ],
    body: body.markup,
  };
}
