type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Parses the body, counts a visit in it and answers it. */
export function application(environ: { 'wsgi.input': { json(): unknown } }, startResponse: StartResponse): string {
  const value = environ['wsgi.input'].json() as { visits: number };
  value.visits += 1;
  startResponse('200 OK', [['Content-Type', 'application/json']]);
  return JSON.stringify(value);
}
