// JSON lines as a log shipper reads them.

import { expect } from 'vitest';

/** One line of a log. */
export type LogLine = Record<string, unknown> & { time: string; level: string; event: string };

/** Every line of a log as an object; fails if one is not what docs/logs.md promises. */
export function parsed(log: string): LogLine[] {
  expect(log === '' || log.endsWith('\n')).toBe(true);
  return log
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      expect(Buffer.byteLength(line)).toBeLessThan(16 * 1024);
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
      const event = JSON.parse(line) as LogLine;
      expect(event).toMatchObject({
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
        level: expect.stringMatching(/^(?:error|warn|info|debug)$/) as string,
        event: expect.stringMatching(/^[a-z-]+$/) as string,
      });
      return event;
    });
}
