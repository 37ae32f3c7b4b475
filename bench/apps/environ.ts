type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Reads six values and counts the keys; the programs of the peers do the same with theirs. */
export function application(environ: Record<string, string>, startResponse: StartResponse): string {
  const method = environ['REQUEST_METHOD'] ?? '';
  const path = environ['PATH_INFO'] ?? '';
  const query = environ['QUERY_STRING'] ?? '';
  const agent = environ['HTTP_USER_AGENT'] ?? '';
  const language = environ['HTTP_ACCEPT_LANGUAGE'] ?? '';
  const cookie = environ['HTTP_COOKIE'] ?? '';
  const keys = Object.keys(environ).length;
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return `${method} ${path} ${query.length + agent.length + language.length + cookie.length} ${keys > 10}`;
}
