// A server whose mounts are of every kind, each with the same rules.

import { type Folder, Gwanmun } from '../files/gwanmun.js';

/** What answers at `/files`, `/app`, `/python`, `/fixed` and `/elsewhere`. */
export const KINDS = ['/files', '/app', '/python', '/fixed', '/elsewhere'] as const;

const APP = `
export function application(environ, startResponse) {
  const headers = [['Content-Type', 'text/plain'], ['X-Powered-By', 'app'], ['X-Frame-Options', 'DENY'], ['Vary', 'Cookie']];
  if (environ.PATH_INFO === '/fails') throw new Error('the test wants it');
  if (environ.PATH_INFO === '/own') headers.push(['Access-Control-Allow-Origin', '*'], ['access-control-allow-credentials', 'true']);
  startResponse('200 OK', headers);
  return [environ.REMOTE_ADDR ?? ''];
}
`;
const PYTHON = `
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Powered-By', 'app')])
    return [b'python']
`;

/** Starts it. `rules`: of each mount; `whole`: of all. */
export async function site(
  folder: Folder,
  rules: Record<string, unknown>,
  whole: Record<string, unknown> = {},
): Promise<Gwanmun> {
  folder.write('public/index.html', 'a page');
  folder.write('app.mjs', APP);
  folder.write('web.py', PYTHON);
  return Gwanmun.start(folder, {
    threads: 1,
    ...whole,
    mounts: [
      { path: '/files', files: './public', ...rules },
      { path: '/app', app: './app.mjs', ...rules },
      { path: '/python', wsgi: 'web:application', ...rules },
      { path: '/fixed', respond: 'fixed', ...rules },
      { path: '/elsewhere', redirect: '/files', ...rules },
    ],
  });
}
