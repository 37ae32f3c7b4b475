// What a Python worker says is in the one log, with its request.

import { expect, test } from 'vitest';
import { ask, startPython } from './python.js';

test('wsgi.errors, tracebacks and what is printed are events of the JSON log', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { errorLog: { format: 'json' } } });
  const port = await server.port();
  const id = 'abcdefabcdefabcdef';
  for (const path of ['errors', 'raises?error', 'prints']) await ask(port, `GET /${path}`, [`X-Request-Id: ${id}`]);
  await server.says(/error line/);
  const events = server.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const find = (text: string): unknown => events.find((event) => JSON.stringify(event).includes(text));
  expect(find('two lines')).toMatchObject({ event: 'output', stream: 'wsgi.errors', worker: 1, request_id: id });
  expect(find('a secret reason')).toMatchObject({ level: 'error', worker: 1, request_id: id });
  expect(find('"one"')).toMatchObject({ event: 'output', stream: 'stdout', worker: 1 });
  expect(find('error line')).toMatchObject({ event: 'output', stream: 'stderr', worker: 1 });
});
