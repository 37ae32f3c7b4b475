// A reporter of node:test: a line of JSON for each test that has passed or failed, but not for those that only contain others.

export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { name, details, skip, todo } = data;
    if (skip !== undefined || todo !== undefined) continue;
    const error = details?.error;
    if (error?.failureType === 'subtestsFailed') continue;
    const message = String(error?.cause?.message ?? error?.message ?? '');
    yield `${JSON.stringify({ name, passed: type === 'test:pass', message })}\n`;
  }
}
