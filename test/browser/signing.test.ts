import { expect, test } from 'vitest';
import { describeInBrowser, Guestbook, guests, newestGuest, watch } from './browser.js';

describeInBrowser('signing the guest book in a browser', () => {
  const guestbook = new Guestbook();

  test('shows the entry without loading the page anew, and after a reload', async () => {
    const { page, context, faults } = await guestbook.visit();
    await page.evaluate('globalThis.isTheSamePage = true');
    await page.getByLabel('Name').fill('관광객 <b>');
    await page.getByLabel('Message').fill('두 줄\n& more');
    await page.getByRole('button', { name: 'Sign' }).click();
    await page.getByText('Signed. Thank you!').waitFor();
    await newestGuest(page, '관광객 <b>');
    expect(await page.getByLabel('Message').inputValue()).toBe('');
    expect(await page.evaluate('globalThis.isTheSamePage')).toBe(true);

    await page.reload();
    await newestGuest(page, '관광객 <b>');
    expect(await page.locator('#entries .message').first().textContent()).toBe('두 줄\n& more');
    expect(faults).toEqual([]);
    await context.close();
  });

  test('what one tab writes appears in the other by itself, and what is being written there stays', async () => {
    const { page, context, faults } = await guestbook.visit();
    const other = await context.newPage();
    const otherFaults = watch(other, guestbook.url);
    await other.goto(guestbook.url);
    await other.getByLabel('Message').fill('not finished');

    await page.getByLabel('Name').fill('First tab');
    await page.getByLabel('Message').fill('Can you see me?');
    await page.getByRole('button', { name: 'Sign' }).click();
    await newestGuest(other, 'First tab');
    expect(await other.getByLabel('Message').inputValue()).toBe('not finished');

    await other.getByLabel('Name').fill('Second tab');
    await other.getByRole('button', { name: 'Sign' }).click();
    await newestGuest(page, 'Second tab');
    expect([...faults, ...otherFaults]).toEqual([]);
    await context.close();
  });

  test('a fault is told beside its field, which has the focus, and what was written stays', async () => {
    const { page, context } = await guestbook.visit();
    const before = await guests(page);
    await page.getByLabel('Name').fill('Forgetful');
    await page.getByRole('button', { name: 'Sign' }).click();
    await page.getByText('Please write a message.').waitFor();
    const message = page.getByLabel('Message');
    expect(await message.getAttribute('aria-invalid')).toBe('true');
    expect(await page.evaluate('document.activeElement.id')).toBe('message');
    expect(await page.getByLabel('Name').inputValue()).toBe('Forgetful');
    expect(await page.getByRole('status').first().textContent()).toMatch(/^Not signed yet/);
    expect(await guests(page)).toEqual(before);

    await message.fill('Here it is.');
    await page.getByRole('button', { name: 'Sign' }).click();
    await newestGuest(page, 'Forgetful');
    expect(await message.getAttribute('aria-invalid')).toBe('false');
    await context.close();
  });

  test('works with the keyboard alone, and shows where it is', async () => {
    const { page, context } = await guestbook.visit();
    const focused = (): Promise<string> =>
      page.evaluate('`${document.activeElement.localName}#${document.activeElement.id}`');
    const outline = (): Promise<string> => page.evaluate('getComputedStyle(document.activeElement).outlineStyle');

    await page.keyboard.press('Tab');
    expect(await focused()).toBe('input#name');
    expect(await outline()).toBe('solid');
    await page.keyboard.type('Keyboard');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('textarea#message');
    expect(await outline()).toBe('solid');
    await page.keyboard.type('No mouse');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('button#');
    expect(await outline()).toBe('solid');
    await page.keyboard.press('Enter');
    await newestGuest(page, 'Keyboard');

    await page.getByLabel('Name').focus();
    await page.keyboard.type('Shortcut');
    await page.keyboard.press('Tab');
    await page.keyboard.type('From within the message');
    await page.keyboard.press('Control+Enter');
    await newestGuest(page, 'Shortcut');
    await context.close();
  });

  test('works without script', async () => {
    const { page, context, faults } = await guestbook.visit({ javaScriptEnabled: false });
    await page.getByLabel('Name').fill('No script');
    await page.getByLabel('Message').fill('Just a form');
    await page.getByRole('button', { name: 'Sign' }).click();
    await page.waitForURL(guestbook.url);
    await newestGuest(page, 'No script');
    expect(await page.locator('#served').textContent()).toMatch(/application\s+worker \d+/);
    expect(await page.getByRole('button', { name: 'Measure again' }).isVisible()).toBe(false);

    // The browser lets spaces pass; the server does not.
    await page.getByLabel('Name').fill('   ');
    await page.getByLabel('Message').fill('Who am I?');
    await page.getByRole('button', { name: 'Sign' }).click();
    await page.getByText('Please tell us your name.').waitFor();
    expect(await page.getByLabel('Message').inputValue()).toBe('Who am I?');
    expect(faults.filter((fault) => !fault.includes('422'))).toEqual([]);
    await context.close();
  });
});
