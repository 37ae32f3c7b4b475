// Tells whether a build step's inputs have changed since it last succeeded.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The state of a step's inputs, compared with the stamp of its last success. */
export class Stamp {
  #file;
  #root;
  #paths;
  #previous;
  #present;

  /** `inputs` are files and folders relative to `root`; absent ones count as such. */
  constructor(root, name, inputs) {
    this.#root = root;
    this.#file = join(root, '.stamps', `${name}.json`);
    this.#paths = inputs.flatMap((input) => filesOf(root, input)).sort();
    this.#previous = readJson(this.#file);
  }

  /** Whether nothing has changed. Times and sizes answer in most cases; contents decide, so that a checkout is no change. */
  isCurrent() {
    const stats = this.#stats();
    if (this.#previous?.stats === stats) return true;
    this.#present = { stats, contents: this.#contents() };
    if (this.#previous?.contents !== this.#present.contents) return false;
    this.write();
    return true;
  }

  /** Records the state that isCurrent() saw as built: what has changed since then, during the step, has not been. */
  write() {
    this.#present ??= { stats: this.#stats(), contents: this.#contents() };
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(this.#file, `${JSON.stringify(this.#present)}\n`);
  }

  /** Forgets that the step has ever succeeded. */
  remove() {
    rmSync(this.#file, { force: true });
  }

  #stats() {
    return this.#digest((path) => {
      const { mtimeMs, size } = statSync(join(this.#root, path));
      return `${mtimeMs} ${size}`;
    });
  }

  #contents() {
    return this.#digest((path) => readFileSync(join(this.#root, path)));
  }

  #digest(describe) {
    const hash = createHash('sha256');
    for (const path of this.#paths) hash.update(`${path}\0`).update(describe(path)).update('\0');
    return hash.digest('hex');
  }
}

/** Every file at or below a path, relative to the root. */
function filesOf(root, path) {
  const stats = statSync(join(root, path), { throwIfNoEntry: false });
  if (stats === undefined) return [];
  if (!stats.isDirectory()) return [path];
  return readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'target' || entry.name === 'node_modules') return [];
    return entry.isDirectory() ? filesOf(root, join(path, entry.name)) : [join(path, entry.name)];
  });
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
