// Firefox ESR, driven over WebDriver BiDi, which Playwright does not speak.
//
// `CLOZE_FIREFOX` names another browser than the system's.

import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import puppeteer from 'puppeteer-core';
import { bounded } from './browser.mjs';
import { serve } from './server.mjs';

const FIREFOX = process.env.CLOZE_FIREFOX ?? '/usr/bin/firefox-esr';

/**
 * Calls `body` with a page of Firefox, headless, on the root of a server. Fails if the page reports anything.
 *
 * @param {Record<string, unknown>} preferences
 * @param {Parameters<typeof serve>} serving what `serve` takes
 * @param {(page: import('puppeteer-core').Page) => Promise<void>} body
 */
export async function inFirefox(preferences, [mounts, options], body) {
  await access(FIREFOX).catch(() => {
    throw new Error(`${FIREFOX} is missing: run pkg-scripts/setup, or set CLOZE_FIREFOX`);
  });
  const icon = (_, response, { pathname }) => pathname === '/favicon.ico' && (response.writeHead(204).end(), true);
  const server = await serve(mounts, { handle: icon, ...options });
  try {
    const browser = await puppeteer.launch({
      browser: 'firefox',
      headless: true,
      executablePath: FIREFOX,
      extraPrefsFirefox: preferences,
    });
    try {
      const page = await browser.newPage();
      const problems = [];
      // Firefox asks for the icon of every page, and reports that the policy forbids it.
      page.on('pageerror', ({ message }) => void (message.includes('/favicon.ico') || problems.push(message)));
      await page.goto(`${server.url}/`);
      await body(page);
      assert.deepEqual(problems, []);
    } finally {
      await bounded(browser.close());
    }
  } finally {
    await server.close();
  }
}
