// PHP as people use it, with a real php-fpm.

import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected, get, exchange, statusOf } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';
import { Fpm, FPM } from './fpm.js';

const SHOW =
  '<?php header("Content-Type: application/json"); echo json_encode($_SERVER + ["body" => file_get_contents("php://input")]);';

describe.skipIf(FPM === undefined)('a site in PHP', () => {
  const folder = new Folder();
  let fpm: Fpm;
  let server: Gwanmun;

  beforeAll(async () => {
    folder.write('releases/1/index.php', SHOW);
    folder.write('releases/1/style.css', 'body {}');
    folder.write('releases/1/wp-admin/index.php', '<?php echo "admin ", $_SERVER["SCRIPT_NAME"];');
    folder.write('releases/1/plain/index.html', '<p>plain</p>');
    folder.write('releases/1/other.php', SHOW);
    folder.write('releases/1/upload/evil.jpg', '<?php echo "executed";');
    folder.write('releases/1/upload/evil.php', '<?php echo "executed";');
    folder.write('releases/1/config.inc', '<?php $password = "secret";');
    folder.write('releases/1/old.php.bak', '<?php $password = "secret";');
    folder.write('releases/1/UPPER.PHP', '<?php echo "secret";');
    folder.write('releases/1/a.phps', '<?php echo "secret";');
    folder.write(
      'releases/1/post.php',
      '<?php echo $_POST["a"], " ", strlen($_POST["b"]), " ", $_FILES["f"]["size"] ?? "none";',
    );
    folder.write('releases/1/upload.php', '<?php echo md5_file($_FILES["f"]["tmp_name"]);');
    folder.write('releases/1/missing-status.php', '<?php http_response_code(404); echo "none";');
    folder.write('releases/1/go.php', '<?php header("Location: /other.php?x=1");');
    folder.write('releases/1/fatal.php', '<?php error_log("a word"); nothing_at_all();');
    folder.write(
      'releases/1/stream.php',
      '<?php echo "first\\n"; flush(); fgets(fopen("php://input", "r")); usleep(100000); echo "second\\n";',
    );
    folder.write('releases/1/auth.php', '<?php echo $_SERVER["HTTP_AUTHORIZATION"] ?? "withheld";');
    folder.write('releases/1/.env', 'SECRET=1');
    symlinkSync('releases/1', folder.at('current'));
    fpm = await Fpm.start(folder, 4, 'php_admin_flag[log_errors] = on\nphp_admin_flag[display_errors] = off');
    server = await Gwanmun.start(folder, {
      threads: 1,
      mounts: [
        { path: '/', php: { root: './current', to: `unix:${fpm.socket}`, noExec: ['/upload'], maxConnections: 4 } },
        { path: '/laravel', php: { root: './current', to: `unix:${fpm.socket}`, scripts: ['index.php'] } },
        { path: '/files', files: './current' },
        { path: '/above', files: './releases' },
        { path: '/below', files: './current/upload' },
        { path: '/down', php: { root: './current', to: 'unix:./nowhere.sock' } },
      ],
    });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await fpm?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const ask = async (path: string, options = {}) => {
    const { status, body, headers } = await get(server.port, path, options);
    return { status, text: body.toString(), headers };
  };
  const shown = async (path: string) => JSON.parse((await ask(path)).text) as Record<string, string>;

  test('F69 F76–F78 F87: a script knows where it is, also behind a link to a release', async () => {
    const release = folder.at('releases/1');
    expect(await shown('/other.php/a/b?c=d')).toMatchObject({
      SCRIPT_NAME: '/other.php',
      SCRIPT_FILENAME: `${release}/other.php`,
      DOCUMENT_ROOT: release,
      PATH_INFO: '/a/b',
      PATH_TRANSLATED: `${release}/a/b`,
      PHP_SELF: '/other.php/a/b',
      REQUEST_URI: '/other.php/a/b?c=d',
      QUERY_STRING: 'c=d',
      HTTP_HOST: `127.0.0.1:${server.port}`,
      SERVER_PORT: String(server.port),
    });
  });

  test('F91 F92: files are sent, scripts run, and everything else is the front controller’s', async () => {
    expect(await ask('/style.css')).toMatchObject({ status: 200, text: 'body {}' });
    expect(await ask('/plain/')).toMatchObject({ status: 200, text: '<p>plain</p>' });
    expect(await ask('/wp-admin')).toMatchObject({ status: 301, headers: { location: '/wp-admin/' } });
    expect(await ask('/wp-admin/?a')).toMatchObject({ status: 200, text: 'admin /wp-admin/index.php' });
    for (const path of ['/', '/hello-world/', '/a/b?c=d', '/style.css/x', '/.well-known/x']) {
      const server = await shown(path);
      expect([server['SCRIPT_NAME'], server['REQUEST_URI'], server['PATH_INFO']]).toEqual([
        '/index.php',
        path,
        undefined,
      ]);
    }
    expect(await shown('/index.php/slug/')).toMatchObject({ SCRIPT_NAME: '/index.php', PATH_INFO: '/slug/' });
  });

  test('F93: of a framework only its index.php runs', async () => {
    expect((await ask('/laravel/other.php')).status).toBe(404);
    expect(await shown('/laravel/a/b')).toMatchObject({
      SCRIPT_NAME: '/laravel/index.php',
      REQUEST_URI: '/laravel/a/b',
    });
    expect((await ask('/laravel')).headers.location).toBe('/laravel/');
  });

  test.each([
    ['F79 a script that is not there', '/nothing.php', 404],
    ['F80 a path behind an image', '/upload/evil.jpg/x.php', 403],
    ['F80 the same elsewhere', '/style.css/x.php', 404],
    ['F86 a script where none runs', '/upload/evil.php', 403],
    ['F83 a way round', '/index.php/../upload/evil.php', 403],
    ['F83 an encoded one', '/wp-admin/%2e%2e/upload/evil.php', 403],
    ['H69 an encoded slash', '/wp-admin%2findex.php', 404],
    ['F84 capitals', '/UPPER.PHP', 404],
    ['F84 a dot behind', '/other.php.', 404],
    ['F84 the source', '/a.phps', 404],
    ['F84 a stream', '/other.php::$DATA', 404],
    ['F85 a backup', '/old.php.bak', 404],
    ['F85 an include', '/config.inc', 404],
    ['F81 a newline', '/index.php%0a', 400],
    ['F82 NUL', '/index.php%00.css', 400],
    ['F84 a slash behind is PATH_INFO', '/other.php/', 200],
  ])('%s: %s is %i', async (_, path, status) => {
    const head = `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    const answer = await exchange(server.port, head);
    expect(statusOf(answer)).toBe(status);
    expect(answer.toString()).not.toMatch(/executed|secret|<\?php/);
  });

  test('F85: no mount sends the source of a script, whatever it serves, nor when PHP is down', async () => {
    for (const path of [
      '/files/other.php',
      '/files/UPPER.PHP',
      '/files/old.php.bak',
      '/files/config.inc',
      '/above/1/other.php',
      '/below/evil.php',
    ]) {
      expect((await ask(path)).status, path).toBe(404);
    }
    expect((await ask('/files/style.css')).status).toBe(200);
    const down = await ask('/down/other.php');
    expect(down.status).toBe(502);
    expect(down.text).not.toContain('<?php');
    expect((await ask('/down/style.css')).status).toBe(200);
  });

  test('F20 F97: forms, uploads and other methods', async () => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const posted = await ask('/post.php', { method: 'POST', headers: form, body: `a=b&b=${'c'.repeat(200_000)}` });
    expect(posted.text).toBe('b 200000 none');
    const text = 'x'.repeat(1_500_000);
    const body = `--B\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n${text}\r\n--B--\r\n`;
    const headers = { 'Content-Type': 'multipart/form-data; boundary=B' };
    const { createHash } = await import('node:crypto');
    expect((await ask('/upload.php', { method: 'POST', headers, body })).text).toBe(
      createHash('md5').update(text).digest('hex'),
    );
    for (const method of ['PUT', 'DELETE', 'PROPFIND']) {
      const { text } = await ask('/other.php', { method, body: 'abc', headers: { 'Content-Length': '3' } });
      expect(JSON.parse(text)).toMatchObject({ REQUEST_METHOD: method, body: 'abc', CONTENT_LENGTH: '3' });
    }
  });

  test('F31 F34: statuses and redirects of PHP', async () => {
    expect(await ask('/missing-status.php')).toMatchObject({ status: 404, text: 'none' });
    expect(await ask('/go.php')).toMatchObject({ status: 302, headers: { location: '/other.php?x=1' } });
  });

  test('F42: what PHP complains of is in the log, with its request', async () => {
    expect((await ask('/fatal.php?x')).status).toBe(500);
    await server.says(/error FastCGI unix:\S+ \(GET \/fatal\.php\?x\): PHP message: .*nothing_at_all/);
  });

  test('F38: flush() flushes', async () => {
    const socket = await connected(server.port);
    socket.write('GET /stream.php HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const pieces: string[] = [];
    for await (const piece of socket) pieces.push(String(piece));
    expect(pieces.findIndex((piece) => piece.includes('first'))).toBeLessThan(
      pieces.findIndex((piece) => piece.includes('second')),
    );
  });

  test('F72: a client’s password is not passed on', async () => {
    expect((await ask('/auth.php', { headers: { Authorization: 'Basic eA==' } })).text).toBe('withheld');
  });

  test('F47: many at once are all answered', async () => {
    const all = await Promise.all(Array.from({ length: 60 }, (_, index) => ask(`/other.php?${index}`)));
    for (const [index, { text }] of all.entries()) expect(JSON.parse(text).QUERY_STRING).toBe(String(index));
  });

  test('F87: the next release is served when the link is switched', async () => {
    mkdirSync(folder.at('releases/2'));
    folder.write('releases/2/index.php', '<?php echo "two ", $_SERVER["DOCUMENT_ROOT"];');
    symlinkSync('releases/2', folder.at('next'));
    renameSync(folder.at('next'), folder.at('current'));
    const expected = `two ${folder.at('releases/2')}`;
    await expect.poll(async () => (await ask('/')).text, { timeout: 5000 }).toBe(expected);
    rmSync(folder.at('releases/2/index.php'));
    expect((await ask('/')).status).toBe(404);
  });
});
