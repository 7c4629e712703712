// The page in Firefox ESR.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inFirefox } from '../../tests/support/firefox.mjs';
import { DIST, FIRST } from './support.mjs';

test('a question is answered and marked, and the page works with the network off', async () => {
  await inFirefox({}, [{ '/': DIST }, { csp: null }], async (page) => {
    const answered = async () => {
      await page.waitForSelector('html[data-ready]');
      await page.click('#ask-go');
      await page.waitForSelector('#result:not([hidden]) .ranked[aria-current=true]');
      return page.$eval('mark', ({ textContent }) => textContent);
    };
    assert.equal(await answered(), FIRST.answer);
    await page.waitForSelector('#offline:not([hidden])');
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    // What does not come out of a cache fails: nothing is asked of the server any more.
    const asked = [];
    page.on(
      'response',
      (response) => response.fromServiceWorker() || response.fromCache() || asked.push(response.url()),
    );
    assert.equal(await answered(), FIRST.answer);
    assert.deepEqual(asked, []);
  });
});
