// The prebuilt package on every Node that it is for: both tarballs in an empty folder, and no Rust.

import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Command, Folder, install, nodeOnly, pack, PROGRAM, run, TSC } from './packages.js';

/** The oldest that is supported, and the newest of each line. */
const VERSIONS = ['20.19.0', '22.23.3', '24.21.0', '26.10.0'];

const APP = `import type { Application } from 'gwanmun';

let served: number = 0;

export const application: Application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'text/plain']]);
  return [String((served += 1)), ' ', process.versions.node, ' ', environ.PATH_INFO];
};
`;

const folder = new Folder();
const project = join(folder.path, 'project');
afterAll(() => folder[Symbol.dispose]());

beforeAll(async () => {
  const { root, core } = await pack(folder);
  await install(project, await nodeOnly(folder, VERSIONS[0] ?? ''), root, core);
  mkdirSync(join(project, 'site'));
  writeFileSync(join(project, 'site/index.html'), 'the page\n');
  writeFileSync(join(project, 'app.ts'), APP);
  copyFileSync(PROGRAM, join(project, 'program.ts'));
  // Node 20 runs no TypeScript.
  await run(process.execPath, [TSC, '--outDir', 'compiled', ...COMPILER_OPTIONS, 'program.ts'], { cwd: project });
}, 120_000);

const COMPILER_OPTIONS = ['--target', 'es2022', '--module', 'nodenext', '--noCheck', '--ignoreConfig'];

test('all that is needed came along, and no source of the core', () => {
  const installed = join(project, 'node_modules/gwanmun');
  expect(['dist/index.js', 'python/gwanmun_worker.py'].filter((name) => !existsSync(join(installed, name)))).toEqual(
    [],
  );
  expect(['crates', 'native', 'src', 'scripts'].filter((name) => existsSync(join(installed, name)))).toEqual([]);
});

test('the worker for Python applications came along', () => {
  expect(existsSync(join(project, 'node_modules/gwanmun/python/gwanmun_worker.py'))).toBe(true);
});

describe.each(VERSIONS)('Node %s', (version) => {
  let path: string;
  beforeAll(async () => {
    path = await nodeOnly(folder, version);
  }, 120_000);

  test('serves a folder', async () => {
    using command = new Command(project, path, 'npx', 'gwanmun', './site', '--port', '0');
    const response = await fetch(await command.url());
    expect([response.status, await response.text()]).toEqual([200, 'the page\n']);
    await command.interrupt();
  });

  test('serves an application in TypeScript from a worker process', async () => {
    using command = new Command(project, path, 'npx', 'gwanmun', 'app.ts', '--port', '0');
    const url = await command.url();
    const clients = Array.from({ length: 32 }, async (_, client) => {
      for (let i = 0; i < 60; i++) {
        const response = await fetch(`${url}/${client}/${i}`);
        expect(response.status).toBe(200);
        expect((await response.text()).split(' ').slice(1)).toEqual([version, `/${client}/${i}`]);
      }
    });
    await Promise.all(clients);
    expect(await (await fetch(`${url}/last`)).text()).toBe(`${32 * 60 + 1} ${version} /last`);
    await command.interrupt();
  });

  test('runs a TypeScript program that calls serve()', async () => {
    const file = version.startsWith('20.') ? 'compiled/program.js' : 'program.ts';
    using command = new Command(project, path, 'node', file);
    const { code, stdout, stderr } = await command.end();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      node: version,
      length: 100_000,
      answers: [500, 500, 500, 500],
      code: 'GWM_PORT_IN_USE',
      faults: [],
    });
  });
});
