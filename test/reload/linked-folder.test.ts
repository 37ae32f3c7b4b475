// A deploy switches a symbolic link to another release. A server that was started in the folder of that name goes over to it when it is asked to
// load anew, or has another process take its place.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { get } from '../workers/http-client.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

/** Two releases: each with a configuration, a file, and an application that names its folder. */
const FILES = Object.fromEntries(
  ['one', 'two'].flatMap((release) => [
    [`releases/${release}/public/name.txt`, release],
    [
      `releases/${release}/app.mjs`,
      `export const application = (environ, start) => { start('200 OK', []); return '${release} in ' + process.cwd(); };`,
    ],
    [
      `releases/${release}/gwanmun.config.mjs`,
      `export default { mounts: [{ path: '/', app: './app.mjs', files: './public' }], listen: { port: 0 }, threads: 1 };`,
    ],
  ]),
);

/** A server in the folder `current`, which is a link to the first release. */
class Deployed extends Gwanmun {
  constructor(settings: Settings = {}) {
    super({ files: FILES, link: 'releases/one', args: [], ...settings });
  }

  switch(to: string): void {
    symlinkSync(to, join(this.folder, 'next'));
    renameSync(join(this.folder, 'next'), join(this.folder, 'current'));
  }

  async serves(port: number): Promise<string[]> {
    const texts = await Promise.all(['/name.txt', '/'].map((path) => get(port, path)));
    return texts.map(({ body }) => body.toString());
  }

  /** A command in the folder of that name, as somebody who has changed to it after the switch. */
  async command(...words: string[]): Promise<string> {
    const cwd = join(this.folder, 'current');
    const child = spawn(process.execPath, [MAIN, ...words], { cwd, env: { ...process.env, PWD: cwd, NO_COLOR: '1' } });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (text += String(part)));
    await once(child, 'close');
    return text;
  }
}

const one = (server: Gwanmun): string[] => ['one', `one in ${join(server.folder, 'releases/one')}`];
const two = (server: Gwanmun): string[] => ['two', `two in ${join(server.folder, 'releases/two')}`];

describe.each([['kept'], ['removed']])('the old release is %s', (fate) => {
  const goOn = (server: Deployed): void => {
    server.switch('releases/two');
    if (fate === 'removed') rmSync(join(server.folder, 'releases/one'), { recursive: true });
  };

  test('a reload', async () => {
    await using server = new Deployed();
    const port = await server.port();
    expect(await server.serves(port)).toEqual(one(server));
    goOn(server);
    server.child.kill('SIGHUP');
    await server.says(/configuration 2 is in use/);
    expect(await server.serves(port)).toEqual(two(server));
  });

  test('gwanmun reload, asked in the new release', async () => {
    await using server = new Deployed();
    const port = await server.port();
    goOn(server);
    expect(await server.command('reload')).toMatch(
      /^✓ reloaded process \d+ in \S+\/current: 1 worker, configuration 2\n/,
    );
    expect(await server.serves(port)).toEqual(two(server));
  });

  test('an upgrade', async () => {
    await using server = new Deployed();
    const port = await server.port();
    goOn(server);
    const said = await server.command('upgrade');
    const [, pid] = /^✓ process (\d+) has taken over from process \d+ in \S+\/current\n/.exec(said) ?? [said];
    await server.exit();
    expect(await server.serves(port)).toEqual(two(server));
    process.kill(Number(pid), 'SIGTERM');
    await server.leavesNobody();
  });
});

test('a reload that fails: the old release goes on, with new workers of its own', async () => {
  await using server = new Deployed({ files: { ...FILES, 'releases/two/app.mjs': 'syntax error(' } });
  const port = await server.port();
  server.switch('releases/two');
  expect(await server.command('reload')).toContain('✗ GWM_APP_SYNTAX');
  expect(await server.serves(port)).toEqual(one(server));
  const [worker = 0] = server.workers();
  process.kill(worker, 'SIGKILL');
  await expect.poll(() => server.workers().filter((pid) => pid !== worker).length, { timeout: 5000 }).toBe(1);
  expect(await server.serves(port)).toEqual(one(server));
  // What is mended is taken over by the next one.
  writeFileSync(join(server.folder, 'releases/two/app.mjs'), String(FILES['releases/two/app.mjs']));
  await server.command('reload');
  expect(await server.serves(port)).toEqual(two(server));
});
