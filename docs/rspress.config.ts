// The website: the Markdown pages of this folder, which read as well without it. `npm run docs:build` makes it.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { defineConfig } from '@rspress/core';

import { anchorsWithoutFocus } from './site/anchors.ts';
import { linksIntoRepository } from './site/links.ts';
import { measured } from './site/measured.ts';

const folder = import.meta.dirname;
const { version } = JSON.parse(readFileSync(join(folder, '../package.json'), 'utf8')) as { version: string };

/** The pages in the order of reading. One that is not written yet is left out; one that is not named comes at the end. */
const chapters: [title: string, pages: string[]][] = [
  ['Start', ['quick-start', 'coming-from']],
  [
    'Guides',
    [
      'guides/application',
      'guides/files',
      'guides/fetch',
      'guides/node',
      'guides/python',
      'guides/php',
      'guides/cgi',
      'guides/operating',
      'guides/https',
      'guides/access',
      'guides/behind-a-proxy',
      'guides/coming-from',
      'guides/deployment',
    ],
  ],
  ['Reference', ['configuration', 'command-line', 'errors', 'logs', 'application-contract']],
  ['How it works', ['architecture', 'gateway-protocol']],
];

function sidebar() {
  const pages = [folder, join(folder, 'guides')]
    .flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)))
    .filter((path) => path.endsWith('.md') && !path.endsWith('/index.md'))
    .map((path) => path.slice(folder.length + 1, -'.md'.length));
  const unnamed = pages.filter((page) => !chapters.some(([, named]) => named.includes(page)));
  return [...chapters, ['More', unnamed.toSorted()] as const]
    .map(([text, named]) => ({
      text,
      items: named
        .filter((page) => existsSync(join(folder, `${page}.md`)))
        .map((page) => ({ text: titleOf(page), link: `/${page}` })),
    }))
    .filter(({ items }) => items.length > 0);
}

/** A page's first heading, without the mark-up. */
function titleOf(page: string): string {
  const [, heading = page] = /^# (.+)$/m.exec(readFileSync(join(folder, `${page}.md`), 'utf8')) ?? [];
  return heading.replaceAll('`', '');
}

export default defineConfig({
  root: folder,
  outDir: 'dist',
  // Where it is published: `/` or a folder such as `/gwanmun/`.
  base: process.env['DOCS_BASE'] ?? '/',
  title: 'gwanmun',
  description: 'Web server, gateway and application server in one npm package: Rust core, TypeScript applications.',
  lang: 'en',
  icon: pathToFileURL(join(folder, '../examples/guestbook/public/gate.png')),
  logoText: 'gwanmun',
  themeDir: join(folder, 'site'),
  globalStyles: join(folder, 'site/style.css'),
  route: { extensions: ['.md', '.mdx'], exclude: ['node_modules/**', 'site/**'] },
  markdown: {
    // The plugin checks those that Rspress can't tell from pages that are missing.
    link: { checkDeadLinks: { excludes: (url) => url.startsWith('../') }, checkAnchors: true },
    remarkPlugins: [[linksIntoRepository, folder]],
    rehypePlugins: [anchorsWithoutFocus],
  },
  search: { codeBlocks: true },
  themeConfig: {
    nav: [
      { text: 'Quick start', link: '/quick-start' },
      { text: 'Configuration', link: '/configuration' },
      { text: 'Architecture', link: '/architecture' },
    ],
    sidebar: { '/': sidebar() },
    footer: { message: `gwanmun ${version} · MIT licence` },
  },
  builderConfig: {
    // Pages that come from a cache are not looked at for anchors.
    performance: { buildCache: false },
    source: {
      define: { MEASURED: JSON.stringify(measured(join(folder, '../bench/results/latest.json'))) },
    },
  },
});
