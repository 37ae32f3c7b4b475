// `gwanmun init`: a small typed configuration for what is there, or for a small application where nothing is.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { displayPath } from '../config/display-path.js';
import { findConfig } from '../config/load.js';
import { createColors } from '../colors.js';
import { GwanmunError } from '../errors.js';
import { PACKAGE } from '../package-folder.js';

/** Writes what is missing into a folder, and returns what to print. Of what exists, it adds `start` to package.json. Throws a GwanmunError. */
export function init(folder: string, color: boolean): string {
  const root = resolve(folder);
  const existing = findConfig(root);
  if (existing !== undefined) {
    const file = displayPath(existing);
    throw new GwanmunError('GWM_INIT_EXISTS', `${file} is here already; nothing was written`, {
      where: { file },
      remedy: folder === '.' ? 'gwanmun check' : `gwanmun check --config ${file}`,
    });
  }
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new GwanmunError('GWM_TARGET', `${folder} is not a folder`, { remedy: 'name a folder: gwanmun init site' });
  }
  const isOlder = existsSync(join(root, 'package.json'));
  const written = plan(root).filter(({ file, text }) => writeNew(join(root, file), text));
  if (isOlder && addStart(join(root, 'package.json'))) {
    written.push({ file: 'package.json', text: '', what: 'npm start was added' });
  }
  const c = createColors(color);
  const width = Math.max(...written.map(({ file }) => file.length));
  const lines = written.map(({ file, what }) => `${c.green('✓')} ${file.padEnd(width)}  ${c.dim(what)}`);
  const enter = folder === '.' ? [] : [`  cd ${folder}`];
  // The package that runs: it is there, whatever a registry has.
  const own = fileURLToPath(PACKAGE).replace(/\/$/, '');
  const install = isInstalled(root) ? [] : [`  npm install ${pathFrom(root, own)}`];
  const start = startsGwanmun(root) ? 'npm start' : 'npx gwanmun';
  return `${[...lines, '', 'Next:', ...enter, ...install, `  ${start}   ${c.dim('# serves it; Ctrl-C stops')}`].join('\n')}\n`;
}

/** Adds a script `start` to a package.json that has none; gives whether it did. */
function addStart(file: string): boolean {
  const text = readFileSync(file, 'utf8');
  try {
    const manifest = JSON.parse(text) as { scripts?: Record<string, string> };
    if (manifest.scripts?.['start'] !== undefined) return false;
    const indent = /^([ \t]+)"/m.exec(text)?.[1] ?? 2;
    const changed = { ...manifest, scripts: { ...manifest.scripts, start: 'gwanmun' } };
    writeFileSync(file, `${JSON.stringify(changed, null, indent)}\n`);
    return true;
  } catch {
    // What is no manifest is npm's to complain about.
    return false;
  }
}

function startsGwanmun(root: string): boolean {
  try {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts?: Record<string, string>;
    };
    return scripts?.['start'] === 'gwanmun';
  } catch {
    return false;
  }
}

/** A folder as npm takes it for one: a bare name would be a package of the registry. */
function pathFrom(root: string, folder: string): string {
  const path = relative(root, folder);
  const named = path.startsWith('.') ? path : `./${path}`;
  return named.length < folder.length ? named : folder;
}

interface NewFile {
  readonly file: string;
  readonly text: string;
  /** A few words for the user. */
  readonly what: string;
}

