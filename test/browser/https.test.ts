// A page over HTTPS, with the certificate that gwanmun makes for development.

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { ARGUMENTS, describeInBrowser, EXECUTABLE } from './browser.js';

const PAGE = `<!doctype html><title>here</title><script>
  fetch('/data.json').then((r) => r.json()).then((data) => (document.title = data.title + isSecureContext));
</script>`;

describeInBrowser('a page over HTTPS', () => {
  test('T200 T109 is loaded once its key is trusted, and not before', async () => {
    await using gwanmun = new Gwanmun({
      args: ['./page', '--port', '0', '--tls'],
      files: { 'page/index.html': PAGE, 'page/data.json': '{"title":"loaded "}' },
      env: { XDG_DATA_HOME: '.' },
    });
    const [url] = await gwanmun.says(/https:\/\/127\.0\.0\.1:\d+/);
    const page = `${url.replace('127.0.0.1', 'localhost')}/`;
    const { publicKey } = new X509Certificate(readFileSync(join(gwanmun.folder, 'gwanmun/localhost.pem')));
    const hash = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64');
    // Nothing of the machine's or the user's stores is changed for it.
    for (const trust of [[], [`--ignore-certificate-errors-spki-list=${hash}`]]) {
      const browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...ARGUMENTS, ...trust] });
      try {
        const tab = await browser.newPage();
        const visit = tab.goto(page);
        if (trust.length === 0) await expect(visit).rejects.toThrow('ERR_CERT_AUTHORITY_INVALID');
        else {
          const response = await visit;
          expect(await response?.securityDetails()).toMatchObject({
            protocol: 'TLS 1.3',
            subjectName: expect.any(String) as string,
          });
          await tab.waitForFunction('document.title === "loaded true"');
        }
      } finally {
        await browser.close();
      }
    }
  });
});
