// Real Chromium for the tests.
//
//   const site = await openSite('none');                       // or 'webgpu': SwiftShader, forced
//   const answer = await site.run(async ({ pipeline }, question) => { … }, 'Who?');
//   await site.close();
//
// `CLOZE_CHROMIUM` names another browser than the system's.

import { access } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { serve } from './server.mjs';

const CHROMIUM = process.env.CLOZE_CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What each kind of browser has for a GPU. */
const GPU = {
  /** No adapter: `navigator.gpu.requestAdapter()` gives null, or there is no `navigator.gpu`. */
  none: [],
  /** WebGPU on the CPU, through SwiftShader: a fallback adapter that is given all the same. */
  webgpu: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
};

/** How long a browser may take to say that a worker has ended. */
const END_MS = 3000;

/** How long closing may take: it has hung for minutes. */
const CLOSE_MS = 5000;

/**
 * Starts Chromium, headless.
 *
 * @param {'none' | 'webgpu'} kind
 * @param {object} [options]
 * @param {string[]} [options.flags] more flags
 * @returns {Promise<{ browser: import('playwright-core').Browser, close: () => Promise<void> }>}
 */
export async function launch(kind, { flags = [] } = {}) {
  if (!(kind in GPU)) throw new Error(`launch: '${kind}' is none of ${Object.keys(GPU).join(', ')}`);
  await access(CHROMIUM).catch(() => {
    throw new Error(`${CHROMIUM} is missing: run pkg-scripts/setup, or set CLOZE_CHROMIUM`);
  });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...GPU[kind], ...flags] });
  return { browser, close: () => bounded(browser.close()) };
}

/** Waits for `closing`, but not for ever: what hangs is left to die with this process. */
export async function bounded(closing, ms = CLOSE_MS) {
  let timer;
  await Promise.race([closing.catch(() => {}), new Promise((over) => (timer = setTimeout(over, ms)))]);
  clearTimeout(timer);
}

/** The workers of `page` that are left: DevTools hears of an end somewhat later than it comes. */
export async function workersLeft(page) {
  const until = performance.now() + END_MS;
  while (page.workers().length && performance.now() < until) await new Promise((over) => setTimeout(over, 20));
  return page.workers().map((worker) => worker.url());
}

/**
 * A page that does not fail in silence: uncaught errors and what the content policy refused are added to `problems`.
 *
 * @param {import('playwright-core').Browser | import('playwright-core').BrowserContext} owner
 * @param {string} url
 * @param {string[]} [problems]
 */
export async function openPage(owner, url, problems = []) {
  const page = await owner.newPage();
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  await page.goto(url);
  return { page, problems };
}

/**
 * A browser, a server of `web/dist` under the strict policy, and an empty page on it.
 *
 * `site.run(body, argument)` calls `body(cloze, argument)` in the page, where `cloze` is what `import('/dist/index.js')`
 * gives; what it returns comes back as plain data. `body` is sent as text: it sees nothing of the test around it.
 * `site.freshPage()` opens another page with the same `run`. `site.problems` has what pages reported: a test that expects
 * none asserts that it is empty.
 *
 * @param {'none' | 'webgpu'} kind
 * @param {object} [options] besides those of `serve` and `launch`:
 * @param {Record<string, string>} [options.mounts] more folders for the server
 */
export async function openSite(kind, { mounts = {}, flags, ...serverOptions } = {}) {
  const server = await serve({ '/dist/': 'dist', ...mounts }, serverOptions);
  let running;
  try {
    running = await launch(kind, { flags });
    const context = await running.browser.newContext();
    const problems = [];
    const freshPage = async () => {
      const { page } = await openPage(context, server.url + '/', problems);
      return { page, run: (body, argument) => runIn(page, body, argument) };
    };
    const { page, run } = await freshPage();
    return {
      server,
      browser: running.browser,
      context,
      page,
      run,
      freshPage,
      problems,
      close: async () => {
        await running.close();
        await server.close();
      },
    };
  } catch (error) {
    await running?.close();
    await server.close();
    throw error;
  }
}

/**
 * Calls `body(await import(module), argument)` in the page. An error there is one here, with its `code`.
 *
 * @param {import('playwright-core').Page} page
 */
export async function runIn(page, body, argument, module = '/dist/index.js') {
  const result = await page.evaluate(
    // DevTools evaluates the text itself, so the page's policy needs no `unsafe-eval` for it.
    `(async () => {
      try {
        const value = await (${body})(await import(${JSON.stringify(module)}), ${JSON.stringify(argument) ?? 'undefined'});
        return { value };
      } catch (error) {
        return { failed: { name: error?.name, code: error?.code, message: error?.message ?? String(error), stack: error?.stack } };
      }
    })()`,
  );
  if (!result.failed) return result.value;
  const { stack, ...fields } = result.failed;
  throw Object.assign(new Error(fields.message), fields, { pageStack: stack });
}
