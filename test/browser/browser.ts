// Debian's Chromium, driven by Playwright, and what it visits: the guest book and the documentation.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { AxeResults } from 'axe-core';
import Database from 'libsql';
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import config from '../../examples/guestbook/gwanmun.config.js';
import { Gwanmun, type Settings } from '../workers/gwanmun-process.js';

export const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

// It asks nothing of anybody but the server under test.
export const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Tests that are left out, and say so, where there is no Chromium, or not the file that `needs` names with the way to get it. */
export function describeInBrowser(name: string, tests: () => void, needs: Record<string, string> = {}): void {
  const missing = Object.entries({ [EXECUTABLE]: 'apt-get install chromium', ...needs }).find(
    ([path]) => !existsSync(path),
  );
  if (missing) process.stderr.write(`SKIPPED: ${name}: there is no ${missing[0]} (${missing[1]})\n`);
  describe.skipIf(missing !== undefined)(name, tests);
}

const guestbook = fileURLToPath(new URL('../../examples/guestbook/', import.meta.url));

/** A visitor's window, with what went wrong in it. */
export interface Visit {
  page: Page;
  context: BrowserContext;
  /** Errors of the console and of the script, requests that failed, and requests to others. */
  faults: string[];
}

/** A gwanmun, and a browser that visits it. Both live as long as the tests around. */
export class Site {
  protected readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-browser-'));
  protected server: Gwanmun | undefined;
  private browser: Awaited<ReturnType<typeof chromium.launch>> | undefined;
  url = '';

  constructor(settings: (folder: string) => Settings) {
    beforeAll(async () => {
      this.server = new Gwanmun(settings(this.folder));
      this.url = `http://127.0.0.1:${await this.server.port()}/`;
      // Playwright gives it a new and empty profile.
      this.browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGUMENTS });
    }, 60_000);
    afterAll(async () => {
      await this.browser?.close();
      this.server?.child.kill('SIGTERM');
      expect(await this.server?.exit()).toBe(0);
      rmSync(this.server?.folder ?? '', { recursive: true });
      rmSync(this.folder, { recursive: true });
    }, 60_000);
  }

  /** Opens the first page in a window of its own. */
  async visit(options: BrowserContextOptions = {}): Promise<Visit> {
    if (this.browser === undefined) throw new Error('the browser is not open');
    const context = await this.browser.newContext(options);
    const page = await context.newPage();
    const faults = watch(page, this.url);
    await page.goto(this.url);
    return { page, context, faults };
  }
}

/** The guest book, with two workers. */
export class Guestbook extends Site {
  constructor() {
    super((folder) => ({
      config: {
        mounts: [{ path: '/', files: join(guestbook, 'public'), app: join(guestbook, 'app.ts') }],
        shutdownTimeout: config.shutdownTimeout,
        workers: 2,
      },
      env: { GUESTBOOK_DB: join(folder, 'guestbook.db') },
    }));
  }

  /** Process ids of the workers. */
  workers(): number[] {
    return this.server?.workers() ?? [];
  }

  /** Leaves the book without a page in it. */
  empty(): void {
    const database = new Database(join(this.folder, 'guestbook.db'));
    database.pragma('busy_timeout = 5000');
    database.exec('DELETE FROM entries');
    database.close();
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds in a page, one line for each finding. */
export async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations, passes } = (await page.evaluate('axe.run()')) as AxeResults;
  expect(passes.map(({ id }) => id)).toContain('color-contrast');
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

/** Collects what goes wrong in a page, and what it asks of others than its server. */
export function watch(page: Page, url: string): string[] {
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) faults.push(`asks another: ${request.url()}`);
  });
  page.on('requestfailed', (request) => {
    // A page that is left stops listening.
    if (!request.url().endsWith('/events')) faults.push(`${request.method()} ${request.url()}`);
  });
  return faults;
}

/** The names on the page, as shown. */
export function guests(page: Page): Promise<string[]> {
  return page.locator('#entries .by strong').allTextContents();
}

/** Waits until the name is the first on the page. */
export async function newestGuest(page: Page, name: string): Promise<void> {
  await page.locator('#entries li').first().getByText(name, { exact: true }).waitFor();
  expect((await guests(page))[0]).toBe(name);
}
