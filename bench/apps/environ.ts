type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Reads six values and counts the request's headers; `peers/uws.mjs` and `peers/node-http.mjs` do the same with theirs. */
export function application(environ: Record<string, string>, startResponse: StartResponse): string {
  const method = environ['REQUEST_METHOD'] ?? '';
  const path = environ['PATH_INFO'] ?? '';
  const query = environ['QUERY_STRING'] ?? '';
  const agent = environ['HTTP_USER_AGENT'] ?? '';
  const language = environ['HTTP_ACCEPT_LANGUAGE'] ?? '';
  const cookie = environ['HTTP_COOKIE'] ?? '';
  let headers = 0;
  for (const name of Object.keys(environ)) if (name.startsWith('HTTP_')) headers += 1;
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return `${method} ${path} ${query.length + agent.length + language.length + cookie.length} ${headers}`;
}
