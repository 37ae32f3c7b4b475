type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Holds the worker's thread for 100 ms. */
export function application(_environ: Record<string, unknown>, startResponse: StartResponse): string {
  const end = performance.now() + 100;
  while (performance.now() < end);
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return 'spun';
}
