/** The pages, as functions from values to HTML. */

import { limits, type Draft, type Entry, type Problems } from './entries.js';
import { html, type Html } from './html.js';

/** Who writes the page, for the page to say so. */
export interface Author {
  /** Name and version of the server. */
  server: string;
  /** The worker's process id. */
  pid: number;
  /** Milliseconds since the application was called. */
  elapsed: () => string;
}

/** What is said of an entry with problems. */
export const refusedText = 'Not signed yet: please check the marked fields.';

/** The whole guest book; after a refused entry also what was written and what is wrong with it. */
export function guestbookPage(
  entries: Entry[],
  author: Author,
  draft: Draft = { name: '', message: '' },
  problems: Problems = {},
): Html {
  const refused = Object.keys(problems).length > 0;
  return page(
    refused ? 'Not signed yet' : 'Guest book',
    html` <header class="gate">
        <img
          src="/gate.svg"
          width="1920"
          height="420"
          alt="A Korean palace gate before mountains: a two-storey roof above three arches"
        />
      </header>
      <main>
        <div class="title">
          <p class="lead">You came through the gateway.</p>
          <h1>Guest book at the <span lang="ko">관문</span></h1>
        </div>
        <form action="/entries" method="post" aria-labelledby="sign">
          <h2 id="sign">Sign the book</h2>
          <p id="status" role="status" data-state="${refused ? 'refused' : ''}">${refused ? refusedText : ''}</p>
          <label for="name">Name</label>
          <input
            id="name"
            name="name"
            value="${draft.name}"
            maxlength="${limits.name}"
            required
            autocomplete="nickname"
            dir="auto"
            aria-describedby="name-problem"
            aria-invalid="${problems.name ? 'true' : 'false'}"
            ${problems.name ? html`autofocus` : ''}
          />
          <p class="problem" id="name-problem">${problems.name ?? ''}</p>
          <label for="message">Message</label>
          <textarea
            id="message"
            name="message"
            rows="5"
            maxlength="${limits.message}"
            required
            dir="auto"
            aria-describedby="message-problem"
            aria-invalid="${problems.message ? 'true' : 'false'}"
            ${problems.message && !problems.name ? html`autofocus` : ''}
          >
${draft.message}</textarea>
          <p class="problem" id="message-problem">${problems.message ?? ''}</p>
          <p class="actions">
            <button>Sign</button>
            <small id="left">Up to ${limits.message} characters</small>
          </p>
        </form>
        <section aria-labelledby="guests">
          <h2 id="guests">Guests</h2>
          ${entryList(entries)}
        </section>
      </main>
      ${served(author)}`,
  );
}

/** The list alone: the script replaces the one on the page with it. */
export function entryList(entries: Entry[]): Html {
  return html`<div id="entries">
    ${
      entries.length === 0
        ? html`<p class="empty">Nobody has signed yet.<br />The first page is yours.</p>`
        : html`<ol reversed>
            ${entries.map(entryItem)}
          </ol>`
    }
  </div>`;
}

/** A page for a request that cannot be answered: `status` as in `404 Not Found`. */
export function refusalPage(status: string, text: string): Html {
  return page(
    status,
    html` <main class="refusal">
      <img src="/gate.png" width="160" height="160" alt="" />
      <h1>${status}</h1>
      <p>${text}</p>
      <p><a href="/">Back to the guest book</a></p>
    </main>`,
  );
}

function entryItem({ id, name, message, created_at }: Entry): Html {
  return html` <li id="entry-${id}">
    <span class="seal" aria-hidden="true">${initial(name)}</span>
    <p class="by">
      <strong><bdi>${name}</bdi></strong> <time datetime="${created_at}">${shortTime(created_at)}</time>
    </p>
    <p class="message" dir="auto">${message}</p>
  </li>`;
}

const graphemes = new Intl.Segmenter();

/** The first character, as people see it: a flag or a family is one. */
function initial(name: string): string {
  for (const { segment } of graphemes.segment(name)) {
    return segment.toLocaleUpperCase('en');
  }
  return '';
}

function shortTime(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`;
}

/** What this page names as files. The core answers for them: a request for one of them never reaches an application. */
const files = ['/style.css', '/script.js', '/gate.svg'];

function served({ server, pid, elapsed }: Author): Html {
  return html` <footer>
    <div>
      <section>
        <h2 id="who">Who served this?</h2>
        <p>Worker process ${pid} wrote this page in TypeScript. It took ${elapsed()} ms up to this line.</p>
        <p>Everything else here is files. The Rust core sent them, and no JavaScript ran on the server.</p>
        <p>${server}</p>
      </section>
      <section aria-labelledby="who">
        <table>
          <thead>
            <tr>
              <th scope="col">Request</th>
              <th scope="col">Served by</th>
              <th scope="col" class="time">First byte</th>
            </tr>
          </thead>
          <tbody id="served">
            <tr>
              <th scope="row">/</th>
              <td><span class="application">application</span> worker ${pid}</td>
              <td class="time">–</td>
            </tr>
            ${files.map(
              (file) =>
                html` <tr>
                  <th scope="row">${file}</th>
                  <td><span class="core">core</span></td>
                  <td class="time">–</td>
                </tr>`,
            )}
          </tbody>
        </table>
        <p class="measure" hidden>
          <button type="button" id="measure">Measure again</button>
          <small id="measured" role="status">As your browser saw it while it loaded the page.</small>
        </p>
        <noscript><p>Times are your browser’s to measure: that needs the script.</p></noscript>
      </section>
    </div>
  </footer>`;
}

function page(title: string, body: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="theme-color" content="#26355d" media="(prefers-color-scheme: light)" />
        <meta name="theme-color" content="#0b0e1a" media="(prefers-color-scheme: dark)" />
        <title>${title} · 관문</title>
        <link rel="icon" href="/gate.png" type="image/png" />
        <link rel="stylesheet" href="/style.css" />
        <script src="/script.js" type="module"></script>
      </head>
      <body>
        ${body}
      </body>
    </html> `;
}
