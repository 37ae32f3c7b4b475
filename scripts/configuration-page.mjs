// Writes the tables of docs/configuration.md. What a key is comes from the schema, in the words of its error messages; what it
// means and its default from the comments of src/config/define.ts, which editors show; that the default is true is checked.
// With --check it writes nothing, and fails if the page is not current.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { root } from './build.mjs';
import { source } from './source.mjs';

const { configSchema } = await source('config/schema.ts');
const { resolveConfig } = await source('config/resolve.ts');

const file = join(root, 'docs/configuration.md');
const definitions = readFileSync(join(root, 'src/config/define.ts'), 'utf8');
const defaults = resolveConfig(
  { config: { mounts: [{ path: '/', files: root }] }, directory: root, source: { name: 'defaults' } },
  {},
  {},
);

const page = readFileSync(file, 'utf8');
const current = page.replace(
  /(<!-- keys of (\S+) -->\n)[^]*?(<!-- end of keys -->)/g,
  (_, start, path, end) => `${start}${table(path === 'Config' ? [] : path.split('.'))}\n${end}`,
);
if (!process.argv.includes('--check')) writeFileSync(file, current);
else if (current !== page) {
  process.stderr.write(
    '✗ docs/configuration.md is not what src/config/schema.ts and define.ts say; run: npm run docs:configuration\n',
  );
  process.exitCode = 1;
}

/** The table of an object's keys. `path` is where it is in a configuration; `mounts` stands for each of them. */
function table(path) {
  const rows = Object.entries(entriesAt(path)).map(([key, schema]) => {
    const whole = [...path, key];
    const { meaning, byDefault } = comment(whole);
    checkDefault(whole, byDefault);
    const required = schema.type === 'optional' ? byDefault : 'required';
    const name = path[0] === 'mounts' ? key : whole.join('.');
    return `| \`${name}\` | ${cell(typeText(schema))} | ${cell(required)} | ${cell(meaning)} |`;
  });
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** The schemas of an object's keys. */
function entriesAt(path) {
  let schema = configSchema;
  for (const key of path) schema = bare(bare(schema).entries[key]);
  return bare(schema).entries;
}

/** A schema without what is around it: an optional one's content, a list's element. */
function bare(schema) {
  if (schema.type === 'optional') return bare(schema.wrapped);
  return schema.type === 'array' ? bare(schema.item) : schema;
}

/** What is expected of a value, as the error for a value that nothing fits says it. */
function typeText(schema) {
  const { issues } = v.safeParse(schema, Symbol('nothing fits'));
  return issues[0].message
    .replace(/^expected /, '')
    .replace(/ such as .*/, '')
    .replace(' to 2147483647', ' on')
    .replace(/(?<![^\s])('[^']+'|\{[^}]*\})/g, '`$1`');
}

/** The comment of a key in define.ts, and the default that it tells. */
function comment(path) {
  const [, body] =
    new RegExp(`export interface ${interfaceOf(path)} \\{\\n([^]*?)\\n\\}`).exec(definitions) ??
    fail(path, 'no interface');
  const key = path.at(-1);
  const [, written] =
    new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\\s*${key}\\??:`).exec(body) ??
    fail(path, 'no comment in src/config/define.ts');
  const text = written
    .replace(/\n\s*\*/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const [sentence, byDefault = ''] = /(?:^|(?<=\. ))Default:? (.*?)\.(?= |$)/.exec(text) ?? [''];
  return { meaning: text.replace(sentence, '').replace(/\s+/g, ' ').trim().replace(/\.$/, ''), byDefault };
}

/** The interface that has the key. */
function interfaceOf(path) {
  if (path.length === 1) return 'Config';
  const inside = path.at(-2);
  return inside === 'mounts' ? 'Mount' : `${inside[0].toUpperCase()}${inside.slice(1)}`;
}

/** A number that the comment tells must be the one that counts. */
function checkDefault(path, told) {
  let value = defaults;
  for (const key of path) value = value?.[key] ?? value?.[`${key}Ms`];
  if (typeof value !== 'number' || value === 0) return;
  const number = Number(/^\d+/.exec(told)?.[0]);
  if (value !== number && path[0] !== 'mounts' && path[0] !== 'workers') {
    fail(path, `the comment tells the default "${told}", but it is ${value}`);
  }
}

function cell(text) {
  return text.replaceAll('|', '\\|');
}

function fail(path, what) {
  process.stderr.write(`✗ ${path.join('.')}: ${what}\n`);
  process.exit(1);
}
