// Files in the coding that a client likes best: from beside them, or compressed in the background.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, readdirSync, rmSync, statSync } from 'node:fs';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, get } from '../files/client.js';
import { Folder, Gwanmun } from '../files/gwanmun.js';

const TEXT = Array.from({ length: 2000 }, (_, index) => `line ${index} of a text that is worth it\n`).join('');
const SVG = `<svg xmlns="http://www.w3.org/2000/svg"><!-- ${'-'.repeat(4000)} --></svg>`;

const folder = new Folder();
let server: Gwanmun;

beforeAll(async () => {
  folder.write('site/text.txt', TEXT);
  folder.write('site/large.txt', TEXT.repeat(10));
  folder.write('site/short.txt', 'short');
  folder.write('site/image.png', TEXT);
  folder.write('site/kept.txt', TEXT);
  folder.write('site/app.js', TEXT);
  folder.write('site/app.js.br', brotliCompressSync(`br: ${TEXT}`));
  folder.write('site/app.js.gz', gzipSync(`gz: ${TEXT}`));
  folder.write('site/logo.svgz', gzipSync(SVG, { level: 0 }));
  folder.write('site/logo.svgz.br', 'never sent');
  folder.write('plain/text.txt', TEXT);
  folder.write('plain/LOGO.SVGZ', gzipSync(SVG));
  linkSync(folder.write('site/names.txt', `names: ${TEXT}`), folder.at('site/names.html'));
  server = await Gwanmun.start(folder, {
    threads: 2,
    mounts: [
      { path: '/', files: './site', cacheControl: { 'kept.txt': 'no-transform', 'names.html': 'no-store' } },
      { path: '/plain', files: './plain', compression: false },
    ],
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (path: string, accept?: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  get(server.port, path, {
    method,
    headers: { ...(accept === undefined ? {} : { 'Accept-Encoding': accept }), ...headers },
  });

function decoded({ headers, body }: Answer): string {
  switch (headers['content-encoding']) {
    case undefined:
      return body.toString();
    case 'gzip':
      return gunzipSync(body).toString();
    case 'br':
      return brotliDecompressSync(body).toString();
    case 'zstd': {
      const { stdout, status } = spawnSync('zstd', ['-dc'], { input: body, maxBuffer: 1e8 });
      if (status !== 0) throw new Error('zstd cannot read it');
      return stdout.toString();
    }
    default:
      throw new Error(`an unknown coding: ${headers['content-encoding']}`);
  }
}

/** Asks until the file has been compressed. */
async function compressed(path: string, accept: string, from = server): Promise<Answer> {
  const once = (): Promise<Answer> => get(from.port, path, { headers: { 'Accept-Encoding': accept } });
  let answer = await once();
  await expect
    .poll(
      async () => {
        answer = await once();
        return answer.headers['content-encoding'];
      },
      { timeout: 20_000, interval: 20 },
    )
    .toBeDefined();
  return answer;
}

const hasZstd = spawnSync('zstd', ['--version']).status === 0;

describe('compressed in the background', () => {
  test.each(hasZstd ? ['gzip', 'br', 'zstd'] : ['gzip', 'br'])('%s, for who asks later', async (coding) => {
    for (const [path, text] of [
      ['/text.txt', TEXT],
      ['/large.txt', TEXT.repeat(10)],
    ] as const) {
      expect(decoded(await ask(path, coding))).toBe(text);
      const answer = await compressed(path, coding);
      expect(answer.headers).toMatchObject({
        'content-encoding': coding,
        'content-type': 'text/plain; charset=utf-8',
        vary: 'Accept-Encoding',
        'content-length': String(answer.body.length),
      });
      expect(answer.headers).not.toHaveProperty('accept-ranges');
      expect(answer.body.length).toBeLessThan(text.length / 4);
      expect(decoded(answer)).toBe(text);
    }
  });

  test('each coding has a tag of its own, and a 304', async () => {
    const plain = await ask('/text.txt');
    const [gzip, br] = [await compressed('/text.txt', 'gzip'), await compressed('/text.txt', 'br')];
    expect(new Set([plain, gzip, br].map(({ headers }) => headers.etag)).size).toBe(3);
    for (const [accept, { headers }] of [
      [undefined, plain],
      ['gzip', gzip],
      ['br', br],
    ] as const) {
      const again = await ask('/text.txt', accept, { 'If-None-Match': headers.etag ?? '' });
      expect([again.status, again.headers.etag, again.headers['vary']]).toEqual([304, headers.etag, 'Accept-Encoding']);
    }
    expect((await ask('/text.txt', 'gzip', { 'If-None-Match': br.headers.etag ?? '' })).status).toBe(200);
  });

  test('a file of two names has the type and the rules of each', async () => {
    const [text, page] = [await compressed('/names.txt', 'gzip'), await compressed('/names.html', 'gzip')];
    expect([text, page].map(({ headers }) => [headers['content-type'], headers['cache-control']])).toEqual([
      ['text/plain; charset=utf-8', undefined],
      ['text/html; charset=utf-8', 'no-store'],
    ]);
    expect(decoded(page)).toBe(decoded(text));
  });

  test('HEAD has what GET has', async () => {
    const get = await compressed('/text.txt', 'gzip');
    const head = await ask('/text.txt', 'gzip', {}, 'HEAD');
    for (const name of ['content-encoding', 'content-length', 'etag', 'vary']) {
      expect([name, head.headers[name]]).toEqual([name, get.headers[name]]);
    }
  });

  test('a range is one of the file as it is', async () => {
    await compressed('/text.txt', 'gzip');
    const { status, headers, body } = await ask('/text.txt', 'gzip', { Range: 'bytes=0-3' });
    expect([status, headers['content-encoding'], body.toString()]).toEqual([206, undefined, 'line']);
  });

  test('a file that changes is compressed anew', async () => {
    folder.write('site/changing.txt', TEXT);
    expect(decoded(await compressed('/changing.txt', 'gzip'))).toBe(TEXT);
    const other = TEXT.replaceAll('line', 'LINE');
    folder.write('site/changing.txt', other);
    await expect.poll(async () => decoded(await ask('/changing.txt', 'gzip')), { timeout: 10_000 }).toBe(other);
    expect(decoded(await compressed('/changing.txt', 'gzip'))).toBe(other);
  });
});

describe('from beside the file', () => {
  test('at once, the best that the client takes', async () => {
    expect(decoded(await ask('/app.js', 'gzip, br'))).toBe(`br: ${TEXT}`);
    expect(decoded(await ask('/app.js', 'gzip'))).toBe(`gz: ${TEXT}`);
    expect(decoded(await ask('/app.js', 'gzip, br;q=0.5'))).toBe(`gz: ${TEXT}`);
    const plain = await ask('/app.js');
    expect([decoded(plain), plain.headers['vary']]).toEqual([TEXT, 'Accept-Encoding']);
    const { headers } = await ask('/app.js', 'br');
    expect([headers['content-type'], headers['content-encoding']]).toEqual(['text/javascript; charset=utf-8', 'br']);
  });

  test('one that changes or goes is seen', async () => {
    folder.write('site/other.js', TEXT);
    folder.write('site/other.js.gz', gzipSync('first'));
    expect(decoded(await ask('/other.js', 'gzip'))).toBe('first');
    folder.write('site/other.js.gz', gzipSync('second'));
    await expect.poll(async () => decoded(await ask('/other.js', 'gzip')), { timeout: 5000 }).toBe('second');
    rmSync(folder.at('site/other.js.gz'));
    await expect.poll(async () => decoded(await ask('/other.js', 'gzip')), { timeout: 5000 }).toBe(TEXT);
  });
});

test.each([
  ['without Accept-Encoding', '/text.txt', undefined],
  ['with codings that it does not know', '/text.txt', 'compress, identity'],
  ['with a coding that is not wanted', '/text.txt', 'gzip;q=0'],
  ['with one that is wanted less than the file as it is', '/text.txt', 'gzip;q=0.5, identity'],
  ['what is short', '/short.txt', 'gzip'],
  ['what is compressed already', '/image.png', 'gzip'],
  ['what may not be changed', '/kept.txt', 'gzip'],
  ['where compression is off', '/plain/text.txt', 'gzip'],
])('%s: as it is', async (_, path, accept) => {
  for (let i = 0; i < 5; i += 1) {
    const { status, headers } = await ask(path, accept);
    expect([status, headers['content-encoding']]).toEqual([200, undefined]);
  }
});

describe('a file that is in a coding by itself', () => {
  test.each([undefined, 'gzip', 'br', 'identity', 'gzip;q=0'])(
    '.svgz is sent with it, whoever asks: %s',
    async (accept) => {
      for (const path of ['/logo.svgz', '/plain/LOGO.SVGZ']) {
        const answer = await ask(path, accept);
        expect(answer.headers).toMatchObject({
          'content-type': 'image/svg+xml; charset=utf-8',
          'content-encoding': 'gzip',
          'accept-ranges': 'bytes',
        });
        expect(answer.headers).not.toHaveProperty('vary');
        expect(gunzipSync(answer.body).toString()).toBe(SVG);
      }
    },
  );

  test('a 304 and a range are of the file as it is', async () => {
    const { headers, body } = await ask('/logo.svgz', 'gzip');
    expect((await ask('/logo.svgz', 'gzip', { 'If-None-Match': headers.etag ?? '' })).status).toBe(304);
    const part = await ask('/logo.svgz', 'gzip', { Range: 'bytes=0-1' });
    expect([part.status, part.headers['content-encoding'], part.body]).toEqual([206, 'gzip', body.subarray(0, 2)]);
  });
});

describe('with a folder for what was compressed', () => {
  const config = { compressionCache: './var/cache', mounts: [{ path: '/', files: './site' }] };

  test('another start need not compress a file again, whatever its name and time', async () => {
    using own = new Folder();
    own.write('site/a.txt', TEXT);
    {
      await using first = await Gwanmun.start(own, config);
      await compressed('/a.txt', 'gzip', first);
    }
    const [name] = readdirSync(own.at('var/cache'));
    expect(name).toMatch(/^[0-9a-f]{64}\.gz$/);
    expect(statSync(own.at('var/cache')).mode & 0o777).toBe(0o700);
    // What no compressor makes tells that it is taken from there.
    const planted = gzipSync(TEXT, { level: 1 });
    own.write(`var/cache/${name}`, Buffer.concat([createHash('sha256').update(planted).digest(), planted]));
    own.write('site/b.txt', TEXT);
    await using second = await Gwanmun.start(own, config);
    expect((await compressed('/b.txt', 'gzip', second)).body.equals(planted)).toBe(true);
  });

  test('one that cannot be used is told of once, and files are compressed all the same', async () => {
    using own = new Folder();
    own.write('site/a.txt', TEXT);
    own.write('site/b.txt', `b${TEXT}`);
    own.write('var', 'a file where the folder is to be');
    await using server = await Gwanmun.start(own, config);
    for (const path of ['/a.txt', '/b.txt'])
      expect((await compressed(path, 'gzip', server)).headers['content-encoding']).toBe('gzip');
    await server.stop();
    expect(server.stderr.match(/compressionCache: .*\/var\/cache cannot be used/g)).toHaveLength(1);
  });
});
