// `paths` of a tsconfig.json.

import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';

const TSCONFIG = `{
  "extends": "./base.json",
  // As people write it.
  "compilerOptions": { "strict": true, },
}`;
const PATHS = { '@/*': ['./src/*'], '~lib': ['./lib/index.ts'] };
const APPLICATION = `
import { word } from '@/words/word';
import { other } from '~lib';
export function application(environ, startResponse) {
  startResponse('200 OK', []);
  return word + other;
}`;

test.each(['src/app.ts', 'src/app.mjs'])('an import by one of them is found: %s', async (app) => {
  await using server = new Gwanmun({
    files: {
      'tsconfig.json': TSCONFIG,
      'base.json': JSON.stringify({ compilerOptions: { paths: PATHS } }),
      [app]: app.endsWith('.ts') ? APPLICATION.replace('environ,', 'environ: unknown,') : APPLICATION,
      'src/words/word.ts': "export const word: string = 'word';",
      'lib/index.ts': "import { word } from '@/words/word.js'; export const other: string = word.toUpperCase();",
    },
    args: [app, '--port', '0'],
  });
  const response = await fetch(`http://127.0.0.1:${await server.port()}/`);
  expect(await response.text()).toBe('wordWORD');
});

test('what none of them has is missing, and the module that wants it is named', async () => {
  await using server = new Gwanmun({
    files: {
      'tsconfig.json': JSON.stringify({ compilerOptions: { paths: PATHS } }),
      'app.mjs': "import 'nosuch';",
    },
    args: ['app.mjs', '--port', '0'],
  });
  await server.says(/GWM_APP_FAILED {2}app\.mjs: Cannot find package 'nosuch' imported from .*app\.mjs/);
  expect(await server.exit()).toBe(1);
});
