type StartResponse = (status: string, headers: [string, string][]) => unknown;

const chunk = new Uint8Array(16_384).fill(120);

/** 1 MiB in 64 pieces, whose length nobody knows before. */
export function* application(_environ: object, startResponse: StartResponse): Generator<Uint8Array> {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  for (let i = 0; i < 64; i += 1) yield chunk;
}
