// Passwords (RFC 7617) in front of every kind of mount.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get, type Answer } from '../files/client.js';
import { Folder, Gwanmun, MAIN } from '../files/gwanmun.js';
import { RawClient } from '../http/raw-client.js';
import { KINDS, site } from './site.js';

/** The line of a password file has it so. */
const hash = (password: string): string => {
  const { stdout } = spawnSync(process.execPath, [MAIN, 'hash-password'], { input: `${password}\n`, encoding: 'utf8' });
  return stdout.trim();
};
const SECRET = hash('secret');
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('auth', () => {
  const folder = new Folder();
  let server: Gwanmun;
  const ask = (path: string, credentials?: string, method = 'GET', body?: string): Promise<Answer> =>
    get(server.port, path, {
      method,
      headers: credentials === undefined ? {} : { Authorization: credentials },
      ...(body === undefined ? {} : { body }),
    });

  beforeAll(async () => {
    folder.write('users', `# who\nann:${SECRET}\nJörg:${SECRET}\n`);
    server = await site(folder, { auth: { basic: './users', realm: 'a "b"', attempts: false } }, { accessLog: 'json' });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test.each(KINDS)('A32 is asked for by every method, and opens the mount: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'BREW']) {
      for (const credentials of [undefined, basic('ann:wrong'), basic('bob:secret'), 'Bearer x', 'Basic !!']) {
        const answer = await ask(`${path}/`, credentials, method);
        expect(answer.status).toBe(401);
        expect(answer.headers).toMatchObject({
          'www-authenticate': String.raw`Basic realm="a \"b\"", charset="UTF-8"`,
          'cache-control': 'no-store',
        });
      }
    }
    for (const credentials of [
      basic('ann:secret'),
      basic('Jörg:secret'),
      basic('ann:secret').replace('Basic', 'bAsIc '),
    ])
      expect((await ask(`${path}/`, credentials)).status).toBeLessThan(400);
  });

  test('A34 two of them are a bad request', async () => {
    const client = await RawClient.connect({ port: server.port });
    const line = `Authorization: ${basic('ann:secret')}\r\n`;
    await client.send(`GET /fixed HTTP/1.1\r\nHost: a\r\n${line}${line}\r\n`);
    expect((await client.response()).status).toBe(400);
    client.close();
  });

  test('A2 requests of a pipeline are each asked, and answered in their order', async () => {
    const client = await RawClient.connect({ port: server.port });
    const request = (path: string, credentials?: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: a\r\n${credentials === undefined ? '' : `Authorization: ${credentials}\r\n`}\r\n`;
    const many = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0 ? basic(`ann:no${index}`) : basic('ann:secret'),
    );
    await client.send(many.map((credentials) => request('/fixed', credentials)).join('') + request('/none'));
    for (const [index] of many.entries()) expect((await client.response()).status).toBe(index % 2 === 0 ? 401 : 200);
    expect((await client.response()).status).toBe(404);
    client.close();
  });

  test('a body is read once the password is right, and no sooner', async () => {
    const client = await RawClient.connect({ port: server.port });
    const head = (credentials: string): string =>
      `POST /app HTTP/1.1\r\nHost: a\r\nAuthorization: ${credentials}\r\nContent-Length: 5\r\n\r\n`;
    for (const [credentials, status] of [
      [basic('ann:first-wrong'), 401],
      [basic('Jörg:secret'), 200],
      [basic('ann:second-wrong'), 401],
    ] as const) {
      await client.send(`${head(credentials)}he`);
      await client.send('llo');
      expect((await client.response()).status).toBe(status);
    }
    client.close();
  });

  test('who leaves while that is found out leaves nothing behind', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect({ port: server.port })));
    for (const [index, client] of clients.entries()) {
      await client.send(`GET /fixed HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic(`ann:left${index}`)}\r\n\r\n`);
      client.socket.destroy();
    }
    await expect.poll(() => server.held().clients, { timeout: 15_000 }).toBe(0);
    expect((await ask('/fixed', basic('ann:secret'))).status).toBe(200);
  });

  test('A93 A137 A139 the access log has the user, and why not; never the password', async () => {
    await ask('/fixed', basic('ann:secret'));
    await ask('/fixed', basic('ann:unheard-of'));
    await server.prints(/"user":"ann"/);
    await server.prints(/"reason":"user or password is wrong"/);
    expect(server.stdout).not.toContain('unheard-of');
    expect(server.stdout).not.toContain(Buffer.from('ann:unheard-of').toString('base64'));
  });
});

const SHOW = `
export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'application/json']]);
  return [JSON.stringify(environ, (key, value) => (typeof value === 'object' && key !== '' ? undefined : value))];
}
`;
const SHOW_PYTHON = `
import json
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
`;

test('A90–A92 A47 the application knows who it is, from the server alone', async () => {
  using folder = new Folder();
  folder.write('show.mjs', SHOW);
  folder.write('show.py', SHOW_PYTHON);
  folder.write('node.mjs', 'export default (request, response) => response.end(JSON.stringify(request.headers));\n');
  folder.write(
    'fetch.mjs',
    'export default { fetch: (request) => Response.json(Object.fromEntries(request.headers)) };\n',
  );
  folder.write('users', `Jörg:${SECRET}\n`);
  await using server = await Gwanmun.start(folder, {
    mounts: [
      { path: '/contract', app: './show.mjs', auth: { basic: './users' } },
      { path: '/python', wsgi: 'show:application', auth: { basic: './users' } },
      { path: '/node', app: './node.mjs', auth: { basic: './users' } },
      { path: '/fetch', app: './fetch.mjs', auth: { basic: './users' } },
      { path: '/passed', app: './show.mjs', auth: { basic: './users' }, passAuthorization: true },
      { path: '/open', app: './show.mjs' },
    ],
  });
  const forged = {
    'Remote-User': 'root',
    'Auth-Type': 'Basic',
    'X-Remote-User': 'root',
    'Ssl-Client-Verify': 'SUCCESS',
  };
  const ask = async (path: string, headers: Record<string, string>): Promise<Record<string, string>> =>
    JSON.parse((await get(server.port, path, { headers })).body.toString()) as Record<string, string>;
  const Authorization = basic('Jörg:secret');
  const latin1 = Buffer.from('Jörg').toString('latin1');
  for (const path of ['/contract', '/python', '/passed']) {
    const seen = await ask(path, { Authorization, ...forged });
    expect(seen, path).toMatchObject({ REMOTE_USER: latin1, AUTH_TYPE: 'Basic', HTTP_REMOTE_USER: latin1 });
    for (const name of ['HTTP_X_REMOTE_USER', 'HTTP_AUTH_TYPE', 'HTTP_SSL_CLIENT_VERIFY'])
      expect(seen[name]).toBeUndefined();
    expect(seen['HTTP_AUTHORIZATION']).toBe(path === '/passed' ? Authorization : undefined);
  }
  for (const path of ['/node', '/fetch']) {
    const seen = await ask(path, { Authorization, ...forged });
    expect(seen['remote-user'], path).toBe(latin1);
    expect(seen['authorization']).toBeUndefined();
    expect(seen['x-remote-user']).toBeUndefined();
  }
  const open = await ask('/open', { Authorization, ...forged });
  expect([open['REMOTE_USER'], open['AUTH_TYPE'], open['HTTP_AUTHORIZATION']]).toEqual([
    undefined,
    undefined,
    Authorization,
  ]);
});

test('A5 a mount has the password of what is around it, its own instead, or none', async () => {
  using folder = new Folder();
  const of = (user: string): Record<string, unknown> => ({ auth: { basic: { [user]: SECRET } } });
  await using server = await Gwanmun.start(folder, {
    ...of('whole'),
    mounts: [
      { path: '/', respond: '/' },
      { path: '/admin', respond: '/admin', ...of('admin') },
      { path: '/admin/deep', respond: '/admin/deep', deny: ['192.0.2.1'] },
      { path: '/admin/open', respond: '/admin/open', auth: false },
    ],
  });
  const statuses = async (user?: string): Promise<number[]> => {
    const headers = user === undefined ? {} : { Authorization: basic(`${user}:secret`) };
    const paths = ['/', '/admin', '/admin/deep', '/admin/open', '/x/../admin/open', '/admin/open/../deep'];
    return Promise.all(paths.map(async (path) => (await get(server.port, path, { headers })).status));
  };
  expect(await statuses()).toEqual([401, 401, 401, 200, 200, 401]);
  expect(await statuses('whole')).toEqual([200, 401, 401, 200, 200, 401]);
  expect(await statuses('admin')).toEqual([401, 200, 200, 200, 200, 200]);
});

test('A44 who guesses gets a 429, and whoever is known still comes in', async () => {
  using folder = new Folder();
  await using server = await Gwanmun.start(folder, {
    trustedProxies: ['127.0.0.1'],
    mounts: [{ path: '/', respond: 'in', auth: { basic: { ann: SECRET }, attempts: 3 } }],
  });
  const ask = (credentials: string, address: string): Promise<Answer> =>
    get(server.port, '/', { headers: { Authorization: basic(credentials), 'X-Forwarded-For': address } });
  expect((await ask('ann:secret', '192.0.2.1')).status).toBe(200);
  for (const guess of ['a', 'b', 'b', 'c']) expect((await ask(`ann:${guess}`, '192.0.2.1')).status).toBe(401);
  const refused = await ask('ann:d', '192.0.2.1');
  expect(refused.status).toBe(429);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  // A right one that is known costs nothing, and another address has guessed nothing.
  expect((await ask('ann:secret', '192.0.2.1')).status).toBe(200);
  expect((await ask('ann:d', '192.0.2.2')).status).toBe(401);
});

test('a reload takes over the users, and forgets who was let in', async () => {
  using folder = new Folder();
  folder.write('users', `ann:${SECRET}\n`);
  await using server = await Gwanmun.start(folder, {
    mounts: [{ path: '/', respond: 'in', auth: { basic: './users' } }],
  });
  const ask = async (user: string): Promise<number> =>
    (await get(server.port, '/', { headers: { Authorization: basic(`${user}:secret`) } })).status;
  expect([await ask('ann'), await ask('bob')]).toEqual([200, 401]);
  folder.write('users', `bob:${SECRET}\n`);
  server.child.kill('SIGHUP');
  await server.says(/configuration 2 is in use/);
  expect([await ask('ann'), await ask('bob')]).toEqual([401, 200]);
  // A7 A45: a bad file never replaces a good one.
  folder.write('users', 'bob:plain\n');
  server.child.kill('SIGHUP');
  await server.says(/users, line 1: expected a hash/);
  expect(await ask('bob')).toBe(200);
});

test.each([
  ['ann:plain', 'line 1: expected a hash'],
  [`ok:${SECRET}\nann:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/`, 'line 2: the hash is apr1'],
  ['', 'there is no user in it'],
])('A7 A37 a start names file, line and remedy: %j', (content, message) => {
  using folder = new Folder();
  folder.write('users', content);
  const mounts = [{ path: '/', respond: 'in', auth: { basic: './users' } }];
  folder.write('gwanmun.config.mjs', `export default ${JSON.stringify({ listen: 0, mounts })};\n`);
  const { stderr, status } = spawnSync(process.execPath, [MAIN], { cwd: folder.path, encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain('mounts[0].auth');
});

test('gwanmun hash-password writes a line of a password file', () => {
  const run = (args: string[], input: string) =>
    spawnSync(process.execPath, [MAIN, 'hash-password', ...args], { input, encoding: 'utf8' });
  expect(run(['ann'], 'secret\n').stdout).toMatch(/^ann:\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]+\$[^$\n]+\n$/);
  expect(run([], 'secret').stdout).toMatch(/^\$argon2id\$/);
  expect(run([], '').stderr).toContain('there is no password');
  expect(run(['ann', 'secret'], '').stderr).toContain('would be seen by others');
});

test.each([
  [{ host: '0.0.0.0', port: 0 }, {}, true],
  [{ host: '127.0.0.1', port: 0 }, {}, false],
  [{ host: '0.0.0.0', port: 0 }, { trustedProxies: ['10.0.0.0/8'] }, false],
])('A48 passwords that travel in the clear are told of: %j %j', async (listen, whole, isTold) => {
  using folder = new Folder();
  const mounts = [{ path: '/', respond: 'in', auth: { basic: { ann: SECRET } } }];
  folder.write('gwanmun.config.mjs', `export default ${JSON.stringify({ listen, mounts, ...whole })};\n`);
  const server = spawn(process.execPath, [MAIN], { cwd: folder.path, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  await expect.poll(() => said, { timeout: 15_000 }).toContain('listening on');
  server.kill('SIGTERM');
  await once(server, 'close');
  expect(said.includes('asks for passwords without HTTPS')).toBe(isTold);
});
