type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Reads every header; the programs of the peers do the same with theirs. */
export function application(environ: Record<string, string>, startResponse: StartResponse): string {
  let count = 0;
  let length = 0;
  for (const key in environ) {
    if (!key.startsWith('HTTP_')) continue;
    count += 1;
    length += (environ[key] ?? '').length;
  }
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return `${count} ${length}`;
}
