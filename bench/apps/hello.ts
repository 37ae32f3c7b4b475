type StartResponse = (status: string, headers: [string, string][]) => unknown;

export function application(_environ: Record<string, unknown>, startResponse: StartResponse): string {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return 'Hello, world!';
}
