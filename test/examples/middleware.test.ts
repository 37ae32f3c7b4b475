// The examples of middleware, behind a real server.

import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { application } from '../../examples/middleware/app.js';

const folder = new URL('../../examples/middleware/', import.meta.url);
const login = { authorization: `Basic ${Buffer.from('ada:lovelace').toString('base64')}` };

test.each(readdirSync(folder))('%s is under 30 lines', (name) => {
  expect(readFileSync(new URL(name, folder), 'utf8').split('\n').length).toBeLessThanOrEqual(30);
});

test('who is not known gets no further', async () => {
  await using server = await serve({ application, port: 0 });
  for (const headers of [{}, { authorization: 'Basic YWRhOndyb25n' }, { authorization: 'Bearer x' }]) {
    const response = await fetch(`${server.url}notes/1`, { headers });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Basic /);
  }
});

test('routes have parameters, the user is in environ, and the time is told', async () => {
  await using server = await serve({ application, port: 0 });
  const response = await fetch(`${server.url}notes/42`, { headers: login });
  expect(await response.text()).toBe('Note 42, for ada\n');
  expect(response.headers.get('server-timing')).toMatch(/^app;dur=\d+\.\d\d$/);
  const echo = await fetch(`${server.url}echo`, { method: 'POST', body: 'same', headers: login });
  expect(await echo.text()).toBe('same');
});

test('a wrong method is a 405 that names the right one, a wrong path a 404', async () => {
  await using server = await serve({ application, port: 0 });
  const response = await fetch(`${server.url}echo`, { headers: login });
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  expect((await fetch(`${server.url}nowhere`, { headers: login })).status).toBe(404);
});