function plan(root: string): NewFile[] {
  // A new folder is a project of its own, whatever stands above it.
  const isOwn = !existsSync(root) || readdirSync(root).length === 0;
  const manifest = isOwn ? undefined : findUp(root, 'package.json');
  // Where package.json does not say that .ts is an ES module, .mts says so.
  const extension = manifest === undefined || isModule(manifest) ? 'ts' : 'mts';
  const files = FOLDERS.find((name) => isSite(join(root, name)));
  const app = APPLICATIONS.find((name) => isApplication(join(root, name)));
  // Something has to answer `/`.
  const isNew = app === undefined && (files === undefined || !existsSync(join(root, files, 'index.html')));
  const newApp = existsSync(join(root, `app.${extension}`)) ? `application.${extension}` : `app.${extension}`;
  const mount = isNew ? { files: files ?? 'public', app: newApp } : { files, app };
  return [
    { file: `gwanmun.config.${extension}`, text: configText(mount), what: 'what is served, and how' },
    ...(isNew
      ? [
          { file: newApp, text: APPLICATION, what: 'an application' },
          ...(files === undefined ? [{ file: 'public/index.html', text: PAGE, what: 'a page' }] : []),
        ]
      : []),
    ...(manifest === undefined
      ? [{ file: 'package.json', text: MANIFEST, what: 'npm start; files are ES modules' }]
      : []),
    ...(isOwn || findUp(root, 'tsconfig.json') === undefined
      ? [{ file: 'tsconfig.json', text: TSCONFIG, what: 'for the editor and tsc' }]
      : []),
  ];
}

const FOLDERS = ['public', 'static', 'dist', 'build', 'site'];
const APPLICATIONS = ['ts', 'mts', 'js', 'mjs'].flatMap((extension) => [`app.${extension}`, `src/app.${extension}`]);

/** A folder that holds files for browsers; `dist` may as well hold a compiler's output. */
function isSite(folder: string): boolean {
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder) return false;
  return /(public|static)$/.test(folder) ? readdirSync(folder).length > 0 : existsSync(join(folder, 'index.html'));
}

function isApplication(file: string): boolean {
  const isFile = statSync(file, { throwIfNoEntry: false })?.isFile() === true;
  return isFile && /\bapplication\b|export default/.test(readFileSync(file, 'utf8'));
}

function isModule(manifest: string): boolean {
  try {
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { type?: unknown }).type === 'module';
  } catch {
    return false;
  }
}

function isInstalled(root: string): boolean {
  return findUp(root, 'node_modules/gwanmun/package.json') !== undefined;
}

/** The file of this name in a folder or the nearest one above. */
function findUp(folder: string, name: string): string | undefined {
  const file = join(folder, name);
  if (existsSync(file)) return file;
  return dirname(folder) === folder ? undefined : findUp(dirname(folder), name);
}

/** Whether it was written: not if something has the name already. */
function writeNew(file: string, text: string): boolean {
  mkdirSync(dirname(file), { recursive: true });
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** A type's import is removed before it runs: the configuration works where gwanmun is not installed. */
function configText({ files, app }: { files: string | undefined; app: string | undefined }): string {
  const answers = [
    ...(files === undefined ? [] : [`files: './${files}'`]),
    ...(app === undefined ? [] : [`app: './${app}'`]),
  ];
  const note = answers.length > 1 ? '\n  // A file that exists wins; everything else goes to the application.' : '';
  return `import type { Config } from 'gwanmun';

export default {${note}
  mounts: [{ path: '/', ${answers.join(', ')} }],
  // listen: '0.0.0.0:8080', // default: PORT and HOST of the environment, else 127.0.0.1:3000
} satisfies Config;
`;
}

const APPLICATION = `import type { Application } from 'gwanmun';

export const application: Application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'text/plain; charset=utf-8']]);
  return \`Hello from \${environ.PATH_INFO}\\n\`;
};
`;

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>gwanmun</title>
  <style>
    :root { color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif }
    body { max-width: 32rem; margin: 15vh auto; padding: 0 1rem }
  </style>
  <h1>It works</h1>
  <p>This page is the file <code>public/index.html</code>. Every other address goes to the application: try <a href="/hello">/hello</a>.</p>
</html>
`;

const MANIFEST = `{
  "private": true,
  "type": "module",
  "scripts": {
    "start": "gwanmun",
    "check": "gwanmun check"
  }
}
`;

const TSCONFIG = `{
  "compilerOptions": {
    "target": "es2023",
    "module": "nodenext",
    "strict": true,
    "noEmit": true,
    "allowImportingTsExtensions": true,
    "verbatimModuleSyntax": true,
    "erasableSyntaxOnly": true,
    "skipLibCheck": true
  }
}
`;
