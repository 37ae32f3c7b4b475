import { expect, test } from 'vitest';

import { application } from '../../examples/hello/app.js';
import { call } from './call.js';

test('hello greets from the path', async () => {
  const answer = await call(application, 'GET', '/there');
  expect(answer.status).toBe('200 OK');
  expect(answer.text).toBe('Hello from /there\n');
});
