// In development alone: an error as a page of its own, for whoever looks at the browser and not at the terminal.

import { displayPath } from '../config/display-path.js';
import { fileFrame } from '../config/frame.js';
import { describeImportFault } from '../config/module.js';
import { GwanmunError } from '../errors.js';
import { formatError } from '../format-error.js';
import { show } from './show.js';

/** A response that shows an error. */
export interface ErrorPage {
  readonly type: string;
  readonly body: string;
}

/** Makes the page for a client that accepts `accept`: HTML for browsers, text for others. */
export function errorPage(error: unknown, accept = ''): ErrorPage {
  const { title, place, frame, details } = parts(error);
  if (!/text\/html/i.test(accept)) {
    const text = [title, place && `  at ${place}`, frame, '', details].filter((part) => part !== undefined).join('\n');
    return { type: 'text/plain; charset=utf-8', body: `${text}\n` };
  }
  const sections = [
    `<h1>${escape(title)}</h1>`,
    place === undefined ? '' : `<p><code>${escape(place)}</code></p>`,
    frame === undefined ? '' : `<pre class="frame">${escape(frame).replace(/^&gt;.*$/m, '<mark>$&</mark>')}</pre>`,
    `<h2>Details</h2><pre>${escape(details)}</pre>`,
  ];
  return {
    type: 'text/html; charset=utf-8',
    body: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
  h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1rem }
  pre { background: color-mix(in srgb, currentColor 8%, transparent); overflow-x: auto; padding: 1rem }
  footer { opacity: .7 }
</style>
${sections.join('\n')}
<footer><p>This page is shown by <code>gwanmun dev</code> alone. Save the file to try again.</p></footer>
</html>
`,
  };
}

function parts(error: unknown): {
  title: string;
  place?: string | undefined;
  frame?: string | undefined;
  details: string;
} {
  if (error instanceof GwanmunError) {
    const { where, code, message } = error;
    const place = [where?.file, where?.line, where?.column].filter((part) => part !== undefined).join(':');
    return {
      title: `${code}: ${message}`,
      place: place || undefined,
      frame: where?.frame,
      details: formatError(error),
    };
  }
  const { message, file, line, column, frame } = describeImportFault(error, '');
  const name = error instanceof Error ? `${error.name}: ` : '';
  const isKnown = file !== undefined && file !== '' && line !== undefined;
  return {
    title: `${name}${message}`,
    place: isKnown ? [displayPath(file), line, column].filter((part) => part !== undefined).join(':') : undefined,
    frame: frame ?? (isKnown ? fileFrame(file, { line, ...(column === undefined ? {} : { column }) }) : undefined),
    details: show(error),
  };
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
