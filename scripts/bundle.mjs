// Makes dist from src: a start reads few files instead of a hundred small ones, which took half of its time. The lines of a module stay as they
// are written, so that a stack can be read.
//
// A server may run on while its package is replaced, and starts its successor then. So nothing that it needs later is in a file of its own.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What is started or imported by its name in dist. */
const ENTRIES = [
  'index',
  'register',
  'cli/main',
  'cli/forked',
  'certificates/reader-main',
  'config/load-thread',
  'config/follow-imports-hooks',
  'worker/main',
];

/** In few files what a start needs: of the worker, of the main process, and of both. */
const GROUPS = [
  {
    name: 'base',
    test: /\/src\/(?:errors|error-entries|native|package-folder|stack|certificates\/(?:files|reader-protocol)|config\/(?:display-path|frame|module|suggest|version))\.ts$|\/node_modules\/fastest-levenshtein\//,
    priority: 4,
  },
  // In development a worker shows what it prints.
  {
    name: 'format-error',
    test: /\/src\/(?:colors|format-error)\.ts|\/node_modules\/picocolors\/|rolldown.runtime/,
    priority: 3,
  },
  {
    name: 'gateway',
    test: /\/src\/(?:gateway\/(?!error-page)|in-process\.ts|worker\/(?!main)|adapters\/adapt\.ts)/,
    priority: 2,
  },
  {
    name: 'server',
    test: /\/src\/(?:config\/(?!load-thread|follow-imports)|supervisor\/|certificates\/(?:reader|store)\.ts|parse-error\.ts|cli\/(?:arguments|banner|gunicorn|serve|signals)\.ts)|\/node_modules\/valibot\//,
    priority: 1,
  },
  // Only where a configuration asks for it, and then at once.
  { name: 'acme', test: /\/src\/acme\//, priority: 1 },
];

const build = await rolldown({
  cwd: root,
  input: Object.fromEntries(ENTRIES.map((name) => [name, join(root, `src/${name}.ts`)])),
  platform: 'node',
  // Large, and loaded only when they are needed.
  external: ['chokidar', 'jiti'],
  // Modules of the language, where a package has them.
  resolve: { extensionAlias: { '.js': ['.ts', '.js'] }, mainFields: ['module', 'main'] },
});
const { output } = await build.generate({
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name].js',
  codeSplitting: { groups: GROUPS },
});
const dist = join(root, 'dist');
const written = new Map(output.map((file) => [file.fileName, file.code]));
written.set('LICENSES', licenses(output.flatMap((file) => file.moduleIds)));
for (const [name, text] of written) {
  mkdirSync(dirname(join(dist, name)), { recursive: true });
  writeFileSync(join(dist, name), text);
}
// What was made from sources that are gone.
for (const entry of readdirSync(dist, { withFileTypes: true, recursive: true })) {
  const path = join(entry.parentPath, entry.name);
  const name = relative(dist, path);
  const isDeclared = existsSync(join(root, 'src', name.replace(/\.d\.ts$/, '.ts')));
  if (entry.isFile() && !isDeclared && !written.has(name)) rmSync(path);
}

/** The licences of the packages that are in the bundle. */
function licenses(modules) {
  const folders = new Set(modules.map((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+\//.exec(id)?.[0]));
  const texts = [...folders]
    .filter((folder) => folder !== undefined)
    .sort()
    .map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
    });
  return `gwanmun's JavaScript contains the following packages.\n\n${texts.join('\n')}`;
}
