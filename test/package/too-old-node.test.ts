import { afterAll, beforeAll, expect, test } from 'vitest';
import { join } from 'node:path';
import { Command, Folder, install, nodeOnly, pack } from './packages.js';

const folder = new Folder();
const project = join(folder.path, 'project');
afterAll(() => folder[Symbol.dispose]());
beforeAll(async () => {
  const { root } = await pack(folder);
  await install(project, await nodeOnly(folder, '20.19.0'), root);
}, 120_000);

// The oldest that knows ECMAScript modules at all, and the newest that is too old.
test.each(['12.22.12', '18.20.8'])('Node %s is told that it is too old', { timeout: 120_000 }, async (version) => {
  const path = await nodeOnly(folder, version);
  using command = new Command(project, path, 'node', 'node_modules/gwanmun/dist/cli/main.js', './site');
  expect(await command.end()).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      new RegExp(`^✗ GWM_NODE_VERSION  gwanmun needs Node.js 20\\.19 or newer; this is ${version}.\n  try: .*\n$`),
    ),
  });
});
