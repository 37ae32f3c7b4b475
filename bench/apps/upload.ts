type StartResponse = (status: string, headers: [string, string][]) => unknown;

/** Counts the bytes of the body as they come. */
export async function application(
  environ: { 'wsgi.input': AsyncIterable<Uint8Array> },
  startResponse: StartResponse,
): Promise<string> {
  let length = 0;
  for await (const chunk of environ['wsgi.input']) length += chunk.length;
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return String(length);
}
