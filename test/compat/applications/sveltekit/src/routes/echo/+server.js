async function echo({ request }) {
  const body = Buffer.from(await request.arrayBuffer());
  return Response.json({
    method: request.method,
    length: body.length,
    type: request.headers.get('content-type'),
    start: body.subarray(0, 32).toString('latin1'),
  });
}

export { echo as DELETE, echo as PATCH, echo as POST, echo as PUT };
