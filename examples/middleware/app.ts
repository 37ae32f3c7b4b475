// Middleware is plain function calls: each takes an application and is one.

import type { Application } from 'gwanmun';
import { authenticated } from './authentication.js';
import { router } from './router.js';
import { timed } from './timing.js';

const note: Application = (environ, startResponse) => {
  const { id } = environ['router.params'] as { id: string };
  startResponse('200 OK', [['Content-Type', 'text/plain; charset=utf-8']]);
  return `Note ${id}, for ${String(environ['REMOTE_USER'])}\n`;
};

const echo: Application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', environ.CONTENT_TYPE ?? 'application/octet-stream']]);
  return environ['wsgi.input'].bytes();
};

export const application = timed(
  authenticated('notes', { ada: 'lovelace' }, router({ 'GET /notes/:id': note, 'POST /echo': echo })),
);
