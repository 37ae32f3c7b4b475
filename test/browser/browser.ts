// Debian's Chromium, driven by Playwright, and the guest book as a server that it visits.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import Database from 'libsql';
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import config from '../../examples/guestbook/gwanmun.config.js';
import { Gwanmun } from '../workers/gwanmun-process.js';

const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const isInstalled = existsSync(EXECUTABLE);

// It asks nothing of anybody but the server under test.
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Tests that are left out, and say so, where there is no Chromium. */
export function describeInBrowser(name: string, tests: () => void): void {
  if (!isInstalled) process.stderr.write(`SKIPPED: ${name}: there is no ${EXECUTABLE} (apt-get install chromium)\n`);
  describe.skipIf(!isInstalled)(name, tests);
}

const guestbook = fileURLToPath(new URL('../../examples/guestbook/', import.meta.url));

/** A visitor's window on the guest book, with what went wrong in it. */
export interface Visit {
  page: Page;
  context: BrowserContext;
  /** Errors of the console and of the script, and requests that failed. */
  faults: string[];
}

/** The guest book behind gwanmun with two workers, and a browser. Both live as long as the tests around. */
export class Guestbook {
  private readonly profile = mkdtempSync(join(tmpdir(), 'guestbook-browser-'));
  private readonly database = join(this.profile, 'guestbook.db');
  private server: Gwanmun | undefined;
  private browser: Awaited<ReturnType<typeof chromium.launch>> | undefined;
  url = '';

  static inTests(): Guestbook {
    const opened = new Guestbook();
    beforeAll(() => opened.open(), 60_000);
    afterAll(() => opened.close(), 60_000);
    return opened;
  }

  private async open(): Promise<void> {
    this.server = new Gwanmun({
      config: {
        mounts: [{ path: '/', files: join(guestbook, 'public'), app: join(guestbook, 'app.ts') }],
        shutdownTimeout: config.shutdownTimeout,
        workers: 2,
      },
      env: { GUESTBOOK_DB: this.database },
    });
    this.url = `http://127.0.0.1:${await this.server.port()}/`;
    // Playwright gives it a new and empty profile.
    this.browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGUMENTS });
  }

  private async close(): Promise<void> {
    await this.browser?.close();
    this.server?.child.kill('SIGTERM');
    expect(await this.server?.exit()).toBe(0);
    rmSync(this.server?.folder ?? '', { recursive: true });
    rmSync(this.profile, { recursive: true });
  }

  /** Process ids of the workers. */
  workers(): number[] {
    return this.server?.workers() ?? [];
  }

  /** Leaves the book without a page in it. */
  empty(): void {
    const database = new Database(this.database);
    database.pragma('busy_timeout = 5000');
    database.exec('DELETE FROM entries');
    database.close();
  }

  /** Opens the guest book in a window of its own. */
  async visit(options: BrowserContextOptions = {}): Promise<Visit> {
    if (this.browser === undefined) throw new Error('the browser is not open');
    const context = await this.browser.newContext(options);
    const page = await context.newPage();
    const faults = watch(page);
    await page.goto(this.url);
    return { page, context, faults };
  }
}

/** Collects what goes wrong in a page. */
export function watch(page: Page): string[] {
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
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
