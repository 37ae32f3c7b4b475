import { expect, test } from 'vitest';
import { describeInBrowser, findings, Guestbook } from './browser.js';

describeInBrowser('the guest book and those who see, hear or point differently', () => {
  const guestbook = new Guestbook();

  test.each(['light', 'dark'] as const)('axe-core finds nothing on a %s page, signed or refused', async (scheme) => {
    const { page, context } = await guestbook.visit({ colorScheme: scheme, reducedMotion: 'reduce' });
    const isDark = (await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")) as boolean;
    expect(isDark).toBe(scheme === 'dark');
    expect(await findings(page)).toEqual([]);

    await page.getByRole('button', { name: 'Sign' }).click();
    await page.getByText('Please write a message.').waitFor();
    expect(await findings(page)).toEqual([]);

    await page.getByLabel('Name').fill(scheme);
    await page.getByLabel('Message').fill('hello');
    await page.getByRole('button', { name: 'Sign' }).click();
    await page.getByText('Signed. Thank you!').waitFor();
    expect(await findings(page)).toEqual([]);

    await page.goto(`${guestbook.url}nothing`);
    expect(await findings(page)).toEqual([]);
    await context.close();
  });

  test('dark is dark and light is light', async () => {
    const lightness = async (colorScheme: 'light' | 'dark'): Promise<number> => {
      const { page, context } = await guestbook.visit({ colorScheme });
      const color = (await page.evaluate('getComputedStyle(document.body).backgroundColor')) as string;
      await context.close();
      return Math.max(...(color.match(/\d+/g) ?? []).map(Number));
    };
    expect(await lightness('light')).toBeGreaterThan(230);
    expect(await lightness('dark')).toBeLessThan(40);
  });

  test('nothing is wider than a narrow telephone', async () => {
    const { page, context } = await guestbook.visit({ viewport: { width: 320, height: 640 } });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    await context.close();
  });
});
