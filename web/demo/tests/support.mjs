// The built page in Chromium, for its tests.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch, openPage } from '../../tests/support/browser.mjs';
import { serve } from '../../tests/support/server.mjs';

export const DIST = fileURLToPath(new URL('../dist', import.meta.url));
export const FIXTURES = fileURLToPath(new URL('../../../tests/fixtures', import.meta.url));

/** What the default model answers in the first sample. */
export const FIRST = { question: 'What is the last note often called?', answer: 'the first published program' };

/**
 * A server of the page, which sends no policy of its own, and a browser.
 *
 * `open()` gives a page on it in a context of its own, and what went wrong there: errors, refusals of the policy, and
 * requests to anywhere else.
 *
 * @param {'none' | 'webgpu'} [kind]
 */
export async function openDemo(kind = 'none', { path = '/', ...options } = {}) {
  if (!existsSync(`${DIST}/index.html`)) throw new Error('the page is not built: run pkg-scripts/demo --build');
  const server = await serve({ [path]: DIST }, { csp: null, ...options });
  const running = await launch(kind).catch(async (error) => {
    await server.close();
    throw error;
  });
  const open = async ({ hash = '', prepare, ...contextOptions } = {}) => {
    const context = await running.browser.newContext({ viewport: { width: 1280, height: 800 }, ...contextOptions });
    const problems = [];
    context.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== server.url && !/^(data|blob):$/.test(protocol)) problems.push(`asked ${request.url()}`);
    });
    await prepare?.(context);
    const { page } = await openPage(context, server.url + path + hash, problems);
    await page.waitForSelector('html[data-ready]');
    return { context, page, problems };
  };
  return {
    server,
    browser: running.browser,
    open,
    close: async () => {
      await running.close();
      await server.close();
    },
  };
}

/** Asks in the page, and waits for the answer. */
export async function ask(page, question) {
  if (question !== undefined) await page.fill('#question', question);
  await page.click('#ask-go');
  await page.waitForSelector('#result:not([hidden]) .ranked[aria-current=true]', { timeout: 30_000 });
  await page.waitForFunction(
    (asked) => document.querySelector('#asked').textContent === asked && !document.querySelector('#ask-go').hidden,
    await page.inputValue('#question'),
  );
}

/** The text on the page, and what is marked in it, as places in it. */
export function marked(page) {
  return page.evaluate(() => {
    const frame = document.querySelector('#text');
    const marks = [...frame.querySelectorAll('mark')];
    const before = document.createRange();
    before.setStart(frame, 0);
    if (marks[0]) before.setEndBefore(marks[0]);
    return {
      text: frame.textContent,
      start: marks[0] ? before.toString().length : -1,
      mark: marks.map((mark) => mark.textContent).join(''),
    };
  });
}

/** Drops files on the page; each is `[name, content, type]`. */
export function drop(page, ...files) {
  return page.evaluate((files) => {
    const dataTransfer = new DataTransfer();
    for (const [name, content, type] of files) {
      const bytes = typeof content === 'string' ? content : new Uint8Array(content);
      dataTransfer.items.add(new File([bytes], name, { type }));
    }
    document
      .querySelector('#text')
      .dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  }, files);
}

/** Waits until an element says something that fits, and gives what. */
export async function says(page, selector, pattern, timeout = 15_000) {
  await page
    .waitForFunction(
      ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ''),
      [selector, pattern.source],
      { timeout },
    )
    .catch(async () => {
      throw new Error(`${selector} says “${await page.textContent(selector)}”, not ${pattern}`);
    });
  return page.textContent(selector);
}
