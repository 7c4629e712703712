// After one visit, with the network off. What comes when the host has a newer build is in update.test.mjs.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ask, FIRST, marked, openDemo, says } from './support.mjs';

/** Milliseconds from navigation to a page that can be used. */
const INTERACTIVE = 1000;

describe('the service worker', () => {
  let demo;
  let isGone = false;
  const reached = [];
  before(async () => {
    demo = await openDemo('none', {
      path: '/some/where/',
      handle: (request, response, { pathname }) => {
        if (!isGone) return false;
        reached.push(pathname);
        response.destroy();
        return true;
      },
    });
  });
  after(() => demo?.close());

  test('keeps the page and the package keeps the model: all works with the network off', async () => {
    const { context, page, problems } = await demo.open();
    await ask(page);
    await page.waitForSelector('#offline:not([hidden])');
    const stored = await page.evaluate(async () => {
      const kept = {};
      for (const name of await caches.keys()) {
        const cache = await caches.open(name);
        let bytes = 0;
        for (const key of await cache.keys()) bytes += (await (await cache.match(key)).arrayBuffer()).byteLength;
        kept[name] = bytes;
      }
      return kept;
    });
    const [page_, models] = [/^cloze page .* [0-9a-f]{16}$/, /^cloze-models/].map((name) => {
      const all = Object.entries(stored).filter(([key]) => name.test(key));
      assert.equal(all.length, 1, `${name} in ${Object.keys(stored)}`);
      return all[0][1];
    });
    assert.ok(models > 23e6 && models < 26e6, `${models} bytes of models: the weights, once`);
    assert.ok(page_ > 1e6 && page_ < 3e6, `${page_} bytes of the page, none of them weights`);

    // The browser's own look for a newer worker goes past this switch.
    await context.setOffline(true);
    isGone = true;
    await page.reload();
    await page.waitForSelector('html[data-ready]');
    await says(page, '#panel-ask .model-state', /already on this device/);
    await ask(page, 'When did Ada die?');
    assert.equal((await marked(page)).mark, '27 November 1852');
    await page.selectOption('#sample', 'time-machine');
    await says(page, '#title', /Time Machine/);
    assert.deepEqual(problems, []);

    // From cache, the model aside.
    await page.reload();
    await page.waitForSelector('html[data-ready]');
    const took = await page.evaluate(() => performance.getEntriesByName('interactive')[0].startTime);
    assert.ok(took < INTERACTIVE, `interactive after ${took} ms`);
    assert.deepEqual(
      reached.filter((path) => !path.endsWith('/service-worker.js')),
      [],
    );
    isGone = false;
    await context.close();
  });

  test('is no condition: without one, and without a cache, the page works', async () => {
    const { context, page, problems } = await demo.open({
      prepare: (context) =>
        context.addInitScript(() => {
          ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('no', 'SecurityError'));
          CacheStorage.prototype.open = () => Promise.reject(new DOMException('no', 'SecurityError'));
        }),
    });
    await ask(page);
    assert.equal((await marked(page)).mark, FIRST.answer);
    assert.ok(await page.isHidden('#offline'));
    assert.deepEqual(problems, []);
    await context.close();
  });
});
