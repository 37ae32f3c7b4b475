export const dynamic = 'force-dynamic';

export function GET() {
  let line = 0;
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(`line ${line}\n`);
      line += 1;
      if (line === 100) controller.close();
    },
  });
  return new Response(body.pipeThrough(new TextEncoderStream()), { headers: { 'Content-Type': 'text/plain' } });
}
