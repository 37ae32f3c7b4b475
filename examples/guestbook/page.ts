/** The pages, as functions from values to HTML. */

import { limits, type Draft, type Entry, type Problems } from './entries.js';
import { html, type Html } from './html.js';

/** The whole guest book; after a refused entry also what was written and what is wrong with it. */
export function guestbookPage(
  entries: Entry[],
  draft: Draft = { name: '', message: '' },
  problems: Problems = {},
): Html {
  return page(
    'Guest book',
    html` <header>
        <img
          src="/gate.svg"
          width="960"
          height="420"
          alt="A Korean palace gate at dawn: a two-storey roof above three arches"
        />
        <h1>Guest book at the <span lang="ko">관문</span></h1>
        <p>You came through the gateway. Tell those who follow that you were here.</p>
      </header>
      <main>
        <form action="/entries" method="post" aria-labelledby="sign">
          <h2 id="sign">Sign the book</h2>
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
          />
          <p class="problem" id="name-problem">${problems.name ?? ''}</p>
          <label for="message">Message</label>
          <textarea
            id="message"
            name="message"
            rows="4"
            maxlength="${limits.message}"
            required
            dir="auto"
            aria-describedby="message-problem"
            aria-invalid="${problems.message ? 'true' : 'false'}"
          >
${draft.message}</textarea>
          <p class="problem" id="message-problem">${problems.message ?? ''}</p>
          <button>Sign</button>
          <p id="status" role="status"></p>
        </form>
        <section aria-labelledby="guests">
          <h2 id="guests">Guests</h2>
          ${entryList(entries)}
        </section>
      </main>
      <footer>
        <h2>Who served this?</h2>
        <p>
          A TypeScript application wrote this page. Its stylesheet, script and pictures are files: the Rust core sent
          them.
        </p>
        <table id="served" hidden>
          <thead>
            <tr>
              <th scope="col">Request</th>
              <th scope="col">Served by</th>
              <th scope="col">First byte</th>
            </tr>
          </thead>
          <tbody></tbody>
        </table>
      </footer>`,
  );
}

/** The list alone: the script replaces the one on the page with it. */
export function entryList(entries: Entry[]): Html {
  return html`<ul id="entries">
    ${entries.map(entryItem)}
  </ul>`;
}

/** A page for a request that cannot be answered: `status` as in `404 Not Found`. */
export function refusalPage(status: string, text: string): Html {
  return page(
    status,
    html` <main class="refusal">
      <img src="/gate.png" width="192" height="192" alt="" />
      <h1>${status}</h1>
      <p>${text}</p>
      <p><a href="/">Back to the guest book</a></p>
    </main>`,
  );
}

function entryItem({ id, name, message, created_at }: Entry): Html {
  return html` <li id="entry-${id}">
    <p class="by">
      <strong><bdi>${name}</bdi></strong> <time datetime="${created_at}">${shortTime(created_at)}</time>
    </p>
    <p class="message" dir="auto">${message}</p>
  </li>`;
}

function shortTime(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`;
}

function page(title: string, body: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
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
