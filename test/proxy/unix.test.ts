// P28: who comes by a Unix socket has no address, and is trusted by the word alone.

import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { serve } from '../../dist/index.js';
import { application } from './application.js';

const folder = mkdtempSync(join(tmpdir(), 'gwanmun-proxy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  [['unix'], '192.0.2.7', 'https'],
  [['*'], '', 'http'],
  [['127.0.0.0/8', '::/0'], '', 'http'],
  [[], '', 'http'],
])('with %j', async (trustedProxies, address, scheme) => {
  const path = join(folder, 'site.sock');
  const errorLog = { file: '/dev/null' };
  await using _server = await serve({ application, listen: { unix: path }, trustedProxies, errorLog });
  const ask = (headers: Record<string, string>): Promise<Record<string, string>> => {
    return new Promise((resolve, reject) => {
      const sent = request(
        { socketPath: path, headers: { Host: 'site.example', ...headers }, agent: false },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
          response.on('end', () => resolve(JSON.parse(text) as Record<string, string>));
        },
      );
      sent.on('error', reject).end();
    });
  };
  const said = await ask({ 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https' });
  expect([said['REMOTE_ADDR'], said['wsgi.url_scheme']]).toEqual([address, scheme]);
  expect(said['SERVER_PORT']).toBe(scheme === 'https' ? '443' : '80');
  // P25, P27: where nothing is said of the client, it has no address.
  expect((await ask({ 'X-Forwarded-For': 'unknown' }))['REMOTE_ADDR']).toBe('');
  expect((await ask({}))['REMOTE_ADDR']).toBe('');
});
