// What the suites of others have in common: which tests may fail, each with its reason, and the verdict.

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The folder of the checkout that the command line names, with `needed` installed in it. */
export function checkoutOf(name, needed) {
  const [checkout] = process.argv.slice(2);
  if (checkout === undefined) fail(`usage: node test/compat/${name}.mjs <checkout of ${name}, with its dependencies>`);
  const folder = resolve(checkout);
  if (!existsSync(join(folder, needed))) fail(`${join(folder, needed)} is not there; run npm install in ${folder}`);
  return folder;
}

/** NODE_OPTIONS that put every http.Server of a program on the core; with PLAIN=1 none, to see what the suite says of Node's own. */
export function loaderOptions() {
  const file = fileURLToPath(new URL('../../dist/register.js', import.meta.url));
  if (!existsSync(file)) fail('gwanmun is not built; run npm run build');
  return process.env.PLAIN === '1' ? '' : `--import=${pathToFileURL(file).href}`;
}

/**
 * Prints what failed that is not in `<name>-exceptions.json`, and what is there and did not fail. What is "Not ours" need not fail: that is for
 * another version of Node, or another user. `results`: title, whether it passed and
 * the message of its failure.
 */
export function judge(name, results, least) {
  const exceptions = JSON.parse(readFileSync(new URL(`${name}-exceptions.json`, import.meta.url), 'utf8'));
  const failed = new Map(results.filter(({ passed }) => !passed).map(({ title, message }) => [title, message]));
  const passed = results.filter((result) => result.passed).length;
  const unexpected = [...failed].filter(([title]) => !(title in exceptions));
  const stale = Object.keys(exceptions).filter(
    (title) => !failed.has(title) && !exceptions[title].startsWith('Not ours'),
  );
  for (const [title, message] of unexpected) console.error(`✗ ${title}\n    ${message.split('\n')[0]}`);
  for (const title of stale)
    console.error(`✗ this one does not fail any more; take it out of ${name}-exceptions.json:\n    ${title}`);
  console.log(`${passed} passed, ${failed.size - unexpected.length} known to fail, ${unexpected.length} failed`);
  if (passed < least) console.error(`✗ of at least ${least} tests only ${passed} passed`);
  process.exitCode = unexpected.length + stale.length === 0 && passed >= least ? 0 : 1;
}

export function fail(message) {
  console.error(message);
  process.exit(2);
}
