// Links out of the documentation into the repository: on the forge they lead to the file; the website has no such page.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

interface Node {
  type: string;
  url?: string;
  children?: Node[];
}

/**
 * A remark plugin; it sees a page's links after Rspress has made routes of those to other pages. Links to files of the repository
 * lead to its forge if package.json names one, else only their text stays.
 */
export function linksIntoRepository(docs: string) {
  const repository = join(docs, '..');
  const base = forgeOf(repository);
  return (tree: Node, { path }: { path: string }): void => {
    walk(tree, (link) => {
      const { url = '' } = link;
      if (!url.startsWith('../')) return;
      const [target = '', anchor] = url.split('#');
      const file = resolve(dirname(path), decodeURI(target));
      if (!relative(docs, file).startsWith('..') || !existsSync(file)) throw new Error(`${path}: dead link to ${url}`);
      if (base === undefined) Object.assign(link, { type: 'emphasis', url: undefined, title: undefined });
      else link.url = `${base}/${relative(repository, file)}${anchor === undefined ? '' : `#${anchor}`}`;
    });
  };
}

function walk(node: Node, visit: (link: Node) => void): void {
  if (node.type === 'link' || node.type === 'definition') visit(node);
  for (const child of node.children ?? []) walk(child, visit);
}

function forgeOf(repository: string): string | undefined {
  const { repository: named } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    repository?: string | { url: string };
  };
  const url = typeof named === 'string' ? named : named?.url;
  const [, place] = /(https:\/\/[^#]+?)(?:\.git)?$/.exec(url ?? '') ?? [];
  return place === undefined ? undefined : `${place}/blob/main`;
}
