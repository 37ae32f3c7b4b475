import { expect, test } from 'vitest';
import { describeInBrowser, Guestbook } from './browser.js';

describeInBrowser('the guest book in a browser', () => {
  const guestbook = new Guestbook();

  test('shows the page with its picture and style, and nothing goes wrong', async () => {
    const { page, context, faults } = await guestbook.visit();
    expect(await page.title()).toBe('Guest book · 관문');
    const picture = page.getByAltText(/palace gate/);
    await expect.poll(() => picture.evaluate((image: { naturalWidth: number }) => image.naturalWidth)).toBe(1920);
    // From the style sheet, which came from the core.
    expect(await page.evaluate("getComputedStyle(document.querySelector('h1')).fontWeight")).toBe('600');
    expect(faults).toEqual([]);
    await context.close();
  });

  test('says who served what and how fast', async () => {
    const { page, context } = await guestbook.visit();
    const rows = page.locator('#served tr');
    await page.getByRole('button', { name: 'Measure again' }).waitFor();
    const texts = (await rows.allTextContents()).map((text) => text.replace(/\s+/g, ' ').trim());
    expect(texts).toEqual([
      expect.stringMatching(/^\/ application worker \d+, in \d+(\.\d+)? ms \d+(\.\d+)? ms$/),
      expect.stringMatching(/^\/style\.css core (\d+(\.\d+)? ms|cached)$/),
      expect.stringMatching(/^\/script\.js core (\d+(\.\d+)? ms|cached)$/),
      expect.stringMatching(/^\/gate\.svg core (\d+(\.\d+)? ms|cached)$/),
    ]);
    const [, pid] = /worker (\d+)/.exec(texts[0] ?? '') ?? [];
    expect(guestbook.workers()).toContain(Number(pid));
    await context.close();
  });

  test('measures again when asked', async () => {
    const { page, context, faults } = await guestbook.visit();
    await page.getByRole('button', { name: 'Measure again' }).click();
    await page.getByText('The medians of 20 requests').waitFor();
    for (const time of await page.locator('#served .time').allTextContents()) expect(time).toMatch(/^\d+\.\d+ ms$/);
    expect(faults).toEqual([]);
    await context.close();
  });

  test('an address that nothing is behind has a page with a way back', async () => {
    const { page, context } = await guestbook.visit();
    const answer = await page.goto(`${guestbook.url}nothing`);
    expect(answer?.status()).toBe(404);
    await page.getByRole('link', { name: 'Back to the guest book' }).click();
    await page.getByRole('heading', { name: 'Sign the book' }).waitFor();
    await context.close();
  });

  test('an empty book says so, also to a page that is open', async () => {
    const { page, context } = await guestbook.visit();
    guestbook.empty();
    await page.getByText('Nobody has signed yet.').waitFor();
    await page.reload();
    await page.getByText('Nobody has signed yet.').waitFor();
    await context.close();
  });
});
