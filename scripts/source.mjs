// Imports a module of src/ as it is: dist is made of other files.

import { join } from 'node:path';
import { dependencies, root } from './build.mjs';

/** The exports of a module, such as `native.ts`. */
export async function source(name) {
  await dependencies();
  const { createJiti } = await import('jiti');
  return createJiti(import.meta.url, { fsCache: false }).import(join(root, 'src', name));
}
