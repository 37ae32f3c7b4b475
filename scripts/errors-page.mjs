// Writes docs/errors.md from the registry of errors. With --check it writes nothing, and fails if the page is not current.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './build.mjs';
import { source } from './source.mjs';

const { errorPage } = await source('cli/error-page.ts');
const file = join(root, 'docs/errors.md');
const page = errorPage();
if (!process.argv.includes('--check')) writeFileSync(file, page);
else if (readFileSync(file, 'utf8') !== page) {
  process.stderr.write('✗ docs/errors.md is not what src/error-entries.ts says; run: npm run docs:errors\n');
  process.exitCode = 1;
}
