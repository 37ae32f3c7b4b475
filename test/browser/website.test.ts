import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { describeInBrowser, findings, Site } from './browser.js';

const built = fileURLToPath(new URL('../../docs/dist/', import.meta.url));

describeInBrowser(
  'the documentation as a website, served by gwanmun',
  () => {
    const website = new Site(() => ({ config: { mounts: [{ path: '/', files: built }] } }));

    test('the landing page shows the gate, the command and what was measured, and asks nobody else for anything', async () => {
      const { page, context, faults } = await website.visit();
      await page.getByRole('heading', { level: 1 }).getByText('One package.').waitFor();
      await page.getByText('npx gwanmun ./public').waitFor();
      await page
        .getByRole('definition')
        .filter({ hasText: /^\d+(\.\d)? µs$/ })
        .first()
        .waitFor();
      await expect.poll(() => page.evaluate("document.querySelector('main img').naturalWidth")).toBe(1920);
      expect(faults).toEqual([]);
      await context.close();
    });

    test('the search finds a key and leads to its page', async () => {
      const { page, context } = await website.visit();
      await page.getByText('Search').first().click();
      await page.keyboard.type('shutdownTimeout');
      await page.locator('.rp-suggest-item a').filter({ hasText: 'Configuration' }).first().click();
      await page.getByRole('heading', { level: 1 }).getByText('Configuration').waitFor();
      await context.close();
    });

    test.each(['light', 'dark'] as const)('axe-core finds nothing on the %s landing page', async (colorScheme) => {
      const { page, context } = await website.visit({ colorScheme });
      // The script shows it by and by.
      await expect
        .poll(() => page.evaluate("getComputedStyle(document.querySelector('.rp-search-button__hotkey')).opacity"))
        .toBe('1');
      expect(await findings(page)).toEqual([]);
      await context.close();
    });
  },
  { [join(built, 'index.html')]: 'npm run docs:build' },
);
